"""Mark one group of files after another, and write the files of each volume."""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clamnet_tf.datasets.expected_images import expected_images
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.datasets.sequence_names import refuse_sequence
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.inference.asymmetry import facing, is_compared
from clamnet_tf.inference.uncertainty import Opinions
from clamnet_tf.prediction.formats import formats_for, write_masks
from clamnet_tf.prediction.image_checks import (
    compared_with_training,
    doubtful_unit,
    require_channels,
    unlike_training,
)
from clamnet_tf.prediction.marked_volume import MarkedVolume, NetworkMaps, mark_volume, network_maps
from clamnet_tf.prediction.model_facts import algorithm_of, facts_of
from clamnet_tf.prediction.report import INDEX, write_volume_page
from clamnet_tf.prediction.tables import notes_of, slice_row, volume_row
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.atlas_channel import volume_with_atlas_channel
from clamnet_tf.preprocessing.cache import prepare
from clamnet_tf.preprocessing.crop import CropBox
from clamnet_tf.preprocessing.organ_region import without_organ
from clamnet_tf.preprocessing.prepared_volume import PreparedVolume, prepare_volume
from clamnet_tf.preprocessing.volumes import Group, assemble
from clamnet_tf.reporting.overlays import display_channel


@dataclass(frozen=True)
class Choice:
    """Choose what is written.

    Attributes:
        formats: Names from formats.FORMATS; empty: the defaults of formats.formats_for.
        segmentation: "binary", "labelmap" or "fractional", of DICOM-SEG.
        keep_identifiers: Let texts of file headers into results; names are decided in Inputs.
        any_modality: Accept images of another modality than the model's, or in other units, with a note.
        rank: Rank the volumes by how unsure the networks are.
        uncertainty: Write how far they differ in each pixel, in the formats of the masks.
        keep_probability: Keep the probabilities of a marked volume in memory.
        warnings: Sentences on the model that stand first on every page.
        about: (name, text) on the model, for the pages.
    """

    formats: tuple[str, ...] = ()
    segmentation: str = "binary"
    keep_identifiers: bool = False
    any_modality: bool = False
    rank: bool = False
    uncertainty: bool = False
    keep_probability: bool = False
    warnings: tuple[str, ...] = ()
    about: tuple[tuple[str, str], ...] = ()


DEFAULT_CHOICE = Choice()


class StartedVolume(NamedTuple):
    """Hold a volume that the network sees, or will see.

    Attributes:
        volume: Assembled volume.
        prepared: The same volume, prepared for the network.
        notes: Notes on its organ.
        maps: Returns what the network computes of it; waits until it is there.
    """

    volume: AssembledVolume
    prepared: PreparedVolume
    notes: tuple[str, ...]
    maps: Callable[[], NetworkMaps]


class StartedGroup(NamedTuple):
    """Hold the volumes of a group of files that is not finished.

    Attributes:
        stem: Stem of the results of a series.
        volumes: The volumes that could be read.
        failures: A message for each file of the group that could not be read.
    """

    stem: Path
    volumes: list[StartedVolume]
    failures: list[str]


class GroupMarker:
    """Mark one group of files after another."""

    def __init__(self, trained, recipe, inputs, out, model, choice, cache, organ_network, *, alone: bool):
        self.trained, self.recipe, self.inputs, self.out = trained, recipe, inputs, out
        self.choice, self.cache, self.alone = choice, cache, alone
        self.organ_network = organ_network
        self.opinions = Opinions(trained) if choice.rank or choice.uncertainty else None
        self.expected = expected_images(recipe, trained.channels, any_modality=choice.any_modality)
        self.algorithm = algorithm_of(trained, recipe, model)
        self.names = {
            case: (inputs.names[case], inputs.outputs[case]) for case in range(len(inputs.manifest.cases))
        }

    def facts(self) -> dict[str, str]:
        """Return what a page says about how it was made."""
        return facts_of(self.trained, self.recipe, self.algorithm, self.choice.about)

    def mark(self, group: Group, stem: Path) -> dict:
        """Mark the volumes of a group, write their files, and return what the progress log keeps.

        Raises:
            UserInputError: Nothing could be marked.
        """
        return self.finish(self.start(group, stem))

    def start(self, group: Group, stem: Path, pool: Executor | None = None) -> StartedGroup:
        """Read and prepare the volumes of a group, and let the network begin.

        Args:
            group: Cases of one group.
            stem: Stem of the results of a series.
            pool: Runs the network on the volumes, one after another, while other groups are read or
                written; None: it runs when the group is finished.

        Raises:
            UserInputError: Nothing could be read, or the images do not fit the model.
        """
        failures: list[str] = []
        group, volumes = self._assemble(group, failures)
        for volume in volumes:
            self._require_channels(volume)
        started = []
        for volume, (prepared, notes) in zip(volumes, self._prepared(group, volumes)):
            compute = functools.partial(network_maps, self.trained, prepared.images, self.opinions)
            started.append(
                StartedVolume(volume, prepared, notes, pool.submit(compute).result if pool else compute)
            )
        return StartedGroup(stem, started, failures)

    def finish(self, group: StartedGroup) -> dict:
        """Write the files of a started group, and return what the progress log keeps."""
        content: dict[str, list] = {"slices": [], "volumes": [], "failures": group.failures, "notes": []}
        for marked in self.marked(group):
            self._write(marked, content, alone=self.alone and len(group.volumes) == 1)
        return content

    def marked(self, group: StartedGroup) -> Iterator[MarkedVolume]:
        """Yield each marked volume of a started group."""
        keep_probability = self.choice.keep_probability or (
            self.choice.segmentation == "fractional" and "dicom-seg" in self.choice.formats
        )
        for volume, prepared, notes, maps in group.volumes:
            is_series = len(volume.grids) > 1
            first_case = volume.wanted[0][1]
            marked = mark_volume(
                self.trained,
                volume,
                prepared,
                names=self.names,
                name=self.inputs.volumes[first_case] if is_series else self.inputs.names[first_case],
                stem=group.stem if is_series else self.inputs.outputs[first_case],
                channel=display_channel(self.recipe, volume.array.shape[3]),
                keep_probability=keep_probability,
                maps=maps(),
                opinions=self.opinions,
                keep_uncertainty=self.choice.uncertainty,
            )
            file_notes = self.inputs.notes.get(self.inputs.volumes[first_case], ())
            found = compared_with_training(volume, self.trained.appearance)
            doubts = (*unlike_training(found), *doubtful_unit(volume, self.recipe))
            yield replace(
                marked,
                notes=(*marked.notes, *file_notes, *doubts, *notes),
                training_distance=None if found is None else found.distance,
            )

    def prepared(self, group: Group) -> list[PreparedVolume]:
        """Return the volumes of a group as the network sees them.

        Raises:
            UserInputError: A file cannot be read, or the images do not fit the model.
        """
        failures: list[str] = []
        group, volumes = self._assemble(group, failures)
        if failures:
            raise ImageError("\n  ".join(failures))
        for volume in volumes:
            self._require_channels(volume)
        return [prepared for prepared, _ in self._prepared(group, volumes)]

    def _require_channels(self, volume) -> None:
        image = self.inputs.manifest.cases[volume.wanted[0][1]].image
        require_channels(image, volume.array, self.trained.channels)

    def _write(self, marked: MarkedVolume, content: dict, *, alone: bool) -> None:
        """Write the files of one marked volume and add its rows to `content`."""
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
                self.out / page,
                marked,
                volume_row(marked, written.volume),
                [*self.choice.warnings, *notes],
                self.facts(),
                index=index,
                modality=self.recipe.modality,
            )
        content["slices"] += [
            slice_row(marked, marked_slice, files)
            for marked_slice, files in zip(marked.slices, written.slices)
        ]
        content["volumes"].append(volume_row(marked, written.volume))
        if is_compared(self.recipe):
            content.setdefault("breasts", []).append([marked.slices[0].case, facing(marked.organ[0])])
        content["failures"] += [self.inputs.hide(failure) for failure in written.failures]
        content["notes"] += [self.inputs.hide(note) for note in notes]

    def _assemble(self, group: Group, failures: list[str]):
        """Return (group, its volumes) without the files that cannot be read. Raises ImageError when none can
        be read.
        """
        manifest, recipe = self.inputs.manifest, self.recipe
        if recipe.modality != "mri" and not self.choice.any_modality:
            for case in group.cases:
                refuse_sequence(manifest.cases[case].image, recipe.modality)

        def read(subset):
            return assemble(
                manifest,
                subset,
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
        readable, unreadable = [], []
        for case in group.cases:
            try:
                read_volume(manifest.cases[case].image, dicom_backend=recipe.data.dicom_backend)
                readable.append(case)
            except ImageError as error:
                unreadable.append(self.inputs.hide(str(error)))
        if not readable:
            raise ImageError("\n  ".join(unreadable))
        failures += [f"{failure} The rest of its volume is marked without it." for failure in unreadable]
        return Group(tuple(readable)), read(Group(tuple(readable)))

    def _prepared(self, group: Group, volumes):
        """Yield a PreparedVolume per volume, stored in the cache when there is one, and notes on its
        organ.
        """
        manifest, recipe = self.inputs.manifest, self.recipe
        if self.cache is None:
            for volume in volumes:
                prepared_volume = prepare_volume(
                    volume,
                    manifest.cases[volume.wanted[0][1]].image,
                    recipe.data,
                    recipe.organ,
                    self.organ_network,
                )
                prepared_volume = volume_with_atlas_channel(prepared_volume, self.trained.atlas)
                yield prepared_volume, without_organ(recipe.organ.method, prepared_volume.fallback)
            return
        group_manifest = Manifest(manifest.root, tuple(manifest.cases[case] for case in group.cases))
        cached = prepare(
            group_manifest,
            data=recipe.data,
            organ=recipe.organ,
            cache=self.cache,
            organ_network=self.organ_network,
            expected=self.expected,
        )
        for volume_index in range(len(volumes)):
            rows = np.flatnonzero(cached.table.volume == volume_index)
            box = CropBox(*(int(value) for value in cached.table.box[rows[0]]))
            hashes = tuple(cached.table.pixel_hash[rows].tolist())
            prepared_volume = PreparedVolume(
                cached.images[rows], cached.organ[rows], box, tuple(cached.table.area[rows].tolist()), hashes
            )
            yield (
                volume_with_atlas_channel(prepared_volume, self.trained.atlas),
                without_organ(recipe.organ.method, cached.fallback),
            )
