"""Compare every method on the same patients: overlaps with a lesion, false marks without one.

A method has its name in PatientCounts: "ours", a head, a baseline. Only the truth decides which patients and
slices are used, never what a method marked, so all methods are compared on the same ones:

- overlap of volumes: patients with a lesion, the truth of all slices known; a missed lesion counts 0;
- overlap of slices: slices with a lesion;
- false marks: patients without a lesion and slices without one, if they show any organ.
"""

from collections.abc import Callable

import numpy as np

from clamnet_tf.evaluation import bootstrap
from clamnet_tf.evaluation.cases import OURS, PatientCounts
from clamnet_tf.metrics.overlap import dice

FALSE_MARKS = ("normal_area", "specificity_slice", "normal_area_patient", "specificity_patient")
NO_INTERVAL = {"mean": None, "low": None, "high": None}


def volume_scores(counts: list[PatientCounts], name: str, score: Callable = dice) -> list[float]:
    """Return one score per patient with a lesion, in the order of `counts`.

    Args:
        counts: Counts of all patients.
        name: Name of the method.
        score: Function of an Overlap.
    """
    return [score(patient_counts.overlaps[name]) for patient_counts in counts if patient_counts.with_lesion]


def volume_dice(scores, samples: int, seed: int) -> dict:
    """Return mean, interval, median and number of the Dice values of patients with a lesion."""
    if not len(scores):
        return {**NO_INTERVAL, "median": None, "patients": 0}
    interval = bootstrap.interval(scores, samples=samples, seed=seed)
    return interval._asdict() | {"median": float(np.median(scores)), "patients": len(scores)}


def slice_dice(
    counts: list[PatientCounts], name: str, samples: int, seed: int, less: str | None = None
) -> dict:
    """Return mean, interval and number of the Dice values of all slices with a lesion.

    Args:
        counts: Counts of all patients.
        name: Name of the method.
        samples: Number of bootstrap samples.
        seed: Seed of the bootstrap.
        less: Name of another method; then the differences to that method are averaged instead.
    """
    values = [patient_counts.slice_dice.get(name, []) for patient_counts in counts]
    if less is not None:
        values = [
            np.subtract(ours, patient_counts.slice_dice.get(less, []))
            for ours, patient_counts in zip(values, counts)
        ]
    interval = _pooled(values, samples, seed)
    return (NO_INTERVAL if interval is None else interval._asdict()) | {"slices": sum(map(len, values))}


def false_marks(
    counts: list[PatientCounts], name: str, samples: int, seed: int
) -> dict[str, bootstrap.Interval | None]:
    """Return the four metrics of FALSE_MARKS; None where no slice, or no patient, is without a lesion."""
    areas = [patient_counts.normal_areas.get(name, []) for patient_counts in counts]
    shares = [patient_counts.marked_share(name) for patient_counts in counts if patient_counts.without_lesion]
    return {
        "normal_area": _pooled(areas, samples, seed),
        "specificity_slice": _pooled(
            [[float(area == 0) for area in patient_areas] for patient_areas in areas], samples, seed
        ),
        "normal_area_patient": bootstrap.interval(shares, samples=samples, seed=seed) if shares else None,
        "specificity_patient": bootstrap.interval(
            [float(share == 0) for share in shares], samples=samples, seed=seed
        )
        if shares
        else None,
    }


def baseline_metrics(counts: list[PatientCounts], name: str, samples: int, seed: int) -> dict:
    """Return the metrics of a baseline for metrics.json; differences are ours - baseline, by patient and by
    slice.
    """
    ours, theirs = volume_scores(counts, OURS), volume_scores(counts, name)
    difference = bootstrap.paired(ours, theirs, samples=samples, seed=seed)._asdict() if ours else NO_INTERVAL
    false_mark_intervals = false_marks(counts, name, samples, seed)
    return {
        "dice_volume": volume_dice(theirs, samples, seed),
        "difference": dict(difference),
        "dice_slice": slice_dice(counts, name, samples, seed),
        "difference_slice": slice_dice(counts, OURS, samples, seed, less=name),
        **{key: interval and interval.mean for key, interval in false_mark_intervals.items()},
        "intervals": {
            key: {"low": interval and interval.low, "high": interval and interval.high}
            for key, interval in false_mark_intervals.items()
        },
    }


def _pooled(values_of_patients, samples: int, seed: int) -> bootstrap.Interval | None:
    """Return the mean over all slices, resampled by patient; patients without such a slice take no part."""
    measured = [values for values in values_of_patients if len(values)]
    if not measured:
        return None
    return bootstrap.pooled(
        [float(np.sum(values)) for values in measured], [len(values) for values in measured], samples, seed
    )
