"""The figures of an evaluation: the content of `metrics.json`.

dice_volume                mean, low, high, median, patients, with_lesion: PRIMARY. Dice of each patient's volume (counts
                           summed over its slices), mean over patients, 95 % bootstrap interval over patients. A
                           patient without truth and marks is left out; one without truth but with marks counts 0;
                           one with a slice of unknown truth is left out (patients_incomplete says how many).
dice_slice                 mean, low, high, slices: Dice of the slices with truth
iou                        intersection over union of each patient's volume, mean over patients
hd95_mm or hd95_px         slices with truth, mean; convention in `hd95_convention`; mm when every slice has a spacing
average_precision_pixel    over all pixels of all slices with known truth; outside of the organ the probability is 0
auroc_slice                slice labels against `auroc_slice_score`; blank slices (no organ, no truth) left out
pointing_game              share of slices with truth whose highest probability lies in the truth; ties by share
normal_area                marked share of the organ on normal slices, mean; blank slices left out
specificity_slice          share of normal slices (blank ones left out) without a single marked pixel
specificity_patient        share of patients without truth and without a single marked pixel
threshold, threshold_rule  the cut and where it comes from
patients, slices           in the reference list; slices_positive, _normal, _blank, _missing (counted as the worst
                           case), _without_truth, label_conflicts (label and mask disagree: masks rule the pixel
                           figures, labels the AUROC)
oracle                     threshold, dice_volume: the cut that is best WITH the masks, without post-processing. Not a result.
heads                      name -> threshold, dice_volume, oracle, average_precision_pixel
baselines                  name -> dice_volume, difference (mean, low, high of ours - theirs, paired by patient; a normal
                           patient rightly left unmarked counts 1 here), dice_slice and normal_area as above, means only
markers                    of several markers: name -> all of this for it alone (see several_markers.py); heads are not measured then
intervals                  figure -> low, high: resampled by patient
bootstrap                  samples, seed, confidence
reasons                    figure -> why it is null. NaN never appears.
"""

import numpy as np

from clamnet_tf.evaluation import bootstrap
from clamnet_tf.evaluation.cases import OURS, Evaluation, PatientCounts, is_abnormal, is_normal, mean_of, scored_patients
from clamnet_tf.metrics.overlap import dice, iou
from clamnet_tf.metrics.ranking import EDGES, auroc, from_above, histogram_average_precision
from clamnet_tf.metrics.surface import HD95_CONVENTION

NO_TRUTH = "no slice has a lesion in its reference mask"
NO_NORMAL = "no normal slice in the reference list"
INCOMPLETE = "no patient has reference masks for all of its abnormal slices"
_PER_SLICE = {"dice_slice": "slice_dice", "normal_area": "normal_areas"}
ONE_PATIENT = "one patient alone has no spread"


def figures(evaluation: Evaluation, samples: int = bootstrap.SAMPLES, seed: int = 0) -> dict:
    """The dict described above; every number a Python int, float or None."""
    rows, counts = evaluation.slices, evaluation.counts
    found, intervals, reasons = {}, {}, {}
    patients = {row["patient"]: number for number, row in enumerate(evaluation.patients)}

    def put(name: str, result: bootstrap.Interval | None, reason: str) -> None:
        found[name] = None if result is None else result.mean
        intervals[name] = {"low": result and result.low, "high": result and result.high}
        if result is None:
            reasons[name] = reason

    def per_slice(chosen: list[dict], value) -> bootstrap.Interval | None:
        sums, slices = np.zeros(len(patients)), np.zeros(len(patients))
        for row in chosen:
            if (number := value(row)) is not None:
                sums[patients[row["patient"]]] += number
                slices[patients[row["patient"]]] += 1
        return bootstrap.pooled(sums, slices, samples, seed) if slices.any() else None

    with_truth = [row for row in rows if row["truth_px"]]
    blank = [row for row in rows if not row["organ_px"] and not row["truth_px"]]
    normal = [row for row in rows if is_normal(row) and row["organ_px"]]
    primary = _dice_volume(_per_patient(evaluation, OURS), samples, seed)
    primary["with_lesion"] = sum(bool(row["truth_px"]) for row in evaluation.patients)
    slice_dice = per_slice(with_truth, lambda row: row["dice"])
    dice_slice = {"mean": None, "low": None, "high": None} if slice_dice is None else slice_dice._asdict()
    if primary["mean"] is None:
        reasons["dice_volume"] = INCOMPLETE if with_truth else NO_TRUTH
    elif primary["low"] is None:
        reasons["dice_volume.low"] = reasons["dice_volume.high"] = ONE_PATIENT
    if slice_dice is None:
        reasons["dice_slice"] = NO_TRUTH

    volume_iou = [score for score in _per_patient(evaluation, OURS, iou) if score is not None]
    put("iou", bootstrap.interval(volume_iou, samples=samples, seed=seed) if volume_iou else None, reasons.get("dice_volume", ""))
    unit = "mm" if with_truth and all(row["hd95_mm"] is not None for row in with_truth) else "px"
    put(f"hd95_{unit}", per_slice(with_truth, lambda row: row[f"hd95_{unit}"]), NO_TRUTH)
    put("average_precision_pixel", _average_precision(evaluation, OURS, samples, seed), NO_TRUTH)
    put("auroc_slice", _slice_auroc(evaluation, patients, samples, seed), "needs abnormal and normal slices with an organ")
    put("pointing_game", per_slice(with_truth, lambda row: row["pointing"]), NO_TRUTH)
    put("normal_area", per_slice(normal, lambda row: row["marked_fraction"]), NO_NORMAL)
    put("specificity_slice", per_slice(normal, lambda row: float(row["marked_px"] == 0)), NO_NORMAL)
    empty = [float(row["marked_px"] == 0) for row in evaluation.patients if row["truth_px"] == 0]
    put("specificity_patient", bootstrap.interval(empty, samples=samples, seed=seed) if empty else None, "no patient is known to be without a lesion")

    marking = evaluation.marking
    return {
        "dice_volume": primary,
        "dice_slice": dice_slice | {"slices": len(with_truth)},
        **found,
        "hd95_convention": HD95_CONVENTION,
        "auroc_slice_score": f"generalised mean (power {marking.pooling_power:g}) of the probability over the organ",
        "threshold": float(marking.threshold),
        "threshold_rule": marking.rule,
        "patients": len(patients),
        "patients_incomplete": sum(not each.complete for each in counts),
        "slices": len(rows),
        "slices_positive": sum(map(is_abnormal, rows)),
        "slices_normal": sum(map(is_normal, rows)),
        "slices_blank": len(blank),
        "slices_missing": sum(row["missing"] for row in rows),
        "slices_without_truth": sum(row["truth_px"] is None for row in rows),
        "label_conflicts": sum(None not in (row["truth_px"], row["label"]) and bool(row["truth_px"]) != bool(row["label"]) for row in rows),
        "oracle": _oracle(evaluation, OURS, samples, seed),
        "heads": {name: _head(evaluation, name, samples, seed) for name in evaluation.heads},
        "baselines": {name: _baseline(evaluation, name, samples, seed) for name in evaluation.baselines},
        "intervals": intervals,
        "bootstrap": {"samples": samples, "seed": seed, "confidence": bootstrap.CONFIDENCE, "unit": "patient"},
        "reasons": reasons,
    }


def _dice_volume(scores, samples: int, seed: int) -> dict:
    """Mean, interval and median of the patients' Dice scores, None left out."""
    scores = [score for score in scores if score is not None and not np.isnan(score)]
    if not scores:
        return {"mean": None, "low": None, "high": None, "median": None, "patients": 0}
    return bootstrap.interval(scores, samples=samples, seed=seed)._asdict() | {"median": float(np.median(scores)), "patients": len(scores)}


def _per_patient(evaluation: Evaluation, name: str, score=dice) -> list[float | None]:
    """One volume score per patient; None when the truth is not known or, with the masks both empty, has nothing to score."""
    scored = scored_patients(evaluation.counts)
    return [score(counts.overlaps[name]) if counts in scored else None for counts in evaluation.counts]


def _histograms(patients: list[PatientCounts], name: str) -> np.ndarray:
    """(patients with known truth, 2, bins)."""
    return np.stack([counts.histograms[name] for counts in patients if counts.known] or [np.zeros((2, EDGES.size), int)])


def _average_precision(evaluation: Evaluation, name: str, samples: int, seed: int) -> bootstrap.Interval | None:
    stack = _histograms(evaluation.counts, name)
    value = histogram_average_precision(stack.sum(axis=0))
    if np.isnan(value):
        return None
    drawn = bootstrap.multiplicities(len(stack), samples, seed)
    flat = stack.reshape(len(stack), -1).astype(float)
    resampled = [histogram_average_precision((part @ flat).reshape(-1, *stack.shape[1:])) for part in np.array_split(drawn, 20)]
    return bootstrap.between(float(value), np.concatenate(resampled), len(stack))


def _slice_auroc(evaluation: Evaluation, patients: dict, samples: int, seed: int) -> bootstrap.Interval | None:
    rows = [row for row in evaluation.slices if row["label"] is not None and (row["organ_px"] or row["truth_px"])]
    scores, labels = np.array([row["score"] for row in rows]), np.array([row["label"] > 0 for row in rows], bool)
    value = auroc(scores, labels) if rows else None
    if value is None:
        return None
    patient = np.array([patients[row["patient"]] for row in rows])
    drawn = bootstrap.multiplicities(len(patients), samples, seed)
    resampled = [auroc(scores, labels, part[:, patient]) for part in np.array_split(drawn, 20)]
    return bootstrap.between(value, np.concatenate(resampled), len(np.unique(patient)))


def _oracle(evaluation: Evaluation, name: str, samples: int, seed: int) -> dict:
    """The threshold that maximises the mean patient Dice, found with the masks."""
    stack = _histograms(scored_patients(evaluation.counts), name)
    both, other = from_above(stack[:, 1]), from_above(stack[:, 0])
    total = both + other + stack[:, 1].sum(axis=1, keepdims=True)
    scores = np.where(total > 0, 2 * both / np.maximum(total, 1), np.nan)
    if np.isnan(scores).all():
        return {"threshold": None, "dice_volume": _dice_volume([], samples, seed)}
    counted = np.isfinite(scores).sum(axis=0)
    best = int(np.argmax(np.nansum(scores, axis=0) / np.maximum(counted, 1)))
    return {"threshold": float(EDGES[best]), "dice_volume": _dice_volume(scores[:, best], samples, seed)}


def _head(evaluation: Evaluation, name: str, samples: int, seed: int) -> dict:
    marking, precision = evaluation.marking, float(histogram_average_precision(_histograms(evaluation.counts, name).sum(axis=0)))
    return {
        "threshold": float(marking.head_thresholds.get(name, marking.threshold)),
        "dice_volume": _dice_volume(_per_patient(evaluation, name), samples, seed),
        "oracle": _oracle(evaluation, name, samples, seed),
        "average_precision_pixel": None if np.isnan(precision) else precision,
    }


def _baseline(evaluation: Evaluation, name: str, samples: int, seed: int) -> dict:
    ours, theirs = _per_patient(evaluation, OURS), _per_patient(evaluation, name)
    pairs = [(1.0 if a is None else a, 1.0 if b is None else b) for a, b in zip(ours, theirs) if (a, b) != (None, None)]
    difference = bootstrap.paired(*zip(*pairs), samples=samples, seed=seed)._asdict() if pairs else dict.fromkeys(("mean", "low", "high"))
    slices = {key: mean_of(value for counts in evaluation.counts for value in getattr(counts, each).get(name, ())) for key, each in _PER_SLICE.items()}
    return {"dice_volume": _dice_volume(theirs, samples, seed), "difference": difference, **slices}
