"""Measure detection: sensitivity at a number of false positives per image (FROC) and at a specificity.

FROC (Bunch et al. 1977; Setio et al. 2017): candidates are taken from the highest score down. A lesion counts
as found from the score of its best candidate on; further candidates in the same lesion count as nothing, and
candidates outside of every lesion as false positives. The sensitivity at x false positives per image is the
highest that a cut with at most x of them reaches; there is no interpolation between cuts.
"""

import numpy as np

FALSE_PER_IMAGE = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Numbers of false positives per image of LUNA16; the mean of the sensitivities there is the CPM."""
_ROUNDING = 1e-9


def best_hits(scores: np.ndarray, hit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what counts of one image's candidates.

    Args:
        scores: (candidates,) scores.
        hit: (candidates,) index of the lesion that a candidate hits, or -1.

    Returns:
        The score of the best candidate of each lesion that has one, and the scores of the false positives.

    Examples:
        >>> found, false = best_hits(np.array([0.9, 0.4, 0.6]), np.array([0, 0, -1]))
        >>> found.tolist(), false.tolist()
        ([0.9], [0.6])
    """
    scores, hit = np.asarray(scores), np.asarray(hit)
    inside = np.flatnonzero(hit >= 0)
    order = inside[np.lexsort((-scores[inside], hit[inside]))]
    return scores[order[np.unique(hit[order], return_index=True)[1]]], scores[hit < 0]


def froc(found, false, lesions, images, limits=FALSE_PER_IMAGE) -> np.ndarray:
    """Return the sensitivity at each number of false positives per image.

    Args:
        found: (..., cuts), lesions whose best candidate has the score of each cut, cuts rising.
        false: (..., cuts), false positives with these scores.
        lesions: (...), number of lesions.
        images: (...), number of images.
        limits: numbers of false positives per image.

    Returns:
        (..., limits) in 0..1; NaN where there is no lesion or no image.

    Examples:
        >>> froc([[1, 0, 1]], [[0, 1, 0]], [2], [1], limits=(0.5, 1)).tolist()
        [[0.5, 1.0]]
    """
    sensitivity, false_per_image = froc_curve(found, false, lesions, images)
    points = []
    for limit in limits:
        first = np.count_nonzero(false_per_image > limit + _ROUNDING, axis=-1)[..., None]
        points.append(np.take_along_axis(sensitivity, first, axis=-1)[..., 0])
    return np.stack(points, axis=-1)


def froc_curve(found, false, lesions, images) -> tuple[np.ndarray, np.ndarray]:
    """Return sensitivity and false positives per image of every cut, each (..., cuts + 1); nothing is marked
    at the last one. For the arguments see `froc`.
    """
    totals = []
    for counts, whole in ((found, lesions), (false, images)):
        counts = np.asarray(counts, float)
        from_above = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]
        from_above = np.concatenate([from_above, np.zeros((*counts.shape[:-1], 1))], axis=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            totals.append(from_above / np.asarray(whole, float)[..., None])
    return totals[0], totals[1]


def sensitivity_at_specificity(scores, labels, specificity: float, weights=None):
    """Return the highest sensitivity of a cut whose specificity is at least `specificity`.

    Args:
        scores: (n,), higher is more abnormal; a cut calls abnormal what scores at least as high.
        labels: (n,) bool.
        specificity: 0..1.
        weights: (samples, n), for example how often a resample drew each item; None: one sample of weight 1.

    Returns:
        0..1, or None when one of the two kinds is absent; with `weights` a (samples,) array, NaN where a kind
        has no weight.

    Examples:
        >>> sensitivity_at_specificity([0.9, 0.7, 0.8, 0.1], [True, True, False, False], 0.9)
        0.5
    """
    scores, labels = np.asarray(scores, float), np.asarray(labels, bool)
    if weights is None and (labels.all() or not labels.any()):
        return None
    weighted = np.ones((1, scores.size)) if weights is None else np.asarray(weights, float)
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) < 0, True])
    shares = []
    for kind in (labels, ~labels):
        total = np.cumsum(weighted[:, order] * kind[order], axis=1)[:, ends]
        with np.errstate(invalid="ignore", divide="ignore"):
            shares.append(np.c_[np.zeros(len(total)), total] / total[:, -1:])
    allowed = np.count_nonzero(shares[1] <= 1 - specificity + _ROUNDING, axis=1) - 1
    found = np.take_along_axis(shares[0], np.maximum(allowed, 0)[:, None], axis=1)[:, 0]
    found = np.where(np.isnan(shares[1][:, -1]), np.nan, found)
    return float(found[0]) if weights is None else found
