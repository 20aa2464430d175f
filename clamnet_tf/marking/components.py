"""Three-dimensional components of a volume's marks: the main one stays, what is small beside it goes."""

import numpy as np
from scipy import ndimage

_TOUCHING = np.ones((3, 3, 3), bool)


def main_components(probability: np.ndarray, threshold: float, share: float) -> np.ndarray:
    """The marked voxels of components that matter.

    A component's mass is the sum of (probability - threshold) over its voxels, so that a sure body outweighs a large doubtful one.

    Args:
        probability: (S, H, W) float in 0..1. threshold: a voxel is marked at or above it.
        share: components (26 neighbours) of less than this share of the heaviest one's mass are left out; 0 keeps all.

    Returns:
        (S, H, W) bool.
    """
    marked = probability >= threshold
    if not share or not marked.any():
        return marked
    labels, count = ndimage.label(marked, _TOUCHING)
    mass = ndimage.sum_labels(probability - threshold, labels, np.arange(1, count + 1))
    keep = np.concatenate([[False], mass >= share * mass.max()])
    return keep[labels]
