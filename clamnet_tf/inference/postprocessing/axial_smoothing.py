"""Smooth maps over neighbouring slices: a lesion extends through slices, noise does not."""

import numpy as np
from scipy import ndimage

_REACH = 2.0  # standard deviations to either side


def smooth_axially(probability: np.ndarray, organ: np.ndarray, deviation: float) -> np.ndarray:
    """Return the Gaussian mean of each pixel over the slices of its volume.

    Args:
        probability: (S, H, W) float in 0..1, slices in order.
        organ: (S, H, W) bool.
        deviation: standard deviation of the Gaussian, in slices; 0 leaves the maps unchanged. Beyond the ends
            the first and the last slice repeat.

    Returns:
        (S, H, W) float32 in 0..1, 0 outside the organ of each slice.
    """
    probability = np.where(organ, probability, 0).astype(np.float32)
    if not deviation or len(probability) < 2:
        return probability
    smooth = ndimage.gaussian_filter1d(
        probability, deviation, axis=0, mode="nearest", radius=int(np.ceil(_REACH * deviation - 1e-9))
    )
    return np.where(organ, smooth, 0).astype(np.float32)
