"""Measure whether a map points at the right place, and how much it marks where there is nothing."""

import numpy as np
from scipy import ndimage


def pointing_game(
    probability: np.ndarray, truth: np.ndarray, organ: np.ndarray | None = None, tolerance_px: float = 0.0
) -> float | None:
    """Return 1 when the highest probability lies inside the truth, else 0 (Zhang et al. 2018, with 15 px of
    tolerance).

    Several pixels with the highest value give the fraction of them that hit, which is the expected hit of a
    random pick; a constant map therefore gets the truth's share of the organ, not a lucky 1.

    Args:
        probability: (H, W), any range.
        truth: (H, W) bool.
        organ: (H, W) bool; only its pixels count. None: all pixels.
        tolerance_px: widens the truth by that distance, in pixels.

    Returns:
        0..1; None when the truth is empty; 0 when the organ is empty and the truth is not.

    Examples:
        >>> probability = np.array([[0.1, 0.9], [0.2, 0.3]])
        >>> pointing_game(probability, truth=np.array([[False, True], [False, False]]))
        1.0
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
    """Return the marked share of the organ, 0..1; None when the organ is empty."""
    organ = np.asarray(organ, bool)
    pixels = np.count_nonzero(organ)
    return float(np.count_nonzero(np.asarray(marked, bool) & organ) / pixels) if pixels else None


def image_score(probability: np.ndarray, organ: np.ndarray, power: float = 6.0) -> float:
    """Return one number per slice: the generalised mean (mean p^power)^(1/power) of the probabilities over
    the organ.

    It lies between the mean (power 1) and the maximum (power infinite) and is the image score of the contrast
    loss (docs/method.md, section "Pairs").

    Args:
        probability: (H, W) in 0..1.
        organ: (H, W) bool.
        power: at least 1.

    Returns:
        0..1; 0 for an empty organ.
    """
    values = np.asarray(probability, np.float64)[np.asarray(organ, bool)]
    if not values.size:
        return 0.0
    return float(np.mean(values**power) ** (1.0 / power))
