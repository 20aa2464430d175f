"""Compute confidence intervals by resampling patients.

Slices of one patient are not independent, so whole patients are resampled. The percentile bootstrap (Efron
1979) draws as many patients as there are, with replacement, `samples` times; the 95 % interval runs from the
2.5th to the 97.5th percentile of the statistic. The draws are seeded: the same patients in the same order
give the same interval, and two methods measured on the same patients are resampled identically.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from clamnet_tf.errors import DataError

SAMPLES = 2000
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """Hold a statistic over all patients and its interval; low and high are None for fewer than two
    patients.
    """

    mean: float
    low: float | None
    high: float | None


def draws(patients: int, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """Draw patients with replacement.

    Args:
        patients: Number of patients.
        samples: Number of resamples.
        seed: Seed of the random generator.

    Returns:
        Indices of the drawn patients, (samples, patients) int.
    """
    return np.random.default_rng(seed).integers(0, patients, (samples, patients))


def multiplicities(patients: int, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """Count how often `draws` drew each patient: (samples, patients) int."""
    drawn = draws(patients, samples, seed)
    flat = (drawn + np.arange(samples)[:, None] * patients).ravel()
    return np.bincount(flat, minlength=samples * patients).reshape(samples, patients)


def interval(
    values_per_patient, statistic: Callable = np.mean, samples: int = SAMPLES, seed: int = 0
) -> Interval:
    """Compute a statistic of one value per patient, with its bootstrap interval.

    Args:
        values_per_patient: (patients,) finite values.
        statistic: Function that takes `axis`, such as np.mean or np.median.
        samples: Number of resamples.
        seed: Seed of the draws.

    Raises:
        DataError: There is no value, the values are not one-dimensional, or one of them is not finite.
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
    """Compute the interval of the differences ours - theirs, paired by patient.

    Args:
        ours: (patients,) values of our method.
        theirs: (patients,) values of the other method, for the same patients in the same order.
        statistic: As in `interval`.
        samples: Number of resamples.
        seed: Seed of the draws.

    Raises:
        DataError: The two have different shapes.
    """
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    if ours.shape != theirs.shape:
        raise DataError(
            f"Paired differences need the same patients; received {ours.shape} and {theirs.shape} values."
        )
    return interval(ours - theirs, statistic, samples, seed)


def ratio(ours, theirs, samples: int = SAMPLES, seed: int = 0) -> Interval:
    """Compute mean(ours) / mean(theirs) on the same patients, resampling both together.

    Raises:
        DataError: The shapes differ, there is no value, or the mean of `theirs` is 0.
    """
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
    """Compute the mean over all slices and resample it by patient.

    Args:
        sums: (patients,) sum of the values of each patient's slices.
        counts: (patients,) number of these slices.
        samples: Number of resamples.
        seed: Seed of the draws.

    Raises:
        DataError: There is no slice.
    """
    sums, counts = np.asarray(sums, float), np.asarray(counts, float)
    if not counts.sum():
        raise DataError("A pooled mean needs at least one slice.")
    drawn = multiplicities(counts.size, samples, seed)
    with np.errstate(invalid="ignore"):
        resampled = (drawn @ sums) / (drawn @ counts)
    return between(float(sums.sum() / counts.sum()), resampled, int(np.count_nonzero(counts)))


def between(value: float, resampled: np.ndarray, patients: int) -> Interval:
    """Build an Interval from a statistic and its resampled values.

    Args:
        value: Statistic of all patients.
        resampled: (samples,) statistic of each resample; resamples in which it is not defined (NaN) are left
            out.
        patients: Number of patients; with fewer than two the interval has no bounds.
    """
    resampled = resampled[np.isfinite(resampled)]
    if patients < 2 or not resampled.size:
        return Interval(value, None, None)
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value, float(low), float(high))
