"""Values of every method on one and the same patients: overlaps with a lesion, false marks without one.

A method is named as in PatientCounts: "ours", a head, a baseline. Which patients and slices are looked at
depends on the truth alone, never on what a method marked, so that two methods are compared on the same ones:

- overlap of volumes: patients with a lesion, the truth of all slices known; a lesion that is missed counts 0;
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
    """One score per patient with a lesion, in the order of `counts`."""
    return [score(each.overlaps[name]) for each in counts if each.with_lesion]


def volume_dice(scores, samples: int, seed: int) -> dict:
    """Mean, interval and median of the Dice of patients with a lesion, and how many they are."""
    if not len(scores):
        return {**NO_INTERVAL, "median": None, "patients": 0}
    found = bootstrap.interval(scores, samples=samples, seed=seed)
    return found._asdict() | {"median": float(np.median(scores)), "patients": len(scores)}


def slice_dice(
    counts: list[PatientCounts], name: str, samples: int, seed: int, less: str | None = None
) -> dict:
    """Mean and interval over all slices with a lesion, and how many they are.

    less: name of another method; then of the differences to it.
    """
    own = [each.slice_dice.get(name, []) for each in counts]
    if less is not None:
        own = [np.subtract(ours, each.slice_dice.get(less, [])) for ours, each in zip(own, counts)]
    found = _pooled(own, samples, seed)
    return (NO_INTERVAL if found is None else found._asdict()) | {"slices": sum(map(len, own))}


def false_marks(
    counts: list[PatientCounts], name: str, samples: int, seed: int
) -> dict[str, bootstrap.Interval | None]:
    """The four figures of FALSE_MARKS; None where no slice, or no patient, is without a lesion."""
    areas = [each.normal_areas.get(name, []) for each in counts]
    shares = [each.marked_share(name) for each in counts if each.without_lesion]
    return {
        "normal_area": _pooled(areas, samples, seed),
        "specificity_slice": _pooled([[float(area == 0) for area in own] for own in areas], samples, seed),
        "normal_area_patient": bootstrap.interval(shares, samples=samples, seed=seed) if shares else None,
        "specificity_patient": bootstrap.interval(
            [float(share == 0) for share in shares], samples=samples, seed=seed
        )
        if shares
        else None,
    }


def baseline_figures(counts: list[PatientCounts], name: str, samples: int, seed: int) -> dict:
    """What metrics.json says of a baseline; differences are ours - the baseline's, by patient and by
    slice.
    """
    ours, theirs = volume_scores(counts, OURS), volume_scores(counts, name)
    difference = bootstrap.paired(ours, theirs, samples=samples, seed=seed)._asdict() if ours else NO_INTERVAL
    marked = false_marks(counts, name, samples, seed)
    return {
        "dice_volume": volume_dice(theirs, samples, seed),
        "difference": dict(difference),
        "dice_slice": slice_dice(counts, name, samples, seed),
        "difference_slice": slice_dice(counts, OURS, samples, seed, less=name),
        **{key: found and found.mean for key, found in marked.items()},
        "intervals": {
            key: {"low": found and found.low, "high": found and found.high} for key, found in marked.items()
        },
    }


def _pooled(values_of_patients, samples: int, seed: int) -> bootstrap.Interval | None:
    """Mean over all slices, resampled by patient; patients without such a slice take no part."""
    own = [values for values in values_of_patients if len(values)]
    if not own:
        return None
    return bootstrap.pooled(
        [float(np.sum(values)) for values in own], [len(values) for values in own], samples, seed
    )
