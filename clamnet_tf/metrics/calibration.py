"""Measure whether a score can be read as a probability: reliability, calibration error, Brier score,
temperature.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from clamnet_tf.errors import DataError

BINS = 10
"""Number of bins of equal width between 0 and 1."""
_SMALLEST = 1e-6
_TEMPERATURES = (0.01, 100.0)


class Reliability(NamedTuple):
    """Hold what a reliability diagram shows; each array is (bins,), NaN where a bin is empty.

    Attributes:
        edges: (bins + 1,) from 0 to 1; bin i holds edges[i] < score <= edges[i + 1], the first also 0.
        counts: number of items.
        score: mean score.
        share: share of positive items.
    """

    edges: np.ndarray
    counts: np.ndarray
    score: np.ndarray
    share: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean over all items of |mean score - share of positives| of their
        bin, 0..1 (Naeini et al. 2015).
        """
        filled = self.counts > 0
        gaps = np.abs(self.score - self.share)[filled]
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())


def reliability(scores, labels, bins: int = BINS) -> Reliability:
    """Compare scores with the shares of positive items.

    Args:
        scores: (n,) in 0..1.
        labels: (n,) bool.
        bins: number of bins of equal width.

    Raises:
        DataError: there is no item, or a score is outside of 0..1.

    Examples:
        >>> reliability([0.2, 0.2, 0.9], [True, False, True], bins=2).error
        0.2333333333333333
    """
    scores, labels = _checked(scores, labels)
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], scores)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean, share = (
            np.bincount(place, weights=values, minlength=bins) / counts for values in (scores, labels)
        )
    return Reliability(edges, counts, mean, share)


def brier(scores, labels) -> float:
    """Return the mean squared difference between score and label, 0 (perfect) to 1 (Brier 1950).

    Raises:
        DataError: there is no item, or a score is outside of 0..1.
    """
    scores, labels = _checked(scores, labels)
    return float(np.mean((scores - labels) ** 2))


def fit_temperature(scores, labels) -> float | None:
    """Return the temperature T that makes the labels most likely, when log-odds are divided by it (Guo et al.
    2017).

    Args:
        scores: (n,) in 0..1; 0 and 1 count as 1e-6 from there.
        labels: (n,) bool.

    Returns:
        T in 0.01..100; None when one kind of label is absent, or when no T in that range is best.

    Raises:
        DataError: there is no item, or a score is outside of 0..1.
    """
    scores, labels = _checked(scores, labels)
    if labels.all() or not labels.any():
        return None
    logits, sign = _logits(scores), np.where(labels, -1.0, 1.0)

    def loss(log_temperature):
        return np.logaddexp(0, sign * logits / np.exp(log_temperature)).mean()

    low, high = np.log(_TEMPERATURES)
    best = float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)
    return float(np.exp(best)) if low + 1e-3 < best < high - 1e-3 else None


def with_temperature(scores, temperature: float) -> np.ndarray:
    """Return the scores with their log-odds divided by the temperature, (n,) in 0..1."""
    return 1 / (1 + np.exp(-_logits(np.asarray(scores, float)) / temperature))


def _logits(scores: np.ndarray) -> np.ndarray:
    inside = np.clip(scores, _SMALLEST, 1 - _SMALLEST)
    return np.log(inside) - np.log1p(-inside)


def _checked(scores, labels) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores, float), np.asarray(labels, bool)
    if not scores.size or scores.shape != labels.shape or not ((scores >= 0) & (scores <= 1)).all():
        raise DataError(
            f"Calibration needs one label per score and scores in 0..1; received {scores.size} scores"
            + (f" from {np.min(scores):g} to {np.max(scores):g}" if scores.size else "")
            + f" and {labels.size} labels."
        )
    return scores, labels
