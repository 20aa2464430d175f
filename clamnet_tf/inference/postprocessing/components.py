"""Keep the main three-dimensional component of a volume's mask, and remove components that are small
beside it.
"""

import numpy as np
from scipy import ndimage

_TOUCHING = np.ones((3, 3, 3), bool)
# of the slice's width: search radius around the mirrored place, since no head is quite straight or symmetric
_MIRROR_REACH = 4 / 128
_LEAST_ONE_SIDED = 0.05  # a component that is marked on both sides keeps this share of its mass


def keep_largest_components(
    probability: np.ndarray, threshold: float, share: float, suppress_bilateral: bool = False
) -> np.ndarray:
    """Return the marked voxels of components that matter.

    A component's mass is the sum of (probability - threshold) over its voxels, so that a sure body outweighs
    a large doubtful one.

    Args:
        probability: (S, H, W) float in 0..1.
        threshold: a voxel is marked at or above it.
        share: components (26 neighbours) with less than this share of the heaviest one's mass are left out; 0
            keeps all.
        suppress_bilateral: whether the heaviest component is chosen, and the others compared with it, by mass
            times how little is marked at the mirrored place (columns reversed): 1 minus the mean probability
            there, at least 0.05; what is small beside it by mass alone is left out as well. This is for
            organs that are alike on both sides, cropped so that their middle is the slice's, where a lesion
            is on one side. A body across the middle is its own mirror image (ventricles are); it weighs less
            beside others, and stays when it is alone.

    Returns:
        (S, H, W) bool.
    """
    marked = probability >= threshold
    if not share or not marked.any():
        return marked
    labels, count = ndimage.label(marked, _TOUCHING)
    indices = np.arange(1, count + 1)
    mass = ndimage.sum_labels(probability - threshold, labels, indices)
    keep = mass >= share * mass.max()
    if suppress_bilateral:
        weighed = mass * np.maximum(
            1.0 - ndimage.mean(mirrored(probability), labels, indices), _LEAST_ONE_SIDED
        )
        keep = (weighed >= share * weighed.max()) & (mass >= share * mass[np.argmax(weighed)])
    return np.concatenate([[False], keep])[labels]


def mirrored(probability: np.ndarray) -> np.ndarray:
    """Return the highest value near the mirrored place of every voxel, (S, H, W)."""
    reach = max(1, round(_MIRROR_REACH * probability.shape[2]))
    return ndimage.maximum_filter(probability, size=(1, 2 * reach + 1, 2 * reach + 1))[:, :, ::-1]
