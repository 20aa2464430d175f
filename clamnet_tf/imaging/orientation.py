"""Give every volume with a position in the patient the same orientation, and restore the stored one.

Axes are permuted and reversed, never interpolated, so that slices run from the feet to the head, rows from
front to back and columns from the patient's right to the left. That is how scanners store an axial
head-first-supine DICOM series.
"""

import numpy as np

from clamnet_tf.errors import ImageError

IDENTITY = ((0, 1, 2), (False, False, False))
_NAMES = ("sagittal", "coronal", "axial")  # by the patient axis (x, y, z) along which slices are stacked
_SMALLEST_SIDE = 8  # pixels, as in volume.check_size
_OBLONG, _TOO_OBLONG = 1.5, 4.0  # longer to shorter side of a pixel of an axial plane
_DOMINANT = float(np.cos(np.radians(45))) + 1e-6


def to_axial(where, affine: np.ndarray) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return the permutation and the reversals that turn a stored array to axial slices.

    Args:
        where: file or folder, named in messages.
        affine: 4x4, index along the three stored axes -> patient millimetres, LPS axes (DICOM PS3.3
            C.7.6.2.1.1).

    Returns:
        (axes, flips) as in `volume.Grid`: `axes[n]` is the stored axis that becomes axis n of (slices, rows,
            columns).

    Raises:
        ImageError: some stored axis is 45 degrees or more away from every axis of the patient.
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    patient = np.abs(directions).argmax(axis=0)  # of each stored axis
    cosines = np.abs(directions).max(axis=0)
    if (cosines < _DOMINANT).any() or len(set(patient.tolist())) < 3:
        worst = np.degrees(np.arccos(np.clip(cosines.min(), 0, 1)))
        raise ImageError(
            f"{where}: oblique by {worst:.0f} degrees: an axis of the stored grid must be within 45 degrees "
            f"of an axis of the patient, or "
            "its axial slices are not defined. Resample it to axial slices (for example with "
            "SimpleITK's Resample) and give that volume."
        )
    slices, rows, columns = (int(np.flatnonzero(patient == world)[0]) for world in (2, 1, 0))
    flips = bool(directions[2, slices] < 0), bool(directions[1, rows] < 0), bool(directions[0, columns] < 0)
    return (slices, rows, columns), flips


def check_turned(where, shape: tuple, affine: np.ndarray | None, plane: str) -> tuple[str, ...]:
    """Check axial planes through a stack of sagittal or coronal slices, and return notes on them.

    Args:
        where: file or folder, named in messages.
        shape: (slices, rows, columns) after the turn.
        affine: 4x4 of the turned volume, or None when its spacing is not known.
        plane: plane of the stored slices, sagittal or coronal.

    Raises:
        ImageError: the planes have too few pixels, or pixels so oblong that no model made for axial slices
            can mark them.
    """
    if min(shape[1:]) < _SMALLEST_SIDE:
        raise ImageError(
            f"{where}: {min(shape[1:])} {plane} slices: axial planes through them are {shape[1]} x "
            f"{shape[2]} pixels, and at least {_SMALLEST_SIDE} x "
            f"{_SMALLEST_SIDE} are needed. Give an axial series, or a {plane} one of thin slices."
        )
    if affine is None:
        return (f"{plane} slices of unknown spacing: brought to axial planes, whose pixels may be oblong",)
    _, rows, columns = spacing_of(affine)
    oblong = max(rows, columns) / min(rows, columns)
    if oblong > _TOO_OBLONG:
        raise ImageError(
            f"{where}: {plane} slices: pixels of axial planes through them are {rows:.3g} x {columns:.3g} "
            f"mm, too oblong to be marked as axial slices. "
            "Give an axial series, or resample this one to cubes (for example with SimpleITK's Resample)."
        )
    if oblong > _OBLONG:
        return (
            f"{plane} slices: pixels of axial planes through them are oblong, {rows:.3g} x {columns:.3g} mm; "
            f"models know nearly square ones",
        )
    return ()


def plane_name(affine: np.ndarray) -> str:
    """Return axial, coronal or sagittal, the plane nearest to (row, column); affine as in `to_axial`."""
    normal = np.cross(affine[:3, 1], affine[:3, 2])
    return _NAMES[int(np.abs(normal).argmax())]


def reorient(stored: np.ndarray, axes: tuple, flips: tuple) -> np.ndarray:
    """Return an array as stored (a, b, c, ...) in the order (slices, rows, columns, ...), as a view."""
    values = stored.transpose(*axes, *range(3, stored.ndim))
    return values[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]


def restore(values: np.ndarray, axes: tuple, flips: tuple) -> np.ndarray:
    """Return (slices, rows, columns, ...) in the stored order (a, b, c, ...), as a view: the inverse of
    `reorient`.
    """
    values = values[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return values.transpose(*np.argsort(axes), *range(3, values.ndim))


def index_transform(stored_shape: tuple, axes: tuple, flips: tuple) -> np.ndarray:
    """Return the 4x4 matrix from (slice, row, column, 1) of the reoriented array to stored (a, b, c, 1)."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for column, (axis, flip) in enumerate(zip(axes, flips)):
        matrix[axis, column] = -1.0 if flip else 1.0
        matrix[axis, 3] = stored_shape[axis] - 1 if flip else 0.0
    return matrix


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Return the distance between slice planes (perpendicular), rows and columns in mm.

    Args:
        affine: 4x4, (slice, row, column, 1) -> mm.
    """
    slices, rows, columns = affine[:3, :3].T
    normal = np.cross(rows, columns)
    between = abs(slices @ normal) / np.linalg.norm(normal)
    return float(between), float(np.linalg.norm(rows)), float(np.linalg.norm(columns))
