"""Compute ranking scores: the AUROC of slices exactly, the average precision of the many pixels from
histograms.

A histogram holds, per bin of probability, how many pixels are truth and how many are not. Histograms of
slices add up, so a test set of any size needs only the memory of its patients' histograms. Counting from a
bin upwards gives exactly the mask `probability >= EDGES[bin]`; only the ranking within one bin is lost
(pixels of a bin are tied).
"""

import numpy as np

from clamnet_tf.errors import ClamnetError


def _edges() -> np.ndarray:
    """Return the lower edges of the bins: every 0.001, and every 0.04 of the logit, since confident
    networks crowd at 0 and 1.
    """
    logits = np.arange(-24, 16.5, 0.04)
    return np.unique(np.concatenate([np.arange(1001) / 1000, 1 / (1 + np.exp(-logits))]).astype(np.float32))


EDGES = _edges()
"""(bins,) float32, ascending from 0 to 1: bin i holds EDGES[i] <= p < EDGES[i + 1], the last one p = 1."""


def histogram(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Count pixels per bin of probability.

    Args:
        probability: float in 0..1, any shape.
        truth: bool, same shape.

    Returns:
        (2, bins) int64: row 0 not truth, row 1 truth.
    """
    probability, truth = np.asarray(probability, np.float32).ravel(), np.asarray(truth, bool).ravel()
    positive = probability > 0  # most pixels lie outside of the organ at exactly 0 and need no search
    bins, hit = np.searchsorted(EDGES, probability[positive], side="right") - 1, truth[positive]
    counts = np.stack([np.bincount(bins[hit == side], minlength=EDGES.size) for side in (False, True)])
    counts[1, 0] += np.count_nonzero(truth) - np.count_nonzero(hit)
    counts[0, 0] += truth.size - np.count_nonzero(truth) - (hit.size - np.count_nonzero(hit))
    return counts


def from_above(counts: np.ndarray) -> np.ndarray:
    """Return counts at or above each edge, (..., bins) -> same shape."""
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]


def histogram_average_precision(counts: np.ndarray) -> np.ndarray:
    """Return the average precision of histograms (..., 2, bins) -> (...), NaN where there is no truth."""
    marked_truth, marked_other = from_above(counts[..., 1, :]).astype(float), from_above(counts[..., 0, :])
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = marked_truth / (marked_truth + marked_other)
        recall_step = counts[..., 1, :] / marked_truth[..., :1]
    return np.where(marked_truth[..., 0] > 0, np.nansum(precision * recall_step, axis=-1), np.nan)


def average_precision(scores, labels) -> float | None:
    """Return the sum over distinct scores of (recall step) x precision, with ties as one step.

    Args:
        scores: (n,).
        labels: (n,) bool.

    Returns:
        0..1, that of scikit-learn; None when no label is positive.

    Raises:
        ClamnetError: a score is not finite.

    Examples:
        >>> round(average_precision([0.9, 0.6, 0.5, 0.1], [True, False, True, False]), 3)
        0.833
    """
    scores, labels = _finite(scores), np.asarray(labels, bool)
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores)) if labels.any() else None


def auroc(scores, labels, weights=None):
    """Return P(a positive scores above a normal one), ties counting one half; None when one of the two is
    absent.

    Args:
        scores: (n,).
        labels: (n,) bool.
        weights: (samples, n), for example how often a resample drew each item; None: one sample of weight 1.

    Returns:
        A float, that of scikit-learn; with `weights` a (samples,) array, NaN where a side has no weight.

    Raises:
        ClamnetError: a score is not finite.

    Examples:
        >>> auroc([0.9, 0.6, 0.6, 0.1], [True, True, False, False])
        0.875
    """
    scores, labels = _finite(scores), np.asarray(labels, bool)
    if weights is None:
        from sklearn.metrics import roc_auc_score  # here, since the import takes longer than most commands

        return None if labels.all() or not labels.any() else float(roc_auc_score(labels, scores))
    # Many resamples at once, for which scikit-learn has no function: counts per group of equal scores.
    weighted = np.asarray(weights, float)
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    positive = np.add.reduceat(weighted[:, order] * labels[order], starts, axis=1)
    normal = np.add.reduceat(weighted[:, order] * ~labels[order], starts, axis=1)
    below = np.cumsum(normal, axis=1) - normal
    with np.errstate(invalid="ignore"):
        area = (positive * (below + normal / 2)).sum(axis=1) / (positive.sum(axis=1) * normal.sum(axis=1))
    return area


def _finite(scores) -> np.ndarray:
    scores = np.asarray(scores, float)
    if not np.isfinite(scores).all():
        raise ClamnetError(
            f"expected finite scores of slices; {np.count_nonzero(~np.isfinite(scores))} of {scores.size} "
            f"are not. The network's output is damaged: train it again, without runtime.mixed_precision "
            f"where that is on."
        )
    return scores
