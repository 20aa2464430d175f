"""Measure distances between the borders of two masks, in pixels or millimetres.

Conventions, since HD95 differs by them (38.9 or 32.2 for one and the same case):
- the border of a mask consists of its pixels with a 4-neighbour (6-neighbour in 3-D) outside of the mask;
  outside of the image counts as outside of the mask (as in MONAI and MetricsReloaded);
- distances run from pixel centre to pixel centre of the other border, Euclidean;
- HD95 is the LARGER of the two directed 95th percentiles (linear interpolation), not the percentile of both
  pooled;
- one mask empty: the diagonal of the image, the worst possible distance; both empty: None.
"""

import math

import numpy as np
from scipy import ndimage

from clamnet_tf.errors import DataError

TOLERANCES_PX, TOLERANCES_MM = (2,), (2, 5)
"""Tolerances of the normalised surface Dice, in pixels, and in mm where the spacing is known."""
HD95_CONVENTION = (
    "per slice with truth: larger of the two directed 95th percentiles (linear interpolation) of Euclidean "
    "distances between border pixels (4-neighbour outside); empty or missing mask = image diagonal; mean "
    "over slices"
)


def border(mask: np.ndarray) -> np.ndarray:
    """Return the border pixels of a mask, bool of the same shape."""
    mask = np.asarray(mask, bool)
    return mask & ~ndimage.binary_erosion(mask)


def diagonal(shape: tuple[int, ...], spacing: tuple[float, ...] | None = None) -> float:
    """Return the length of the image's diagonal, in pixels or in the unit of `spacing` (one value per
    axis).
    """
    return math.sqrt(sum((side * step) ** 2 for side, step in zip(shape, _spacing(shape, spacing))))


def directed_distances(
    truth: np.ndarray, marked: np.ndarray, spacing: tuple[float, ...] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances from the border of each mask to the border of the other.

    Args:
        truth: bool, (rows, columns) or (slices, rows, columns); not empty.
        marked: bool, same shape; not empty.
        spacing: per axis, in mm; None: pixels.

    Returns:
        float64 from each border pixel of the truth to the mask's border, and from each of the mask's to the
        truth's.

    Raises:
        DataError: the shapes differ, or a mask is empty.
    """
    truth, marked = np.asarray(truth, bool), np.asarray(marked, bool)
    if truth.shape != marked.shape:
        raise DataError(
            f"Masks of different shapes cannot be compared: truth {truth.shape}, mask {marked.shape}."
        )
    if not truth.any() or not marked.any():
        raise DataError(
            "Border distances need two masks that are not empty; use hd95, which names the convention for "
            "empty ones."
        )
    steps = _spacing(truth.shape, spacing)
    box = ndimage.find_objects((truth | marked).astype(np.uint8))[0]
    # Erosion at the box's own edge is right: whatever lies beyond it is outside of both masks.
    truth_border, marked_border = border(truth[box]), border(marked[box])
    to_marked = ndimage.distance_transform_edt(~marked_border, sampling=steps)
    to_truth = ndimage.distance_transform_edt(~truth_border, sampling=steps)
    return to_marked[truth_border], to_truth[marked_border]


def hd95(truth: np.ndarray, marked: np.ndarray, spacing: tuple[float, ...] | None = None) -> float | None:
    """Return the 95th percentile Hausdorff distance by the conventions of the module.

    Args:
        truth: bool, (rows, columns) or (slices, rows, columns).
        marked: bool, same shape.
        spacing: per axis, in mm; None: pixels.

    Returns:
        The distance in pixels or in the unit of `spacing`; None when both masks are empty.

    Examples:
        >>> truth, marked = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
        >>> truth[2:4, 2:4], marked[2:4, 4:6] = True, True
        >>> hd95(truth, marked), hd95(truth, marked, spacing=(0.5, 0.5))
        (2.0, 1.0)
    """
    truth, marked = np.asarray(truth, bool), np.asarray(marked, bool)
    if not truth.any() and not marked.any():
        return None
    if not truth.any() or not marked.any():
        return diagonal(truth.shape, spacing)
    forth, back = directed_distances(truth, marked, spacing)
    return float(max(np.percentile(forth, 95), np.percentile(back, 95)))


def surface_dice(
    truth: np.ndarray, marked: np.ndarray, tolerances, spacing: tuple[float, ...] | None = None
) -> list[float] | None:
    """Return the normalised surface Dice at each tolerance: the share of both borders' pixels that lie within
    the tolerance of the other border (Nikolov et al. 2021, on border pixels as in MetricsReloaded).

    Args:
        truth: bool, (rows, columns) or (slices, rows, columns).
        marked: bool, same shape.
        tolerances: distances, in pixels or in the unit of `spacing`.
        spacing: per axis, in mm; None: pixels.

    Returns:
        0..1 per tolerance, 0 when one mask is empty; None when both are.

    Examples:
        >>> truth, marked = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
        >>> truth[2:4, 2:4], marked[2:4, 3:5] = True, True
        >>> surface_dice(truth, marked, (0, 1))
        [0.5, 1.0]
    """
    truth, marked = np.asarray(truth, bool), np.asarray(marked, bool)
    if not truth.any() and not marked.any():
        return None
    if not truth.any() or not marked.any():
        return [0.0 for _ in tolerances]
    distances = np.concatenate(directed_distances(truth, marked, spacing))
    return [float(np.mean(distances <= tolerance)) for tolerance in tolerances]


def _spacing(shape, spacing) -> tuple[float, ...]:
    if spacing is None:
        return (1.0,) * len(shape)
    if len(spacing) != len(shape) or not all(math.isfinite(step) and step > 0 for step in spacing):
        raise DataError(
            f"Spacing must be {len(shape)} positive numbers, one per axis; received {tuple(spacing)}."
        )
    return tuple(float(step) for step in spacing)
