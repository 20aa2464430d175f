"""One volume with what was marked in it, on the grid of its files: what every writer of masks starts from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.imaging.orientation import IDENTITY, reorient, restore, spacing_of
from clamnet_tf.imaging.series_sorting import SET_ASIDE
from clamnet_tf.imaging.volume import Grid, SliceReference
from clamnet_tf.metrics.localisation import image_score, marked_fraction
from clamnet_tf.prediction.planes import Plane, along_normal, planes_of
from clamnet_tf.preprocessing.prepared_volume import PreparedVolume
from clamnet_tf.preprocessing.volumes import AssembledVolume
from clamnet_tf.recipe.classes import named


@dataclass(frozen=True)
class MarkedSlice:
    """case: index in the manifest; inside: number of the slice in its file, as the column `slice` of tables
    means it; stem: where its results go, below the output folder, without suffix; position_mm: along the
    normal of the volume; presence: score 0..1;
    of_classes: marked pixels and presence of each lesion class."""

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
    """array: (S, H, W, C) float32, values of the files; mask, organ: (S, H, W) uint8 label map and bool;
    probability: (S, H, W, M) float32 0..1 of each lesion class, 0 outside of the organ, None unless asked
    for. All on the files' own grid. Slices of DICOM are those that the files hold, sagittal ones too, in the
    order of position; those of a NIfTI file are its axial planes.

    files: per grid (grid, stem of its results, index of its first slice); stem: where results of the whole
    volume go
    channel: the one to show; spacing_mm: slices, rows, columns; names: of the lesion classes, () for one
    without a name
    presences: the highest score of the slices that were marked, then of each lesion class; those are not the
        stored slices of a sagittal or coronal series
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

    @property
    def kind(self) -> str:
        """dicom, nifti, picture or npy."""
        return self.files[0][0].kind

    @property
    def set_aside(self) -> tuple[str, ...]:
        """Images of its series that belong to no volume, each with the reason."""
        return tuple(note for note in self.notes if SET_ASIDE in note)

    @property
    def planes(self) -> tuple[Plane | None, ...]:
        return tuple(one.plane for one in self.slices)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order of slices."""
        return tuple(dict.fromkeys(one.reference.path for one in self.slices))


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
) -> MarkedVolume:
    """The network's answer, put back on the files' grid and thresholded.

    trained: see inference.trained_model.Trained. names: case index -> (input as it is called in tables, stem
    of its results).
    """
    stack = _Stack(volume, trained, keep_probability or volume.axes[0] != 0)
    scores = stack.fill(trained, prepared)
    presences = None if volume.axes[0] else scores[:: -1 if volume.flips[0] else 1]
    array, pixels = restore(volume.array, volume.axes, volume.flips), trained.marking.pooling_power
    planes = planes_of(volume)
    positions, spacing = along_normal(planes), _stack_spacing(volume)
    pixel_mm2, slices = spacing and spacing[1] * spacing[2], []
    for number, plane in enumerate(planes):
        grid, case, reference, inside = _source(volume, number)
        marked, organ = stack.mask[number], stack.organ[number]
        if presences is None:
            presence = _presences(stack.probability[number], organ, pixels)
        else:
            presence = presences[number]
        count = int(np.count_nonzero(marked))
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
                position_mm=positions[number],
                presence=presence[0],
                marked_px=count,
                organ_px=int(organ.sum()),
                marked_fraction=marked_fraction(marked, organ),
                area_mm2=count * plane.pixel_mm2
                if plane and pixel_mm2
                else None
                if pixel_mm2 is None
                else count * pixel_mm2,
                of_classes=tuple(
                    (int((marked == k + 1).sum()), presence[k + 1]) for k in range(len(trained.classes))
                ),
            )
        )
    if len(volume.grids) == 1:
        files = ((volume.grids[0], names[slices[0].case][1], 0),)
    else:
        files = tuple(
            (grid, names[case][1], number)
            for number, (grid, case) in enumerate(zip(volume.grids, volume.cases))
        )
    notes = tuple(dict.fromkeys([*volume.notes, *(note for grid in volume.grids for note in grid.notes)]))
    probability = stack.probability if keep_probability else None
    whole = tuple(map(max, zip(*scores)))
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
        whole,
    )


class _Stack:
    """What is marked, in the order in which the files hold it; filled through views in the order in which it
    was computed.
    """

    def __init__(self, volume: AssembledVolume, trained, keep_probability: bool):
        shape = restore(volume.array[..., 0], volume.axes, volume.flips).shape
        self.volume = volume
        self.mask, self.organ = np.zeros(shape, np.uint8), np.zeros(shape, bool)
        self.probability = np.zeros((*shape, len(trained.classes)), np.float32) if keep_probability else None

    def fill(self, trained, prepared: PreparedVolume) -> list[tuple[float, ...]]:
        """Mark all slices. Returns the presences of each of them, in the order in which they were marked."""
        axes, flips = self.volume.axes, self.volume.flips
        mask, organs = reorient(self.mask, axes, flips), reorient(self.organ, axes, flips)
        probability = None if self.probability is None else reorient(self.probability, axes, flips)
        power, found = trained.marking.pooling_power, [(0.0,) * (1 + len(trained.classes))] * len(mask)
        for place, one in enumerate(
            trained.volume(trained.probability(prepared.images), prepared.images, prepared.organ)
        ):
            number = self.volume.wanted[place][0]
            one, organ = prepared.box.restore_map(one, prepared.organ[place])
            mask[number], organs[number] = trained.marking.mask(one, organ), organ
            if probability is not None:
                probability[number] = one
            found[number] = _presences(one, organ, power)
        return found


def _presences(maps, organ, power) -> tuple[float, ...]:
    """Score of a slice, and of each lesion class in it; maps: (H, W, M)."""
    return tuple(image_score(one, organ, power) for one in (maps.max(axis=-1), *np.moveaxis(maps, -1, 0)))


def _source(volume: AssembledVolume, number: int):
    """(grid, case, reference, number in its file) of slice `number` of the stack."""
    if len(volume.grids) > 1:
        return volume.grids[number], volume.cases[number], volume.grids[number].references[0], 0
    grid = volume.grids[0]
    reference = grid.references[number]
    cases = {one: case for one, case, *_ in volume.wanted}
    case = (
        volume.cases[0]
        if volume.axes[0]
        else cases.get(len(cases) - 1 - number if volume.flips[0] else number, volume.cases[0])
    )
    return grid, case, reference, number if reference.number is None else reference.number


def _stack_spacing(volume: AssembledVolume) -> tuple[float, float, float] | None:
    """Slices, rows and columns of the stack, in mm."""
    if volume.spacing_mm is None or (volume.axes, volume.flips) == IDENTITY:
        return volume.spacing_mm
    if len(volume.grids) == 1 and volume.affines[0] is not None:
        return spacing_of(volume.affines[0])
    places = np.argsort(volume.axes)
    return tuple(volume.spacing_mm[place] for place in places)
