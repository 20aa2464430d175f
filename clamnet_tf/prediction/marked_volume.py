"""Mark one volume on the grid of its files; every writer of masks starts from the result."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clamnet_tf.imaging.orientation import IDENTITY, reorient, restore, spacing_of
from clamnet_tf.imaging.volume import SET_ASIDE, Grid, SliceReference
from clamnet_tf.metrics.localisation import image_score, marked_fraction
from clamnet_tf.prediction.planes import Plane, along_normal, planes_of
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.prepared_volume import PreparedVolume
from clamnet_tf.recipe.classes import named
from clamnet_tf.threads import in_threads

if TYPE_CHECKING:  # loads Keras, for which reading tables must not wait
    from clamnet_tf.inference.uncertainty import StudyUncertainty


@dataclass(frozen=True)
class MarkedSlice:
    """Hold the results of one slice.

    Attributes:
        case: Index of the case in the manifest.
        inside: Number of the slice in its file, as in the column `slice` of tables.
        input: Name of the input in tables.
        stem: Path of its results relative to the output folder, without suffix.
        reference: File and frame of the slice.
        plane: Position in the patient, or None when it is not known.
        position_mm: Position along the normal of the volume, in mm.
        presence: Score that a lesion is present, 0..1.
        marked_px: Number of marked pixels.
        organ_px: Number of organ pixels.
        marked_fraction: Marked share of the organ, 0..1; None without an organ.
        area_mm2: Marked area, or None when the spacing is not known.
        of_classes: (marked pixels, presence) of each lesion class.
    """

    case: int
    inside: int
    input: str
    stem: Path
    reference: SliceReference
    plane: Plane | None
    position_mm: float | None
    presence: float
    marked_px: int
    organ_px: int
    marked_fraction: float | None
    area_mm2: float | None
    of_classes: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, eq=False)
class MarkedVolume:
    """Hold one volume and its marks, all arrays on the grid of its files.

    Slices of DICOM are those stored in the files, also sagittal ones, ordered by position; those of a NIfTI
    file are its axial planes.

    Attributes:
        name: Name of the volume in tables.
        stem: Path of the whole volume's results relative to the output folder, without suffix.
        array: (S, H, W, C) float32, values of the files.
        mask: (S, H, W) uint8 label map.
        organ: (S, H, W) bool.
        probability: (S, H, W, classes) float32 0..1 of each lesion class, 0 outside the organ; None unless
            requested.
        slices: Results per slice.
        files: Per grid (grid, stem of its results, index of its first slice).
        spacing_mm: Distance between slices, rows and columns in mm, or None.
        channel: Channel to show.
        notes: What readers of the files had to assume.
        names: Names of the lesion classes; () for one class without a name.
        presences: Highest score of the slices as the network saw them, then that of each lesion class. The
            slices that the network saw are not the stored slices of a sagittal or coronal series.
        doubt: How unsure the networks are of the volume; None unless requested.
        uncertainty: (S, H, W) float32 0..1, how far they differ in each pixel, 0 outside the organ; None
            unless requested.
        training_distance: Distance to the training images, 1 at the limit beyond which it is noted
            (inference/appearance.py); None when it is not known.
    """

    name: str
    stem: Path
    array: np.ndarray
    mask: np.ndarray
    organ: np.ndarray
    probability: np.ndarray | None
    slices: tuple[MarkedSlice, ...]
    files: tuple[tuple[Grid, Path, int], ...]
    spacing_mm: tuple[float, float, float] | None
    channel: int
    notes: tuple[str, ...]
    names: tuple[str, ...] = ()
    presences: tuple[float, ...] = ()
    doubt: "StudyUncertainty | None" = None
    uncertainty: np.ndarray | None = None
    training_distance: float | None = None

    @property
    def kind(self) -> str:
        """Return the kind of file: dicom, nifti, picture or npy."""
        return self.files[0][0].kind

    @property
    def set_aside(self) -> tuple[str, ...]:
        """Return the notes on images of the series that belong to no volume, each with the reason."""
        return tuple(note for note in self.notes if SET_ASIDE in note)

    @property
    def planes(self) -> tuple[Plane | None, ...]:
        """Return the planes of the slices."""
        return tuple(marked_slice.plane for marked_slice in self.slices)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the files, in the order of the slices."""
        return tuple(dict.fromkeys(marked_slice.reference.path for marked_slice in self.slices))


class NetworkMaps(NamedTuple):
    """Hold what the network computes of a prepared volume.

    Attributes:
        result: (S, side, side, classes) float32 0..1.
        opinions: (J, S, side, side, classes) float32 0..1 of each head and fold; None unless requested.
    """

    result: np.ndarray
    opinions: np.ndarray | None


def network_maps(trained, images, opinions=None) -> NetworkMaps:
    """Run the network on the slices of a prepared volume.

    Args:
        trained: inference.trained_model.Trained.
        images: (S, side, side, C) normalised float.
        opinions: inference.uncertainty.Opinions of the model; None: no opinions are wanted.
    """
    return (
        NetworkMaps(trained.probability(images), None) if opinions is None else NetworkMaps(*opinions(images))
    )


def mark_volume(
    trained,
    volume: AssembledVolume,
    prepared: PreparedVolume,
    *,
    names,
    name,
    stem,
    channel,
    keep_probability: bool,
    maps: NetworkMaps | None = None,
    opinions=None,
    keep_uncertainty: bool = False,
) -> MarkedVolume:
    """Bring what the network finds in a prepared volume back to the files' grid, and apply the thresholds.

    Args:
        trained: inference.trained_model.Trained.
        volume: Assembled volume.
        prepared: The same volume, prepared for the network.
        names: Case index -> (name of the input in tables, stem of its results).
        name: Name of the volume in tables.
        stem: Stem of the whole volume's results.
        channel: Channel to show.
        keep_probability: Whether the result keeps the probabilities.
        maps: `network_maps` of the prepared volume; None: they are computed here.
        opinions: inference.uncertainty.Opinions of the model; None: uncertainty is not measured.
        keep_uncertainty: Whether the result keeps the uncertainty of each pixel; needs opinions.
    """
    stack = _Stack(volume, trained, keep_probability or volume.axes[0] != 0, keep_uncertainty)
    scores = stack.fill(trained, prepared, maps or network_maps(trained, prepared.images, opinions), opinions)
    presences = None if volume.axes[0] else scores[:: -1 if volume.flips[0] else 1]
    array, power = restore(volume.array, volume.axes, volume.flips), trained.marking.pooling_power
    planes = planes_of(volume)
    positions, spacing = along_normal(planes), stack_spacing(volume)
    pixel_mm2, slices = spacing and spacing[1] * spacing[2], []
    for index, plane in enumerate(planes):
        grid, case, reference, inside = _source(volume, index)
        mask, organ = stack.mask[index], stack.organ[index]
        if presences is None:
            presence = _presences(stack.probability[index], organ, power)
        else:
            presence = presences[index]
        count = int(np.count_nonzero(mask))
        slices.append(
            MarkedSlice(
                case=case,
                inside=inside,
                input=names[case][0],
                stem=names[case][1]
                if len(grid.references) == 1
                else names[case][1].with_name(f"{names[case][1].name}_{inside}"),
                reference=reference,
                plane=plane,
                position_mm=positions[index],
                presence=presence[0],
                marked_px=count,
                organ_px=int(organ.sum()),
                marked_fraction=marked_fraction(mask, organ),
                area_mm2=count * plane.pixel_mm2
                if plane and pixel_mm2
                else None
                if pixel_mm2 is None
                else count * pixel_mm2,
                of_classes=tuple(
                    (int((mask == class_index + 1).sum()), presence[class_index + 1])
                    for class_index in range(len(trained.classes))
                ),
            )
        )
    if len(volume.grids) == 1:
        files = ((volume.grids[0], names[slices[0].case][1], 0),)
    else:
        files = tuple(
            (grid, names[case][1], index)
            for index, (grid, case) in enumerate(zip(volume.grids, volume.cases))
        )
    notes = tuple(dict.fromkeys([*volume.notes, *(note for grid in volume.grids for note in grid.notes)]))
    probability = stack.probability if keep_probability else None
    volume_presences = tuple(map(max, zip(*scores)))
    return MarkedVolume(
        name,
        stem,
        array,
        stack.mask,
        stack.organ,
        probability,
        tuple(slices),
        files,
        spacing,
        channel,
        notes,
        named(trained.classes),
        volume_presences,
        stack.doubt,
        stack.uncertainty,
    )


class _Stack:
    """Hold masks and probabilities in the order of the files; views fill them in the order of the
    computation.
    """

    def __init__(self, volume: AssembledVolume, trained, keep_probability: bool, keep_uncertainty: bool):
        shape = restore(volume.array[..., 0], volume.axes, volume.flips).shape
        self.volume = volume
        self.mask, self.organ = np.zeros(shape, np.uint8), np.zeros(shape, bool)
        self.probability = np.zeros((*shape, len(trained.classes)), np.float32) if keep_probability else None
        self.uncertainty = np.zeros(shape, np.float32) if keep_uncertainty else None
        self.doubt: StudyUncertainty | None = None

    def fill(self, trained, prepared: PreparedVolume, maps: NetworkMaps, opinions) -> list[tuple[float, ...]]:
        """Mark all slices and return the presence scores of each, in the order in which they were
        computed.
        """
        axes, flips = self.volume.axes, self.volume.flips
        mask, organs = reorient(self.mask, axes, flips), reorient(self.organ, axes, flips)
        probability = None if self.probability is None else reorient(self.probability, axes, flips)
        power, presences = trained.marking.pooling_power, [(0.0,) * (1 + len(trained.classes))] * len(mask)
        result = trained.volume(maps.result, prepared.images, prepared.organ)
        if maps.opinions is not None:
            self.doubt = opinions.study(maps.opinions, prepared.organ, result, trained.marking.threshold)
            self._fill_uncertainty(opinions.pixel_map(maps.opinions, prepared.organ), prepared)

        def mark(order: int) -> None:
            index = self.volume.wanted[order][0]
            probability_map, organ = prepared.box.restore_map(result[order], prepared.organ[order])
            mask[index], organs[index] = trained.marking.mask(probability_map, organ), organ
            if probability is not None:
                probability[index] = probability_map
            presences[index] = _presences(probability_map, organ, power)

        in_threads(mark, range(len(result)))
        return presences

    def _fill_uncertainty(self, maps, prepared: PreparedVolume) -> None:
        """Put the uncertainty of each pixel (slices, side, side) onto the files' grid, when it is kept."""
        if self.uncertainty is None:
            return
        uncertainty = reorient(self.uncertainty, self.volume.axes, self.volume.flips)
        for order, own in enumerate(maps):
            restored, _ = prepared.box.restore_map(own[..., None], prepared.organ[order])
            uncertainty[self.volume.wanted[order][0]] = restored[..., 0]


def _presences(maps, organ, power) -> tuple[float, ...]:
    """Return the score of a slice, and of each lesion class in it.

    Args:
        maps: (H, W, classes) probabilities.
        organ: (H, W) bool.
        power: Power of the generalised mean.
    """
    of_classes = [np.asarray(maps[..., index][organ], np.float64) for index in range(maps.shape[-1])]
    highest = functools.reduce(np.maximum, of_classes)
    everywhere = np.ones(highest.shape, bool)
    scores = [image_score(values, everywhere, power) for values in of_classes]
    return scores[0] if len(scores) == 1 else image_score(highest, everywhere, power), *scores


def _source(volume: AssembledVolume, index: int):
    """Return (grid, case, reference, number in its file) of slice `index` of the stack."""
    if len(volume.grids) > 1:
        return volume.grids[index], volume.cases[index], volume.grids[index].references[0], 0
    grid = volume.grids[0]
    reference = grid.references[index]
    cases = {slice_index: case for slice_index, case, *_ in volume.wanted}
    case = (
        volume.cases[0]
        if volume.axes[0]
        else cases.get(len(cases) - 1 - index if volume.flips[0] else index, volume.cases[0])
    )
    return grid, case, reference, index if reference.number is None else reference.number


def stack_spacing(volume: AssembledVolume) -> tuple[float, float, float] | None:
    """Return the distance between slices, rows and columns of the stack, in mm."""
    if volume.spacing_mm is None or (volume.axes, volume.flips) == IDENTITY:
        return volume.spacing_mm
    if len(volume.grids) == 1 and volume.affines[0] is not None:
        return spacing_of(volume.affines[0])
    order = np.argsort(volume.axes)
    return tuple(volume.spacing_mm[axis] for axis in order)
