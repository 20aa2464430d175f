"""Put files of one slice each together into one volume: order, orientation, and what they must agree in."""

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
    """One file of one slice.

    Attributes:
        path: the file.
        case: index of its case in the manifest.
        array: (1, H, W, C) with the chosen channels, turned as `read_volume` does.
        organ: (1, H, W), turned in the same way, or None.
        volume: the volume as read.
        notes: notes from reading.
    """

    path: Path
    case: int
    array: np.ndarray
    organ: np.ndarray | None
    volume: Volume
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stack:
    """Files as one volume.

    Attributes:
        array, organ, wanted, spacing_mm: as in `volumes.AssembledVolume`.
        axes, flips: how the stack of slices was turned from the files' order
            (`imaging.orientation.reorient`).
        grids, affines, cases: per slice of the stack as stored: the file's grid, the affine of the slice
            (None when unknown) and its case.
        excluded: bool, shape of `array` without channels: where no patient is shown; None when no file says
            so.
        notes: notes on the files and on the orientation.
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
    """Return the 4x4 affine (slice, row, column, 1) -> mm (LPS) of the slices as a DICOM file or folder
    stores them.

    For other files it is the volume's affine.
    """
    axes, flips = turn_of(volume)
    if volume.affine is None or (axes, flips) == IDENTITY:
        return volume.affine
    shape = restore(volume.array[..., 0], axes, flips).shape
    return volume.affine @ np.linalg.inv(index_transform(shape, axes, flips))


def turn_of(volume: Volume) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return (axes, flips) from the stored slices of a DICOM file or folder, by position, to `volume.array`.

    For other files it is the identity.
    """
    return (volume.grid.axes, volume.grid.flips) if volume.grid.kind == "dicom" else IDENTITY


def stack_files(manifest: Manifest, files: list[Single]) -> Stack:
    """Put files of one slice each together, and turn them to axial slices where all have a position in the
    patient.

    Args:
        manifest: gives the label and position of each file's case.
        single: the files in the order of the group; files with a position in the patient are ordered by it.

    Raises:
        DataError: sizes, channels or orientations differ, or slices or their labels cannot be turned.
        ImageError: the slices are oblique to every plane of the patient.
    """
    _check_sizes(files)
    affines = [stored_affine(file.volume) for file in files]
    positions = [manifest.cases[file.case].position for file in files]
    if all(affine is not None for affine in affines):
        along = [float(affine[:3, 3] @ np.cross(affines[0][:3, 2], affines[0][:3, 1])) for affine in affines]
        if along != sorted(along):
            order = sorted(range(len(files)), key=along.__getitem__)
            files, affines, positions = ([items[n] for n in order] for items in (files, affines, along))
        axes, flips, notes = _turn(manifest, files, affines)
    else:
        axes, flips, notes = (*_common_turn(files), ())
    if None in positions or positions[0] == positions[-1]:
        positions = list(range(len(files)))
    arrays = [restore(file.array, *turn_of(file.volume)) for file in files]
    array = np.ascontiguousarray(reorient(np.concatenate(arrays), axes, flips))
    organ = None
    if files[0].organ is not None:
        organs = [restore(file.organ, *turn_of(file.volume)) for file in files]
        organ = np.ascontiguousarray(reorient(np.concatenate(organs), axes, flips))
    spacing = _spacing(files)
    if spacing is not None and axes[0]:
        spacing = spacing_of(
            _stack_affine(affines) @ index_transform((len(files), *arrays[0].shape[1:3]), axes, flips)
        )
    return Stack(
        array,
        organ,
        _wanted(files, positions, array.shape[0], axes, flips),
        spacing,
        axes,
        flips,
        tuple(file.volume.grid for file in files),
        tuple(affines),
        tuple(file.case for file in files),
        _excluded(files, axes, flips),
        tuple(dict.fromkeys([*(note for file in files for note in file.notes), *notes])),
    )


def _excluded(files, axes, flips) -> np.ndarray | None:
    """Return where no patient is shown, like the turned array; None when no file says so."""
    if all(file.volume.excluded is None for file in files):
        return None
    parts = []
    for file in files:
        excluded = file.volume.excluded
        excluded = np.zeros(file.array.shape[:3], bool) if excluded is None else excluded
        parts.append(restore(excluded, *turn_of(file.volume)))
    return np.ascontiguousarray(reorient(np.concatenate(parts), axes, flips))


def _wanted(files, positions, count, axes, flips):
    """Return per slice of the turned volume (index, case, slice of the case, position from 0 to 1)."""
    if axes[0]:
        return tuple((index, files[0].case, index, index / (count - 1)) for index in range(count))
    span = positions[-1] - positions[0]
    shares = [(position - positions[0]) / span if span else 0.5 for position in positions]
    if flips[0]:
        last = len(files) - 1
        return tuple(
            (index, files[last - index].case, 0, 1 - shares[last - index]) for index in range(len(files))
        )
    return tuple((index, file.case, 0, share) for index, (file, share) in enumerate(zip(files, shares)))


def _turn(manifest, files, affines):
    """Return (axes, flips, notes) of the complete stack."""
    first_path = files[0].path
    turned = max(np.abs(_directions(affine) - _directions(affines[0])).max() for affine in affines)
    if turned > 0.02:
        raise DataError(
            f"{first_path}: slices of one series have different orientations; give them different "
            f"'series' in a manifest.csv."
        )
    stack_affine = _stack_affine(affines)
    axes, flips = to_axial(first_path, stack_affine)
    plane = plane_name(stack_affine)
    if not axes[0]:
        return axes, flips, ()
    if len(files) == 1:
        raise DataError(
            f"{first_path}: a single {plane} slice. Models mark axial slices, and axial planes through one "
            f"{plane} slice cannot be made. "
            "Give its whole series, or an axial slice."
        )
    shape = (len(files), *_stored_sides(files[0]))
    _require_even(files, affines, plane)
    _require_one_label(manifest, files, plane)
    notes = check_turned(
        first_path,
        tuple(shape[axis] for axis in axes),
        stack_affine @ index_transform(shape, axes, flips),
        plane,
    )
    return axes, flips, (f"{plane} slices: brought to axial planes to be marked, and back", *notes)


def _stored_sides(file: Single) -> tuple[int, int]:
    """Return rows and columns of a file as stored."""
    return restore(file.array[..., 0], *turn_of(file.volume)).shape[1:]


def _common_turn(files):
    """Return the turn that the directions of the files ask for; it must be the same for all."""
    turns = {turn_of(file.volume) for file in files}
    if len(turns) > 1:
        raise DataError(
            f"{files[0].path}: some slices of its series have a place in the patient, turned against how "
            f"they are stored, and others have none; "
            "leave out those without, or give them different 'series' in a manifest.csv."
        )
    return turns.pop()


def _stack_affine(affines):
    affine = affines[0].copy()
    if len(affines) > 1:
        step = (affines[-1][:3, 3] - affines[0][:3, 3]) / (len(affines) - 1)
        if np.linalg.norm(step) > 1e-6:
            affine[:3, 0] = step
    return affine


def _directions(affine):
    return affine[:3, 1:3] / np.linalg.norm(affine[:3, 1:3], axis=0)


def _require_even(files, affines, plane):
    normal = np.cross(affines[0][:3, 2], affines[0][:3, 1])
    gaps = np.diff([affine[:3, 3] @ normal / np.linalg.norm(normal) for affine in affines])
    usual = float(np.median(gaps))
    odd = np.flatnonzero(np.abs(gaps - usual) > max(_EVEN * usual, _ROUNDING_MM))
    if odd.size or usual < 1e-3:
        index = int(odd[0]) if odd.size else 0
        raise DataError(
            f"{files[0].path}: {plane} slices with uneven gaps (usually {usual:.2f} mm, {gaps[index]:.2f} "
            f"mm between {files[index].path.name} and "
            f"{files[index + 1].path.name}): axial planes through them would be distorted. Fetch the "
            f"missing slices."
        )


def _require_one_label(manifest, files, plane):
    cases = [manifest.cases[file.case] for file in files]
    odd = next((case for case in cases if differs(case, cases[0])), None)
    if odd is not None:
        raise DataError(
            f"{odd.image}: labelled otherwise than {cases[0].image.name} of the same series, whose {plane} "
            f"slices are brought to axial ones: labels of "
            f"{plane} slices cannot be labels of axial slices. Label the series as a whole, or give an axial "
            f"series."
        )


def differs(case, other) -> bool:
    """Return whether two cases of one series label their slices differently."""
    return (case.label, case.markers, case.eta) != (other.label, other.markers, other.eta)


def _check_sizes(files):
    first = files[0]
    for other in files[1:]:
        for property_name, axes in (("size", slice(1, 3)), ("channel count", slice(3, 4))):
            if other.array.shape[axes] != first.array.shape[axes]:
                raise DataError(
                    f"slices of one series differ in {property_name}: {first.path} has {_by(first, axes)}, "
                    f"{other.path} has {_by(other, axes)}; "
                    "give them different 'series' in a manifest.csv, or leave one out."
                )


def _by(file: Single, axes) -> str:
    return " x ".join(str(length) for length in file.array.shape[axes])


def _spacing(files: list[Single]) -> tuple[float, float, float] | None:
    """Return the spacing of single-slice files in mm, or None unless rows and columns of all files agree.

    The spacing between slices is the median distance of their affines' origins along the normal, when all
    files have an affine.
    """
    spacings = {file.volume.spacing_mm for file in files}
    if len({spacing and spacing[1:] for spacing in spacings}) > 1 or None in spacings:
        return None
    affines = [file.volume.affine for file in files]
    between, rows, columns = first = files[0].volume.spacing_mm
    if len(files) > 1 and all(affine is not None for affine in affines):
        normal = np.cross(affines[0][:3, 1], affines[0][:3, 2])
        gaps = np.abs(np.diff([np.dot(affine[:3, 3], normal) for affine in affines])) / np.linalg.norm(normal)
        gaps = gaps[gaps > 0]
        between = float(np.median(gaps)) if len(gaps) else between
    return (between, rows, columns) if len(files) > 1 else first
