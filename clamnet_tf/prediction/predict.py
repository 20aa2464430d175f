"""A trained network on images without labels: masks, tables and pages, volume by volume, in one go or in
several.
"""

import datetime
import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from clamnet_tf import __version__
from clamnet_tf.datasets.expected_images import expected_images
from clamnet_tf.datasets.manifest import Manifest, listed
from clamnet_tf.datasets.unlabelled_inputs import RESULT_TABLE, Inputs
from clamnet_tf.errors import DataError, EnvironmentFailure, ImageError, UserInputError
from clamnet_tf.evaluation.evaluate import display_channel
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.prediction.dicom_seg import Algorithm
from clamnet_tf.prediction.formats import formats_for, write_masks
from clamnet_tf.prediction.marked_volume import MarkedVolume, mark_volume
from clamnet_tf.prediction.output_paths import volume_output_names
from clamnet_tf.prediction.progress_log import ProgressLog
from clamnet_tf.prediction.report import INDEX, write_index, write_volume_page
from clamnet_tf.prediction.tables import VOLUME_TABLE, notes_of, slice_row, volume_row, write_table
from clamnet_tf.preprocessing.atlas_channel import volume_with_atlas_channel
from clamnet_tf.preprocessing.cache import prepare
from clamnet_tf.preprocessing.crop import CropBox
from clamnet_tf.preprocessing.organ_region import without_organ
from clamnet_tf.preprocessing.prepared_volume import PreparedVolume, prepare_volume
from clamnet_tf.preprocessing.volumes import Group, assemble, group_cases
from clamnet_tf.recipe.classes import named
from clamnet_tf.runtime.process_group import AGAIN, ProcessGroup


@dataclass(frozen=True)
class Choice:
    """What is to be written. formats: of formats.FORMATS; empty: what formats.formats_for gives.
    segmentation: binary or fractional, of DICOM-SEG. keep_identifiers: let texts of file headers into
    results; names are settled in Inputs.
    any_modality: take images of another modality than the model's, or of other units, with a note."""

    formats: tuple[str, ...] = ()
    segmentation: str = "binary"
    keep_identifiers: bool = False
    any_modality: bool = False


@dataclass
class PredictionSummary:
    """slices, marked_slices: counts; volumes: rows of volumes.csv; failures: why inputs were left out; notes:
    what readers had to assume; resumed: groups of files that an earlier call had finished."""

    slices: int = 0
    marked_slices: int = 0
    volumes: list[dict] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resumed: int = 0


def predict_inputs(
    trained,
    recipe,
    inputs: Inputs,
    *,
    out,
    reporter,
    model: dict[str, str],
    choice: Choice = Choice(),
    cache=None,
    organ_network=None,
    process_group: ProcessGroup = ProcessGroup(),
) -> PredictionSummary:
    """Mark every volume of `inputs`; only one is held in memory.

    Below `out`, at the place that `inputs.outputs` names, the files of `formats.write_masks` and a page per
    volume; then marks.csv, one row per slice, volumes.csv and report.html over all, also when the work is
    broken off. A folder that
    the same call began is gone on with: finished volumes are not done again, those that failed are tried
    again.

    model: names what marks; its entry "model" is the sha256 of the network. cache: keep prepared slices
    there.
    organ_network: what finds the organ, for recipes with organ.method network.

    crew: the processes that share out the volumes, all with the same arguments and `out` on storage that all
    see; the chief alone writes what is over all, the Outcome of the others says nothing.

    What cannot be read is told in `failures` and does not stop the rest; the readable slices of its volume
    are marked. DataError, with all reasons, when nothing could be marked; RunError for a folder that is in
    use otherwise; EnvironmentFailure when another process of the crew is gone.
    """
    groups = group_cases(inputs.manifest)
    work = _Work(
        trained, recipe, inputs, Path(out), model, choice, cache, organ_network, alone=len(groups) == 1
    )
    own = range(process_group.index, len(groups), process_group.count)
    failures, gone = [], []  # (number of the group, why)
    with process_group.in_turn(
        ProgressLog.open(out, _settings(model, inputs, groups, choice), process_group.index)
    ) as progress_log:
        resumed = set(progress_log.groups)
        try:
            done, total = (
                sum(len(groups[number].cases) for number in some) for some in (resumed & {*own}, own)
            )
            with reporter.bar("Marking", total, done) as bar:
                for number, (group, stem) in enumerate(zip(groups, volume_output_names(inputs, groups))):
                    if number in resumed or number not in own:
                        continue
                    try:
                        progress_log.add(number, work.mark(group, stem))
                    except UserInputError as error:
                        failures.append((number, inputs.hide(str(error))))
                    done += len(group.cases)
                    bar.update(done)
            if process_group.index:
                process_group.report(failures)
                return PredictionSummary()
            for index, told in process_group.reports().items():
                failures += [tuple(failure) for failure in told or []]
                gone += [f"worker {index}"] if told is None else []
            progress_log.read()
        finally:
            if not process_group.index:
                outcome = _finish(
                    progress_log,
                    Path(out),
                    [*inputs.failures, *(text for _, text in sorted(failures))],
                    work,
                    trained,
                )
        outcome.resumed = len(resumed)
    if gone:
        raise EnvironmentFailure(
            f"{', '.join(gone)}: ended before all volumes were marked; the tables hold those that are. "
            f"{AGAIN}"
        )
    if not outcome.slices:
        raise DataError(f"Nothing could be marked:\n{listed(outcome.failures)}")
    return outcome


def _finish(
    progress_log: ProgressLog, out: Path, failures: list[str], work: "_Work", trained
) -> PredictionSummary:
    """Tables and the page over all from what is finished; rows go from file to file."""
    outcome = PredictionSummary(failures=failures)
    for content in progress_log.finished():
        outcome.volumes += content["volumes"]
        outcome.failures += content["failures"]
        outcome.notes += content["notes"]
    outcome.slices = sum(row["slices"] for row in outcome.volumes)
    outcome.marked_slices = sum(row["marked_slices"] for row in outcome.volumes)
    write_table(out / RESULT_TABLE, (row for content in progress_log.finished() for row in content["slices"]))
    write_table(out / VOLUME_TABLE, outcome.volumes)
    if any(row["report"] not in (None, INDEX) for row in outcome.volumes):
        write_index(out / INDEX, outcome.volumes, outcome.failures, work.facts())
    return outcome


def _settings(model: dict[str, str], inputs: Inputs, groups: list[Group], choice: Choice) -> dict:
    """What must be equal for a folder to be gone on with; of the inputs a digest of their paths and sizes, no
    names.
    """
    files = [
        [str(case.image), case.image.stat().st_size if case.image.is_file() else 0]
        for case in inputs.manifest.cases
    ]
    digest = hashlib.sha256(
        json.dumps(
            [files, [group.cases for group in groups], [str(output) for output in inputs.outputs]]
        ).encode()
    )
    return {
        "version": __version__,
        **model,
        "inputs": f"{len(files)} files in {len(groups)} groups, sha256 {digest.hexdigest()}",
        "formats": list(choice.formats) or "default",
        "segmentation": choice.segmentation,
        "keep_identifiers": choice.keep_identifiers,
        "any_modality": choice.any_modality,
    }


class _Work:
    """One group of files after another."""

    def __init__(self, trained, recipe, inputs, out, model, choice, cache, organ_network, *, alone: bool):
        self.trained, self.recipe, self.inputs, self.out, self.choice, self.cache, self.alone = (
            trained,
            recipe,
            inputs,
            out,
            choice,
            cache,
            alone,
        )
        self.organ_network = organ_network
        self.expected = expected_images(recipe, trained.channels, any_modality=choice.any_modality)
        self.algorithm = Algorithm(
            recipe.name, recipe.condition, model["model"], trained.marking.threshold, named(trained.classes)
        )
        self.names = {
            case: (inputs.names[case], inputs.outputs[case]) for case in range(len(inputs.manifest.cases))
        }

    def facts(self) -> dict[str, str]:
        """What a page says of how it was made."""
        marking = self.trained.marking
        return {
            "Recipe": f"{self.recipe.name} ({self.recipe.modality.upper()}, {self.recipe.condition})",
            "Model": self.algorithm.model_sha256[:12],
            "Threshold": f"{marking.threshold:.3f}, {marking.rule}",
            "Program": f"clamnet-tf {__version__}",
            "Made": datetime.datetime.now().isoformat(sep=" ", timespec="minutes"),
        }

    def mark(self, group: Group, stem: Path) -> dict:
        """Mark the volumes of a group and write their files; what the journal keeps of it. UserInputError:
        nothing could be marked.
        """
        content = {"slices": [], "volumes": [], "failures": [], "notes": []}
        group, volumes = self._assemble(group, content["failures"])
        manifest = self.inputs.manifest
        for volume in volumes:
            image = manifest.cases[volume.wanted[0][1]].image
            if volume.array.shape[3] != self.trained.channels:
                raise DataError(
                    f"{image}: has {volume.array.shape[3]} channel(s), the model expects "
                    f"{self.trained.channels}, as in its training images. "
                    "Convert it, or use a model trained on such images."
                )
        for volume, (prepared, notes) in zip(volumes, self._prepared(group, volumes)):
            several = len(volume.grids) > 1
            first = volume.wanted[0][1]
            marked = mark_volume(
                self.trained,
                volume,
                prepared,
                names=self.names,
                name=self.inputs.volumes[first] if several else self.inputs.names[first],
                stem=stem if several else self.inputs.outputs[first],
                channel=display_channel(self.recipe, volume.array.shape[3]),
                keep_probability=self.choice.segmentation == "fractional"
                and "dicom-seg" in self.choice.formats,
            )
            aside = self.inputs.notes.get(self.inputs.volumes[first], ())
            self._write(
                replace(marked, notes=(*marked.notes, *aside, *notes)),
                content,
                alone=self.alone and len(volumes) == 1,
            )
        return content

    def _write(self, marked: MarkedVolume, content: dict, *, alone: bool) -> None:
        formats = formats_for(marked, self.choice.formats)
        written = write_masks(
            marked,
            self.out,
            formats,
            segmentation=self.choice.segmentation,
            algorithm=self.algorithm,
            keep_identifiers=self.choice.keep_identifiers,
        )
        notes = [*notes_of(marked), *written.notes]
        if "report" in formats:
            page = Path(INDEX) if alone else marked.stem.with_name(f"{marked.stem.name}_report.html")
            written.volume["report"] = page.as_posix()
            index = None if alone else "../" * len(page.parent.parts) + INDEX
            write_volume_page(
                self.out / page, marked, volume_row(marked, written.volume), notes, self.facts(), index=index
            )
        content["slices"] += [
            slice_row(marked, one, files) for one, files in zip(marked.slices, written.slices)
        ]
        content["volumes"].append(volume_row(marked, written.volume))
        content["failures"] += [self.inputs.hide(failure) for failure in written.failures]
        content["notes"] += [self.inputs.hide(note) for note in notes]

    def _assemble(self, group: Group, failures: list[str]):
        """(group, its volumes) without the files that cannot be read; ImageError when none can."""
        manifest, recipe = self.inputs.manifest, self.recipe

        def read(some):
            return assemble(
                manifest,
                some,
                channels=recipe.data.channels,
                dicom_backend=recipe.data.dicom_backend,
                with_organ=recipe.organ.method == "given",
                expected=self.expected,
            )

        try:
            return group, read(group)
        except ImageError:
            if len(group.cases) == 1:
                raise
        readable, unread = [], []
        for case in group.cases:
            try:
                read_volume(manifest.cases[case].image, dicom_backend=recipe.data.dicom_backend)
                readable.append(case)
            except ImageError as error:
                unread.append(self.inputs.hide(str(error)))
        if not readable:
            raise ImageError("\n  ".join(unread))
        failures += [f"{failure} The rest of its volume is marked without it." for failure in unread]
        return Group(tuple(readable)), read(Group(tuple(readable)))

    def _prepared(self, group: Group, volumes):
        """Per volume a PreparedVolume, kept in the cache when there is one, and notes on its organ."""
        manifest, recipe = self.inputs.manifest, self.recipe
        if self.cache is None:
            for volume in volumes:
                ready = prepare_volume(
                    volume,
                    manifest.cases[volume.wanted[0][1]].image,
                    recipe.data,
                    recipe.organ,
                    self.organ_network,
                )
                ready = volume_with_atlas_channel(ready, self.trained.atlas)
                yield ready, without_organ(recipe.organ.method, ready.fallback)
            return
        own = Manifest(manifest.root, tuple(manifest.cases[case] for case in group.cases))
        kept = prepare(
            own,
            data=recipe.data,
            organ=recipe.organ,
            cache=self.cache,
            organ_network=self.organ_network,
            expected=self.expected,
        )
        for number in range(len(volumes)):
            rows = np.flatnonzero(kept.table.volume == number)
            box = CropBox(*(int(value) for value in kept.table.box[rows[0]]))
            hashes = tuple(kept.table.pixel_hash[rows].tolist())
            ready = PreparedVolume(
                kept.images[rows], kept.organ[rows], box, tuple(kept.table.area[rows].tolist()), hashes
            )
            yield (
                volume_with_atlas_channel(ready, self.trained.atlas),
                without_organ(recipe.organ.method, kept.fallback),
            )
