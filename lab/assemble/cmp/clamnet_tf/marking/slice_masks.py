"""From a probability map to a mask: the one function that evaluation, the report and `predict` share."""

import numpy as np
from scipy import ndimage

from clamnet_tf.errors import DataError

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def mask_from_probability(
    probability: np.ndarray,
    organ: np.ndarray | None,
    threshold: float,
    smallest_component: float = 0.0,
    fill_holes: bool = False,
) -> np.ndarray:
    """Probability (H, W) float 0..1 -> mask (H, W) bool: `probability >= threshold` inside the organ.

    organ: (H, W) bool, or None for the whole image. Holes are filled first (4-connected background, organ only), then
    8-connected components smaller than `smallest_component` x the organ's area are removed.
    """
    probability = np.asarray(probability, np.float32)
    inside = np.ones(probability.shape, bool) if organ is None else np.asarray(organ, bool)
    if probability.ndim != 2 or inside.shape != probability.shape:
        raise DataError(f"Expected a probability map and an organ mask of one shape (H, W); received {probability.shape} and {inside.shape}.")
    if not np.isfinite(probability).all():
        raise DataError("A probability map holds NaN or infinite values; the network's weights are probably not finite: train again.")
    mask = (probability >= threshold) & inside
    if fill_holes:
        mask = ndimage.binary_fill_holes(mask) & inside
    if smallest_component > 0 and mask.any():
        labels, _ = ndimage.label(mask, _EIGHT_NEIGHBOURS)
        keep = np.bincount(labels.ravel()) >= smallest_component * np.count_nonzero(inside)
        keep[0] = False
        mask = keep[labels]
    return mask
