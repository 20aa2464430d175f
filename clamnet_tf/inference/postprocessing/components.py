"""Three-dimensional components of a volume's marks: the main one stays, what is small beside it goes."""

import numpy as np
from scipy import ndimage

_TOUCHING = np.ones((3, 3, 3), bool)
_MIRROR_REACH = (
    4 / 128
)  # of the slice's width: how far around the exact mirrored place is looked: no head is straight or quite alike on both sides
_LEAST_ONE_SIDED = 0.05  # a component that is marked on both sides keeps this share of its mass


def keep_largest_components(
    probability: np.ndarray, threshold: float, share: float, suppress_bilateral: bool = False
) -> np.ndarray:
    """The marked voxels of components that matter.

    A component's mass is the sum of (probability - threshold) over its voxels, so that a sure body outweighs
    a large doubtful one.

    Args:
        probability: (S, H, W) float in 0..1. threshold: a voxel is marked at or above it.
        share: components (26 neighbours) of less than this share of the heaviest one's mass are left out; 0
            keeps all.
        suppress_bilateral: the heaviest one is found, and the others compared with it, by mass times how little is
            marked at the mirrored place (columns
            reversed): 1 less the mean probability there, at least 0.05; what is small beside it by mass alone
                goes as well. For organs that
            are alike on both sides, cropped so that their middle is the slice's, where a lesion is on one
            side. A body across the middle is its own twin (ventricles are); it weighs less beside others, and
            stays when it is alone.

    Returns:
        (S, H, W) bool.
    """
    marked = probability >= threshold
    if not share or not marked.any():
        return marked
    labels, count = ndimage.label(marked, _TOUCHING)
    numbers = np.arange(1, count + 1)
    mass = ndimage.sum_labels(probability - threshold, labels, numbers)
    keep = mass >= share * mass.max()
    if suppress_bilateral:
        weighed = mass * np.maximum(
            1.0 - ndimage.mean(mirrored(probability), labels, numbers), _LEAST_ONE_SIDED
        )
        keep = (weighed >= share * weighed.max()) & (mass >= share * mass[np.argmax(weighed)])
    return np.concatenate([[False], keep])[labels]


def mirrored(probability: np.ndarray) -> np.ndarray:
    """(S, H, W) -> the highest value near the mirrored place of every voxel."""
    reach = max(1, round(_MIRROR_REACH * probability.shape[2]))
    return ndimage.maximum_filter(probability, size=(1, 2 * reach + 1, 2 * reach + 1))[:, :, ::-1]
