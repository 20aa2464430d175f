"""Intervals by resampling patients: slices of one patient are not independent, so patients are what is drawn.

Percentile bootstrap (Efron 1979): draw as many patients as there are, with replacement, `samples` times; the
95 % interval runs from the 2.5th to the 97.5th percentile of the statistic. Seeded: the same patients in the
same order give the same interval, and two methods on the same patients are resampled alike.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from clamnet_tf.errors import DataError

SAMPLES = 2000
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """The statistic of all patients and its interval; low and high are None for fewer than two patients."""

    mean: float
    low: float | None
    high: float | None


def draws(patients: int, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """Indices (samples, patients) int of the patients drawn."""
    return np.random.default_rng(seed).integers(0, patients, (samples, patients))


def multiplicities(patients: int, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """How often each patient was drawn by `draws`: (samples, patients) int."""
    drawn = draws(patients, samples, seed)
    flat = (drawn + np.arange(samples)[:, None] * patients).ravel()
    return np.bincount(flat, minlength=samples * patients).reshape(samples, patients)


def interval(
    values_per_patient, statistic: Callable = np.mean, samples: int = SAMPLES, seed: int = 0
) -> Interval:
    """`statistic` (one that takes `axis`, such as np.mean or np.median) of one value per patient, with its
    interval.
    """
    values = np.asarray(values_per_patient, float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise DataError(
            f"A bootstrap needs one finite value per patient; received {values.shape} with "
            f"{np.isnan(values).sum()} NaN."
        )
    return between(
        float(statistic(values, axis=0)),
        statistic(values[draws(values.size, samples, seed)], axis=1),
        values.size,
    )


def paired(ours, theirs, statistic: Callable = np.mean, samples: int = SAMPLES, seed: int = 0) -> Interval:
    """Interval of the differences ours - theirs, patient by patient."""
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    if ours.shape != theirs.shape:
        raise DataError(
            f"Paired differences need the same patients; received {ours.shape} and {theirs.shape} values."
        )
    return interval(ours - theirs, statistic, samples, seed)


def ratio(ours, theirs, samples: int = SAMPLES, seed: int = 0) -> Interval:
    """Mean of ours over mean of theirs on the same patients; both are resampled together."""
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    if ours.shape != theirs.shape or not ours.size:
        raise DataError(f"A ratio needs the same patients; received {ours.shape} and {theirs.shape} values.")
    if not theirs.mean():
        raise DataError("A ratio needs a denominator other than 0; all its values are 0.")
    drawn = draws(ours.size, samples, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = ours[drawn].mean(axis=1) / theirs[drawn].mean(axis=1)
    return between(float(ours.mean() / theirs.mean()), resampled, ours.size)


def pooled(sums, counts, samples: int = SAMPLES, seed: int = 0) -> Interval:
    """Mean over slices, resampled by patient: per patient the sum of its slices' values and how many they
    are.
    """
    sums, counts = np.asarray(sums, float), np.asarray(counts, float)
    if not counts.sum():
        raise DataError("A pooled mean needs at least one slice.")
    drawn = multiplicities(counts.size, samples, seed)
    with np.errstate(invalid="ignore"):
        resampled = (drawn @ sums) / (drawn @ counts)
    return between(float(sums.sum() / counts.sum()), resampled, int(np.count_nonzero(counts)))


def between(value: float, resampled: np.ndarray, patients: int) -> Interval:
    """The interval of resampled statistics; resamples in which it is not defined (NaN) are left out."""
    resampled = resampled[np.isfinite(resampled)]
    if patients < 2 or not resampled.size:
        return Interval(value, None, None)
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))
