"""Files of one slice each as one volume: their order, their turn to axial slices, and what they must
agree in."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.orientation import (
    IDENTITY,
    check_turned,
    index_transform,
    plane_name,
    reorient,
    restore,
    spacing_of,
    to_axial,
)
from clamnet_tf.imaging.volume import Grid, Volume

_EVEN, _ROUNDING_MM = 0.05, 0.11  # as in imaging.dicom_geometry


@dataclass(frozen=True)
class Single:
    """One file of one slice: array (1, H, W, C) of the chosen channels, organ (1, H, W) or None, both as
    `read_volume` turns it."""

    path: Path
    case: int
    array: np.ndarray
    organ: np.ndarray | None
    volume: Volume
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stack:
    """Files as one volume. array, organ, wanted, spacing_mm: as in `volumes.AssembledVolume`.

    axes, flips: what was done to the stack of slices as the files hold them (`imaging.orientation.reorient`)
    grids, affines, cases: per slice of that stack: the file's grid, the affine of the slice as stored
        (None = unknown), its case
    """

    array: np.ndarray
    organ: np.ndarray | None
    wanted: tuple[tuple[int, int, int, float], ...]
    spacing_mm: tuple[float, float, float] | None
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    grids: tuple[Grid, ...]
    affines: tuple[np.ndarray | None, ...]
    cases: tuple[int, ...]
    excluded: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def stored_affine(volume: Volume) -> np.ndarray | None:
    """Return the 4x4 of the slices as a DICOM file or folder stores them: (slice, row, column, 1) -> mm,
    LPS; of others the volume's."""
    axes, flips = turn_of(volume)
    if volume.affine is None or (axes, flips) == IDENTITY:
        return volume.affine
    shape = restore(volume.array[..., 0], axes, flips).shape
    return volume.affine @ np.linalg.inv(index_transform(shape, axes, flips))


def turn_of(volume: Volume) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return (axes, flips) between the slices of a DICOM file or folder, in the order of position, and
    `volume.array`; of others the identity."""
    return (volume.grid.axes, volume.grid.flips) if volume.grid.kind == "dicom" else IDENTITY


def stack_files(manifest: Manifest, single: list[Single]) -> Stack:
    """Put files of one slice each together, and turn them to axial slices where all of them have a place
    in the patient.

    Args:
        manifest: for the label and position of each file's case.
        single: in the order of the group; files with a place are ordered by it.

    Raises:
        DataError: sizes, channels or orientations that differ; slices that cannot be turned, or whose
            labels cannot.
        ImageError: slices oblique to every plane of the patient.
    """
    _check_sizes(single)
    affines = [stored_affine(one.volume) for one in single]
    places = [manifest.cases[one.case].position for one in single]
    if all(affine is not None for affine in affines):
        along = [float(affine[:3, 3] @ np.cross(affines[0][:3, 2], affines[0][:3, 1])) for affine in affines]
        if along != sorted(along):
            order = sorted(range(len(single)), key=along.__getitem__)
            single, affines, places = ([some[n] for n in order] for some in (single, affines, along))
        axes, flips, notes = _turn(manifest, single, affines)
    else:
        axes, flips, notes = (*_common_turn(single), ())
    if None in places or places[0] == places[-1]:
        places = list(range(len(single)))
    arrays = [restore(one.array, *turn_of(one.volume)) for one in single]
    array = np.ascontiguousarray(reorient(np.concatenate(arrays), axes, flips))
    organ = None
    if single[0].organ is not None:
        organs = [restore(one.organ, *turn_of(one.volume)) for one in single]
        organ = np.ascontiguousarray(reorient(np.concatenate(organs), axes, flips))
    spacing = _spacing(single)
    if spacing is not None and axes[0]:
        spacing = spacing_of(
            _whole_affine(affines) @ index_transform((len(single), *arrays[0].shape[1:3]), axes, flips)
        )
    return Stack(
        array,
        organ,
        _wanted(single, places, array.shape[0], axes, flips),
        spacing,
        axes,
        flips,
        tuple(one.volume.grid for one in single),
        tuple(affines),
        tuple(one.case for one in single),
        _excluded(single, axes, flips),
        tuple(dict.fromkeys([*(note for one in single for note in one.notes), *notes])),
    )


def _excluded(single, axes, flips) -> np.ndarray | None:
    """Where no patient is shown, like the turned array; None when no file says so."""
    if all(one.volume.excluded is None for one in single):
        return None
    parts = []
    for one in single:
        hidden = np.zeros(one.array.shape[:3], bool) if one.volume.excluded is None else one.volume.excluded
        parts.append(restore(hidden, *turn_of(one.volume)))
    return np.ascontiguousarray(reorient(np.concatenate(parts), axes, flips))


def _wanted(single, places, count, axes, flips):
    if axes[0]:
        return tuple((number, single[0].case, number, number / (count - 1)) for number in range(count))
    span = places[-1] - places[0]
    positions = [(place - places[0]) / span if span else 0.5 for place in places]
    if flips[0]:
        last = len(single) - 1
        return tuple(
            (number, single[last - number].case, 0, 1 - positions[last - number])
            for number in range(len(single))
        )
    return tuple(
        (number, one.case, 0, position) for number, (one, position) in enumerate(zip(single, positions))
    )


def _turn(manifest, single, affines):
    """(axes, flips, notes) of the whole stack."""
    first = single[0].path
    turned = max(np.abs(_directions(affine) - _directions(affines[0])).max() for affine in affines)
    if turned > 0.02:
        raise DataError(
            f"{first}: slices of one series have different orientations; give them different 'series' in a "
            f"manifest.csv."
        )
    whole = _whole_affine(affines)
    axes, flips = to_axial(first, whole)
    plane = plane_name(whole)
    if not axes[0]:
        return axes, flips, ()
    if len(single) == 1:
        raise DataError(
            f"{first}: a single {plane} slice. Models mark axial slices, and axial planes through one "
            f"{plane} slice cannot be made. "
            "Give its whole series, or an axial slice."
        )
    shape = (len(single), *_stored_sides(single[0]))
    _require_even(single, affines, plane)
    _require_one_label(manifest, single, plane)
    notes = check_turned(
        first, tuple(shape[axis] for axis in axes), whole @ index_transform(shape, axes, flips), plane
    )
    return axes, flips, (f"{plane} slices: brought to axial planes to be marked, and back", *notes)


def _stored_sides(one: Single) -> tuple[int, int]:
    """Rows and columns of a file as stored."""
    return restore(one.array[..., 0], *turn_of(one.volume)).shape[1:]


def _common_turn(single):
    """Without the place of every slice: the turn that each file asks for by its directions, which must
    be the same for all."""
    turns = {turn_of(one.volume) for one in single}
    if len(turns) > 1:
        raise DataError(
            f"{single[0].path}: some slices of its series have a place in the patient, turned against how "
            f"they are stored, and others have none; "
            "leave out those without, or give them different 'series' in a manifest.csv."
        )
    return turns.pop()


def _whole_affine(affines):
    whole = affines[0].copy()
    if len(affines) > 1:
        step = (affines[-1][:3, 3] - affines[0][:3, 3]) / (len(affines) - 1)
        if np.linalg.norm(step) > 1e-6:
            whole[:3, 0] = step
    return whole


def _directions(affine):
    return affine[:3, 1:3] / np.linalg.norm(affine[:3, 1:3], axis=0)


def _require_even(single, affines, plane):
    normal = np.cross(affines[0][:3, 2], affines[0][:3, 1])
    gaps = np.diff([affine[:3, 3] @ normal / np.linalg.norm(normal) for affine in affines])
    usual = float(np.median(gaps))
    odd = np.flatnonzero(np.abs(gaps - usual) > max(_EVEN * usual, _ROUNDING_MM))
    if odd.size or usual < 1e-3:
        where = int(odd[0]) if odd.size else 0
        raise DataError(
            f"{single[0].path}: {plane} slices with uneven gaps (usually {usual:.2f} mm, {gaps[where]:.2f} "
            f"mm between {single[where].path.name} and "
            f"{single[where + 1].path.name}): axial planes through them would be distorted. Fetch the "
            f"missing slices."
        )


def _require_one_label(manifest, single, plane):
    cases = [manifest.cases[one.case] for one in single]
    odd = next((case for case in cases if differs(case, cases[0])), None)
    if odd is not None:
        raise DataError(
            f"{odd.image}: labelled otherwise than {cases[0].image.name} of the same series, whose {plane} "
            f"slices are brought to axial ones: labels of "
            f"{plane} slices cannot be labels of axial slices. Label the series as a whole, or give an axial "
            f"series."
        )


def differs(case, other) -> bool:
    """Return whether two cases of one series say different things of their slices."""
    return (case.label, case.markers, case.eta) != (other.label, other.markers, other.eta)


def _check_sizes(single):
    first = single[0]
    for other in single[1:]:
        for what, axes in (("size", slice(1, 3)), ("channel count", slice(3, 4))):
            if other.array.shape[axes] != first.array.shape[axes]:
                raise DataError(
                    f"slices of one series differ in {what}: {first.path} has {_by(first, axes)}, "
                    f"{other.path} has {_by(other, axes)}; "
                    "give them different 'series' in a manifest.csv, or leave one out."
                )


def _by(one: Single, axes) -> str:
    return " x ".join(str(number) for number in one.array.shape[axes])


def _spacing(single: list[Single]) -> tuple[float, float, float] | None:
    """Spacing of single-slice files: rows and columns as the files say (None unless all agree), slices
    by the median
    distance of their affines' origins along the normal when all have one."""
    spacings = {one.volume.spacing_mm for one in single}
    if len({spacing and spacing[1:] for spacing in spacings}) > 1 or None in spacings:
        return None
    affines = [one.volume.affine for one in single]
    between, rows, columns = first = single[0].volume.spacing_mm
    if len(single) > 1 and all(affine is not None for affine in affines):
        normal = np.cross(affines[0][:3, 1], affines[0][:3, 2])
        gaps = np.abs(np.diff([np.dot(affine[:3, 3], normal) for affine in affines])) / np.linalg.norm(normal)
        gaps = gaps[gaps > 0]
        between = float(np.median(gaps)) if len(gaps) else between
    return (between, rows, columns) if len(single) > 1 else first
