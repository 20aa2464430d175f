"""Choose the cut of each volume where the border of its mask has the most contrast, without masks.

One cut for all volumes marks large lesions too small: their border voxels are less probable than those of a
small one. So the region is grown from what is marked at the common cut, or shrunk, until the contrast of the
image across its border falls. See docs/method.md, section "Volumes".
"""

import numpy as np
from scipy import ndimage

from clamnet_tf.inference.postprocessing.log_odds import log_odds, sigmoid
from clamnet_tf.threads import in_threads

#: Cuts that are tried, in log-odds from the common one.
OFFSETS = np.round(np.arange(-3.6, 1.21, 0.3), 1)
_BORDER = 2 / 128  # width of the border on either side, as a share of the slice's width
_LEAST_SURROUNDINGS = (
    0.25  # share of the border that must lie inside of the organ, for a contrast to be measured
)
_FALL = 0.1  # of the contrast, in normalised units: the region has passed its border
_TOUCHING = np.ones((3, 3, 3), bool)


def with_own_threshold(
    probability: np.ndarray, images: np.ndarray, organ: np.ndarray, threshold: float
) -> np.ndarray:
    """Return the maps of one volume, changed so that `threshold` cuts them where their border is sharpest.

    Cuts are tried in steps of 0.3 log-odds, from 3.6 below the threshold to 1.2 above it. Below it, a region
    is kept where it touches what is marked at the threshold. From the threshold the region grows, and
    shrinks, as long as its contrast does not fall by more than 0.1 normalised units; the cut with the most
    contrast on the way is taken. There is no such cut when the contrast still rises at the lowest one that
    can be measured, since the region then runs over its border, or when nothing is marked or measured at the
    threshold: the maps are returned as they are.

    Args:
        probability: (S, H, W) float in 0..1, 0 outside of the organ.
        images: (S, H, W, C) normalised float.
        organ: (S, H, W) bool.
        threshold: the common cut, in 0..1.

    Returns:
        (S, H, W) float32 in 0..1. What comes in is raised to the threshold, what falls out is lowered to just
        below it; all else keeps its value.
    """
    probability = np.asarray(probability, np.float32)
    marked = (probability >= threshold) & organ
    if not marked.any():
        return probability
    images = np.asarray(images, np.float32)  # in training a view of rows, which takes one index
    box = _box_of((probability >= sigmoid(log_odds(threshold) + OFFSETS[0])) & organ)

    def cut(offset):
        level = sigmoid(log_odds(threshold) + offset)
        region = _region(probability[box], organ[box], marked[box], level)
        return region, border_contrast(region, images[box], organ[box])

    regions, contrasts = zip(*in_threads(cut, OFFSETS))
    best, measured = _sharpest(np.array(contrasts)), np.flatnonzero(np.isfinite(contrasts))
    if not len(measured) or best == measured[0]:
        return probability
    result = probability.copy()
    inside = result[box]  # a view
    chosen = regions[best]
    inside[chosen] = np.maximum(inside[chosen], np.float32(threshold))
    out = marked[box] & ~chosen
    inside[out] = np.minimum(inside[out], np.float32(0.999 * threshold))
    return result


def _sharpest(contrasts: np.ndarray) -> int:
    """Return the index of the cut with the most contrast that is reached from the common cut.

    Args:
        contrasts: (cuts,) contrast of the region at each of OFFSETS; -inf where it cannot be measured.
    """
    common = int(np.argmin(np.abs(OFFSETS)))
    best = common
    for way in (range(common - 1, -1, -1), range(common + 1, len(contrasts))):
        highest = contrasts[common]
        for index in way:
            if not np.isfinite(contrasts[index]) or contrasts[index] < highest - _FALL:
                break
            highest = max(highest, contrasts[index])
            if contrasts[index] > contrasts[best]:
                best = index
    return best


def border_contrast(region: np.ndarray, images: np.ndarray, organ: np.ndarray) -> float:
    """Return how much the image changes across the border of a region, in normalised units.

    Args:
        region: (S, H, W) bool.
        images: (S, H, W, C) normalised float.
        organ: (S, H, W) bool; what lies outside of it is no surroundings.

    Returns:
        The largest absolute difference over the channels between the mean of the region's voxels within 2
        pixels (of a slice of 128) of its border, slice by slice, and the mean of the organ's voxels within 2
        pixels outside of it; -inf when the region is empty, or when less than a quarter as many voxels lie
        around it within the organ as inside along its border.
    """
    width = max(1, round(_BORDER * region.shape[2]))
    within = region & _widened(~region, width)
    around = _widened(region, width) & ~region & organ
    if not within.any() or np.count_nonzero(around) < _LEAST_SURROUNDINGS * np.count_nonzero(within):
        return -np.inf
    difference = images[within].mean(axis=0, dtype=np.float64) - images[around].mean(axis=0, dtype=np.float64)
    return float(np.abs(difference).max())


def _region(probability, organ, marked, cut) -> np.ndarray:
    region = (probability >= cut) & organ
    labels, _ = ndimage.label(region, _TOUCHING)
    touched = np.zeros(labels.max() + 1, bool)
    touched[labels[marked & region]] = True
    return touched[labels]


def _widened(mask, width: int) -> np.ndarray:
    """Return a mask (S, H, W) widened by a square of `width` pixels on every side, slice by slice."""
    for axis in (1, 2):
        mask, narrow = mask.copy(), np.moveaxis(mask, axis, 0)
        wide = np.moveaxis(mask, axis, 0)  # a view
        for step in range(1, width + 1):
            wide[step:] |= narrow[:-step]
            wide[:-step] |= narrow[step:]
    return mask


def _box_of(region) -> tuple[slice, ...]:
    """Return the box around a region, with room for its border."""
    margin = 1 + max(1, round(_BORDER * region.shape[2]))
    return tuple(
        slice(max(0, places.start - margin), places.stop + margin)
        for places in ndimage.find_objects(region.astype(np.int8))[0]
    )
