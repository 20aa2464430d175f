"""Does the map point at the right place, and how much does it mark where nothing is."""

import numpy as np
from scipy import ndimage


def pointing_game(
    probability: np.ndarray, truth: np.ndarray, organ: np.ndarray | None = None, tolerance_px: float = 0.0
) -> float | None:
    """1 when the highest probability lies inside the truth, else 0 (Zhang et al. 2018, there with 15 px of
    tolerance).

    probability: (H, W), any range; truth, organ: (H, W) bool. Only pixels of the organ are looked at (all
    without one).
    Ties: the fraction of the tied pixels that hit, which is the expected hit of a pick at random; a constant
    map therefore gets the truth's share of the organ, not a lucky 1. `tolerance_px` widens the truth by that
    distance. None when the truth is empty; 0 when the organ is empty and the truth is not.
    """
    truth = np.asarray(truth, bool)
    if not truth.any():
        return None
    inside = np.ones(truth.shape, bool) if organ is None else np.asarray(organ, bool)
    if not inside.any():
        return 0.0
    if tolerance_px > 0:
        truth = ndimage.distance_transform_edt(~truth) <= tolerance_px
    values, hits = np.asarray(probability)[inside], truth[inside]
    return float(hits[values == values.max()].mean())


def marked_fraction(marked: np.ndarray, organ: np.ndarray) -> float | None:
    """Marked share of the organ, 0..1; None when the organ is empty."""
    organ = np.asarray(organ, bool)
    pixels = np.count_nonzero(organ)
    return float(np.count_nonzero(np.asarray(marked, bool) & organ) / pixels) if pixels else None


def image_score(probability: np.ndarray, organ: np.ndarray, power: float = 6.0) -> float:
    """One number per slice: the generalised mean (mean p^power)^(1/power) of the probabilities over the
    organ, 0..1.

    It lies between the mean (power 1) and the maximum (power infinite) and is the image score of the contrast
    loss (METHOD section 3). An empty organ scores 0.
    """
    values = np.asarray(probability, np.float64)[np.asarray(organ, bool)]
    if not values.size:
        return 0.0
    return float(np.mean(values**power) ** (1.0 / power))
