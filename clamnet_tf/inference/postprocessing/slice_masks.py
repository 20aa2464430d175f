"""Turn probability maps into a label map: the one function that evaluation, the report and `predict`
share.
"""

import numpy as np
from scipy import ndimage

from clamnet_tf.errors import DataError

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def label_map(
    maps: np.ndarray,
    organ: np.ndarray | None,
    threshold: float,
    smallest_component: float = 0.0,
    fill_holes: bool = False,
) -> np.ndarray:
    """Mark each pixel as the class whose probability is highest there, where that reaches the threshold.

    Args:
        maps: (H, W, M) float in 0..1, of the lesion classes 1 .. M.
        organ: (H, W), nothing outside of it is marked; None for the whole image.
        threshold: the cut of every class, in 0..1.
        smallest_component: 8-connected components of a class that are smaller than this share of the organ's
            area are removed, after holes were filled.
        fill_holes: whether holes of each class are filled (4-connected background, organ only).

    Returns:
        (H, W) uint8: 0 background, 1 .. M.

    Raises:
        DataError: the shapes differ, or values are not finite.
    """
    maps = np.asarray(maps, np.float32)
    inside = np.ones(maps.shape[:-1], bool) if organ is None else np.asarray(organ, bool)
    if maps.ndim != 3 or inside.shape != maps.shape[:-1]:
        raise DataError(
            "Expected probability maps (H, W, classes) and an organ mask of one shape (H, W); "
            f"received {maps.shape} and {inside.shape}."
        )
    if not np.isfinite(maps).all():
        raise DataError(
            "A probability map holds NaN or infinite values; the network's weights are probably not finite: "
            "train again."
        )
    highest = _highest(maps)
    result = np.zeros(inside.shape, np.uint8)
    for index in range(maps.shape[-1]):
        mask = (maps[..., index] >= threshold) & inside
        if highest is not None:
            mask &= highest == index
        result[_cleaned(mask, inside, smallest_component, fill_holes)] = index + 1
    return result


def _highest(maps: np.ndarray) -> np.ndarray | None:
    """Return the index of the class whose probability is highest, the first of equal ones; None for one
    class.

    This is `maps.argmax(axis=-1)`, which takes ten times as long along an axis of few classes.
    """
    if maps.shape[-1] == 1:
        return None
    highest, best = np.zeros(maps.shape[:-1], np.uint8), maps[..., 0].copy()
    for index in range(1, maps.shape[-1]):
        higher = maps[..., index] > best
        highest[higher] = index
        np.maximum(best, maps[..., index], out=best)
    return highest


def _cleaned(mask, inside, smallest_component: float, fill_holes: bool) -> np.ndarray:
    """Return the mask (H, W) bool of one class with its holes filled, then without small components."""
    if fill_holes:
        mask = ndimage.binary_fill_holes(mask) & inside
    if smallest_component > 0 and mask.any():
        labels, _ = ndimage.label(mask, _EIGHT_NEIGHBOURS)
        keep = np.bincount(labels.ravel()) >= smallest_component * np.count_nonzero(inside)
        keep[0] = False
        mask = keep[labels]
    return mask
