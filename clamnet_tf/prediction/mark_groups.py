"""Mark one group of files after another, and write the files of each volume."""

import datetime
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clamnet_tf import __version__
from clamnet_tf.datasets.expected_images import expected_images
from clamnet_tf.datasets.sequence_names import refuse_sequence
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.imaging.hounsfield_check import why_not_hounsfield
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.inference.asymmetry import facing, is_compared
from clamnet_tf.inference.uncertainty import Opinions
from clamnet_tf.prediction.dicom_seg import Algorithm
from clamnet_tf.prediction.formats import formats_for, write_masks
from clamnet_tf.prediction.marked_volume import MarkedVolume, mark_volume
from clamnet_tf.prediction.report import INDEX, write_volume_page
from clamnet_tf.prediction.tables import notes_of, slice_row, volume_row
from clamnet_tf.prediction.volume_preparation import VolumePreparation
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.prepared_volume import PreparedVolume
from clamnet_tf.preprocessing.volumes import Group
from clamnet_tf.recipe.classes import named
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


class GroupMarker:
    """Mark one group of files after another."""

    def __init__(self, trained, recipe, inputs, out, model, choice, cache, organ_network, *, alone: bool):
        self.trained, self.recipe, self.inputs, self.out = trained, recipe, inputs, out
        self.choice, self.alone = choice, alone
        self.opinions = Opinions(trained) if choice.rank or choice.uncertainty else None
        expected = expected_images(recipe, trained.channels, any_modality=choice.any_modality)
        self.preparation = VolumePreparation(trained, recipe, inputs.manifest, expected, cache, organ_network)
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
        content: dict[str, list] = {"slices": [], "volumes": [], "failures": [], "notes": []}
        marked_volumes = self.marked(group, stem, content["failures"])
        for marked, count in marked_volumes:
            self._write(marked, content, alone=self.alone and count == 1)
        return content

    def marked(self, group: Group, stem: Path, failures: list[str]) -> Iterator[tuple[MarkedVolume, int]]:
        """Yield each marked volume of a group, with the number of volumes that the group holds.

        Args:
            group: Cases of one group.
            stem: Stem of the results of a series.
            failures: Receives a message for each file of the group that could not be read.

        Raises:
            UserInputError: Nothing could be read, or the images do not fit the model.
        """
        group, volumes = self._assemble(group, failures)
        for volume in volumes:
            self._require_channels(volume)
        keep_probability = self.choice.keep_probability or (
            self.choice.segmentation == "fractional" and "dicom-seg" in self.choice.formats
        )
        for volume, (prepared, notes) in zip(volumes, self.preparation.prepared(group, volumes)):
            is_series = len(volume.grids) > 1
            first_case = volume.wanted[0][1]
            marked = mark_volume(
                self.trained,
                volume,
                prepared,
                names=self.names,
                name=self.inputs.volumes[first_case] if is_series else self.inputs.names[first_case],
                stem=stem if is_series else self.inputs.outputs[first_case],
                channel=display_channel(self.recipe, volume.array.shape[3]),
                keep_probability=keep_probability,
                opinions=self.opinions,
                keep_uncertainty=self.choice.uncertainty,
            )
            file_notes = self.inputs.notes.get(self.inputs.volumes[first_case], ())
            unit_notes = doubtful_unit(volume, self.recipe)
            yield replace(marked, notes=(*marked.notes, *file_notes, *unit_notes, *notes)), len(volumes)

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
        return [prepared for prepared, _ in self.preparation.prepared(group, volumes)]

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

        try:
            return group, self.preparation.assemble(group)
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
        group = Group(tuple(readable))
        return group, self.preparation.assemble(group)


def algorithm_of(trained, recipe, model: dict[str, str]) -> Algorithm:
    """Describe the model, for DICOM segmentations.

    Args:
        trained: inference.trained_model.Trained.
        recipe: Recipe of the model.
        model: fingerprint.fingerprint of the run; "model" is the sha256 of the network.
    """
    settings = hashlib.sha256(json.dumps(sorted(model.items())).encode()).hexdigest()
    return Algorithm(
        recipe.name,
        recipe.condition,
        model["model"],
        trained.marking.threshold,
        named(trained.classes),
        settings,
    )


def facts_of(trained, recipe, algorithm: Algorithm, about=()) -> dict[str, str]:
    """Return what a page says about how it was made.

    Args:
        trained: inference.trained_model.Trained.
        recipe: Recipe of the model.
        algorithm: What made the marks.
        about: (name, text) on the model.
    """
    own_cut = (
        "; each volume is then cut where the contrast across the border of its marks is highest"
        if recipe.inference.volume_threshold == "border_contrast"
        else ""
    )
    return {
        **dict(about),
        "Recipe": f"{recipe.name} ({recipe.modality.upper()}, {recipe.condition})",
        "Model": algorithm.model_sha256[:12],
        "Threshold": f"{trained.marking.threshold:.3f}, {trained.marking.rule}{own_cut}",
        "Program": f"clamnet-tf {__version__}",
        "Made": datetime.datetime.now().isoformat(sep=" ", timespec="minutes"),
    }


def doubtful_unit(volume: AssembledVolume, recipe) -> tuple[str, ...]:
    """Return a note on values that are no Hounsfield units, for a CT model that takes values of any unit."""
    if recipe.modality != "ct" or recipe.data.window is not None:
        return ()
    if volume.grids and all(grid.eight_bits for grid in volume.grids):
        return ()
    values = volume.array[..., :1]
    if why_not_hounsfield(values) is None:
        return ()
    return (
        f"ATTENTION: is this a CT? Its values, {values.min():.4g} to {values.max():.4g}, are not Hounsfield "
        "units; the model cannot tell and marks all the same",
    )


def require_channels(image, array: np.ndarray, expected: int) -> None:
    """Refuse an image of another number of channels than the model's.

    Args:
        image: File of the image, for the message.
        array: (slices, rows, columns, channels).
        expected: Number of channels of the model's images.

    Raises:
        DataError: The number differs; the message says what to do.
    """
    received = array.shape[-1]
    if received != expected:
        raise DataError(_other_channels(image, expected, received))


def _other_channels(image, expected: int, received: int) -> str:
    """Return the message for an image of another number of channels than the model's."""
    what = (
        f"{image}: the model expects {expected} channel(s), as in its training images; received {received}. "
    )
    if received == 1 < expected:
        return what + (
            "Where the sequences of one patient are series or files of their own, they must be recognised by "
            "their headers or names, as data.sequences of the recipe says (docs/how-to/sequences.md); a "
            "manifest with a column per sequence names them itself. Or use a model of one channel."
        )
    return what + "Convert the image, or use a model trained on such images."
