"""Compute out-of-fold figures: all patients of a repeat together, each measured by the network of its fold.

The keys and their definitions are those of metrics.json (evaluation/figures.py). The intervals resample
patients, 95 %, so they describe patients and not trainings; the spread over repeats stands beside them. An
AUROC over all folds compares scores of different networks; auroc_slice_within and auroc_patient_within
compare pairs of one fold only, weighted by their number.
"""

from collections.abc import Callable

import numpy as np

from clamnet_tf.evaluation import bootstrap
from clamnet_tf.evaluation.figures import DEFINITIONS
from clamnet_tf.evaluation.populations import NO_INTERVAL
from clamnet_tf.metrics.ranking import auroc
from clamnet_tf.study.folds.results import FoldResult

PATIENT_FIGURES = ("iou", "sensitivity", "precision")
SLICE_FIGURES = ("hd95_mm", "hd95_px", "pointing")
PLAIN = (
    *("auroc_slice", "auroc_slice_within", "auroc_patient", "auroc_patient_within"),
    *("pointing_game", "normal_area", "specificity_slice", "normal_area_patient", "specificity_patient"),
    *("iou", "sensitivity", "precision", "hd95_mm", "hd95_px"),
)
"""Figures beside the two Dice, in the order of the page."""


def pooled_figures(results: list[FoldResult], samples: int = bootstrap.SAMPLES) -> dict:
    """Return the figures over all patients of some folds; {mean, low, high} each, with null where undefined.

    dice_volume has median and patients beside, dice_slice has slices; simple_methods: name -> dice (the same
    patients or slices as the headline), difference (ours less theirs, paired by patient).

    Args:
        results: Folds of one repeat.
        samples: Number of bootstrap samples.
    """
    patients = [row for result in results for row in result.patients]
    slices = [row for result in results for row in result.slices]
    number = {row["patient"]: index for index, row in enumerate(patients)}
    fold_of = {row["patient"]: result.fold.number for result in results for row in result.patients}

    def mean(values) -> dict:
        return bootstrap.interval(values, samples=samples)._asdict() if len(values) else dict(NO_INTERVAL)

    def per_slice(rows, value: Callable, everyone=True) -> dict:
        sums, counts = np.zeros(len(patients)), np.zeros(len(patients))
        for row in rows:
            sums[number[row["patient"]]] += value(row)
            counts[number[row["patient"]]] += 1
        measured = np.ones(len(patients), bool) if everyone else counts > 0
        if not counts.any():
            return dict(NO_INTERVAL)
        return bootstrap.pooled(sums[measured], counts[measured], samples)._asdict()

    def ranking(scored: list[tuple], within: bool) -> dict:
        return _auroc(scored, number, fold_of if within else None, samples)

    with_lesion = [row for row in patients if row["dice"] is not None]
    outlined = [row for row in slices if row["truth_px"]]
    unmarked = [row for row in slices if row["truth_px"] == 0 and row["marked_fraction"] is not None]
    shares = [row["marked_share"] for row in patients if row["marked_share"] is not None]
    dice = [row["dice"] for row in with_lesion]
    figures = {
        "definitions": DEFINITIONS,
        "patients": len(patients),
        "slices": len(slices),
        "patients_with_lesion": len(with_lesion),
        "patients_without_lesion": len(shares),
        "dice_volume": {
            **mean(dice),
            "median": float(np.median(dice)) if dice else None,
            "patients": len(dice),
        },
        "dice_slice": {
            **per_slice(outlined, lambda row: row["dice"], everyone=False),
            "slices": len(outlined),
        },
    }
    for name in PATIENT_FIGURES:
        figures[name] = mean([row[name] for row in with_lesion if row[name] is not None])
    for name in SLICE_FIGURES:
        rows = [row for row in outlined if row[name] is not None]
        complete = len(rows) == len(outlined)  # millimetres only where every slice has a spacing
        key = "pointing_game" if name == "pointing" else name
        figures[key] = per_slice(rows if complete else [], lambda row, name=name: row[name])
    figures["normal_area"] = per_slice(unmarked, lambda row: row["marked_fraction"], everyone=False)
    figures["specificity_slice"] = per_slice(
        unmarked, lambda row: row["marked_fraction"] == 0, everyone=False
    )
    figures["normal_area_patient"] = mean(shares)
    figures["specificity_patient"] = mean([float(share == 0) for share in shares])
    for level, scored in (("slice", _slice_scores(slices)), ("patient", _patient_scores(slices))):
        figures[f"auroc_{level}"] = ranking(scored, within=False)
        figures[f"auroc_{level}_within"] = ranking(scored, within=True)
    figures["simple_methods"] = _simple_methods(patients, samples)
    return figures


def over_repeats(figures: list[dict]) -> dict:
    """Return name -> mean, sd (of a sample; None for one repeat), lowest and highest over the repeats.

    A figure that one of the repeats lacks is left out.
    """
    summary = {}
    for name in ("dice_volume", "dice_slice", *PLAIN):
        values = [row[name]["mean"] for row in figures]
        if values and None not in values:
            summary[name] = {
                "mean": float(np.mean(values)),
                "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                "lowest": float(min(values)),
                "highest": float(max(values)),
            }
    return summary


def mean_dice(results: list[FoldResult], samples: int = bootstrap.SAMPLES) -> dict:
    """Return the Dice of the patients with a lesion, averaged over the repeats of each patient first.

    Patients that one of the repeats has not measured yet are left out.

    Returns:
        mean, low, high and patients.
    """
    scores: dict[str, list[float]] = {}
    for result in results:
        for row in result.patients:
            if row["dice"] is not None:
                scores.setdefault(row["patient"], []).append(row["dice"])
    repeats = len({result.repeat for result in results})
    values = [float(np.mean(own)) for own in scores.values() if len(own) == repeats]
    found = bootstrap.interval(values, samples=samples)._asdict() if values else dict(NO_INTERVAL)
    return {**found, "patients": len(values)}


def _slice_scores(slices: list[dict]) -> list[tuple]:
    """Return (patient, score, abnormal) of the slices with a label that show an organ or a lesion."""
    return [
        (row["patient"], row["score"], row["label"] > 0)
        for row in slices
        if row["label"] is not None and (row["organ_px"] or row["truth_px"])
    ]


def _patient_scores(slices: list[dict]) -> list[tuple]:
    """Return (patient, highest score, abnormal) of the patients whose label is known."""
    rows: dict[str, list[dict]] = {}
    for row in slices:
        if row["organ_px"] or row["truth_px"]:
            rows.setdefault(row["patient"], []).append(row)
    found = []
    for patient, own in rows.items():
        labels = [row["label"] for row in own]
        if any(labels) or None not in labels:
            found.append((patient, max(row["score"] for row in own), any(labels)))
    return found


def _auroc(scored: list[tuple], number: dict, fold_of: dict | None, samples: int) -> dict:
    """Return the AUROC with its interval; with `fold_of` over the pairs of one fold alone."""
    patients = np.array([number[patient] for patient, *_ in scored], int)
    scores = np.array([score for _, score, _ in scored], float)
    labels = np.array([label for *_, label in scored], bool)
    folds = np.array([0 if fold_of is None else fold_of[patient] for patient, *_ in scored], int)
    if not labels.any() or labels.all():
        return dict(NO_INTERVAL)

    def weighted(weights) -> np.ndarray:
        """Return the AUROC of each row of weights (samples, n)."""
        right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for fold in np.unique(folds):
            own = folds == fold
            count = weights[:, own & labels].sum(axis=1) * weights[:, own & ~labels].sum(axis=1)
            area = auroc(scores[own], labels[own], weights[:, own])
            right += np.where(count > 0, area * count, 0)
            pairs += count
        with np.errstate(invalid="ignore"):
            return right / pairs

    value = float(weighted(np.ones((1, len(scores))))[0])
    if np.isnan(value):
        return dict(NO_INTERVAL)
    drawn = bootstrap.multiplicities(len(number), samples)
    resampled = [weighted(part[:, patients].astype(float)) for part in np.array_split(drawn, 20)]
    return bootstrap.between(value, np.concatenate(resampled), len(np.unique(patients)))._asdict()


def _simple_methods(patients: list[dict], samples: int) -> dict:
    """Return the methods without a network that every fold measured, with their Dice and the difference."""
    prefix = "marked_share_"
    names = [
        key.removeprefix(prefix)
        for key in (patients[0] if patients else {})
        if key.startswith(f"{prefix}") and not key.startswith(f"{prefix}head_")
    ]
    with_lesion, found = [row for row in patients if row["dice"] is not None], {}
    for name in names:
        theirs = [row.get(f"dice_{name}") for row in with_lesion]
        if theirs and None not in theirs:
            ours = [row["dice"] for row in with_lesion]
            found[name] = {
                "dice": bootstrap.interval(theirs, samples=samples)._asdict(),
                "difference": bootstrap.paired(ours, theirs, samples=samples)._asdict(),
            }
    return found
