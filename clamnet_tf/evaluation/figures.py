"""Compute the metrics of an evaluation: the content of `metrics.json`.

Overlaps are measured where there is a lesion, false marks where there is none; the two are never averaged
together. Only the truth decides which patients and slices belong to which group: see populations.py.

definitions
    Version of the definitions, 2. Files without this key are from before November 2026, when a marked patient
    without a lesion counted as a Dice of 0.
dice_volume
    mean, low, high, median, patients: the PRIMARY metric. Dice of each patient's volume (counts summed over
    the slices), averaged over the patients with a lesion, with the 95 % bootstrap interval over these
    patients. A missed lesion counts 0. A patient with a slice of unknown truth is left out
    (patients_incomplete).
dice_slice
    mean, low, high, slices: Dice of the slices with a lesion. It is the headline where no patient has masks
    for all slices (dice_volume.mean is null).
iou
    Intersection over union of each patient's volume, averaged over the same patients as dice_volume.
hd95_mm or hd95_px
    Mean over slices with a lesion; `hd95_convention` says how it is computed; in mm when every slice has a
    spacing.
average_precision_pixel
    Over all pixels of all slices with known truth; outside the organ the probability is 0.
auroc_slice
    Slice labels against `auroc_slice_score`; blank slices (no organ, no truth) are left out.
pointing_game
    Share of slices with a lesion whose pixel of highest probability lies in the lesion; ties count by share.
pointing_near
    The same, in the lesion or within 1/28 of the image's longer side of it (8 pixels of 224).
normal_area
    Marked share of the organ on slices without a lesion, mean; blank slices are left out.
specificity_slice
    Share of these slices without a single marked pixel.
normal_area_patient
    Marked share of the organ over all slices of a patient without a lesion, averaged over these patients.
specificity_patient
    Share of these patients without a single marked pixel.
lesions
    rule; recall, precision and f1 (mean, low, high) of lesions as connected components, on `images` of
    `patients` with a lesion; lesions, found, marks; volumes (images of several slices); images_incomplete
    (left out: truth of a slice unknown); false_marks_per_image with_lesion and without_lesion; by_size
    (from, below, in size_unit): right marks count with their lesion, false ones by their own size.
froc
    rule, candidate_cut; points: sensitivity (mean, low, high) at each false_per_image; cpm: their mean; on
    `lesions` of `images`, of which images_without_lesion; curve: [false positives per image, sensitivity].
surface_dice
    rule; tolerances in unit: normalised surface Dice, mean over `slices` with a lesion; mm when every slice
    has a spacing.
detection
    slices, patients: abnormal, normal (numbers), auroc, sensitivity_at_specificity "0.9" and "0.95". The
    score of a patient is the highest of its slices.
calibration
    Of the slice score: ece with ece_rule and bins, brier; temperature: value, fitted without masks on the
    labels of `slices` of validation `patients`, and the ece and brier that it would give here. It changes
    nothing.
threshold, threshold_rule
    The threshold, and how it was determined.
patients, slices
    Numbers in the reference list. patients_with_lesion (of dice_volume), patients_without_lesion (of
    specificity_patient), patients_incomplete (truth of a slice unknown) and patients_blank (no organ, no
    lesion) add up to patients. Further counts: slices_positive, slices_normal, slices_blank, slices_missing
    (counted as the worst case), slices_without_truth, label_conflicts (label and mask disagree: pixel metrics
    follow the mask, the AUROC follows the label).
masks
    taught, measured: patients and slices whose mask files did so; no patient is in both (masks.csv lists
    them).
oracle
    threshold, dice_volume: the threshold that is best WITH the masks, without post-processing. It is a bound,
    not a result.
heads
    name -> threshold, dice_volume, dice_slice, oracle, average_precision_pixel.
baselines
    name -> dice_volume and dice_slice on exactly the same patients and slices; difference and
    difference_slice (mean, low, high of ours - theirs, paired by patient and by slice); normal_area,
    specificity_slice, normal_area_patient, specificity_patient with their intervals.
markers
    Only with named lesion classes: name -> all of these metrics for that class alone (see per_class.py).
    Heads are measured there.
learning
    Only for runs that have it: content of the run's learning.json, whether anything was learned, judged by
    image labels of the validation patients of the training (see learning_check.py).
intervals
    metric -> low, high, resampled by patient.
bootstrap
    samples, seed, confidence.
labels
    Of an evaluated run: taught and evaluated, what the labels that taught it and those of the evaluated
    images speak of: "slice", "study" or "slice and study"; taught is null where masks taught. A slice whose
    label is that of an abnormal study has the label that its mask gives it, or none: then it is left out of
    auroc_slice and calibration, and the patient is still abnormal in detection.
reasons
    metric -> why it is null. NaN never appears.
"""

import numpy as np

from clamnet_tf.evaluation import bootstrap
from clamnet_tf.evaluation.cases import OURS, Evaluation, PatientCounts, is_abnormal, is_normal
from clamnet_tf.evaluation.lesion_figures import lesion_metrics
from clamnet_tf.evaluation.populations import (
    baseline_metrics,
    false_marks,
    slice_dice,
    volume_dice,
    volume_scores,
)
from clamnet_tf.evaluation.score_figures import ValidationScores, score_metrics
from clamnet_tf.metrics.overlap import iou
from clamnet_tf.metrics.ranking import EDGES, auroc, from_above, histogram_average_precision
from clamnet_tf.metrics.surface import HD95_CONVENTION

DEFINITIONS = 2
"""Version of the definitions of the metrics in metrics.json; readers refuse files of other versions."""
NO_TRUTH = "no slice has a lesion in its reference mask"
NO_NORMAL = "no normal slice in the reference list"
NO_NORMAL_PATIENT = "no patient is known to be without a lesion"
INCOMPLETE = "no patient with a lesion has reference masks for all abnormal slices"
ONE_PATIENT = "one patient alone has no spread"


def compute_metrics(
    evaluation: Evaluation,
    samples: int = bootstrap.SAMPLES,
    seed: int = 0,
    validation: ValidationScores | None = None,
) -> dict:
    """Compute all metrics of an evaluation.

    Args:
        evaluation: Result of `evaluate_slices`.
        samples: Number of bootstrap samples.
        seed: Seed of the bootstrap.
        validation: Slice scores of validation patients, which fit the temperature; None: it is not fitted.

    Returns:
        The dict described above; every number is a Python int, float or None.
    """
    rows, counts = evaluation.slices, evaluation.counts
    values, intervals, reasons = {}, {}, {}
    patients = {row["patient"]: index for index, row in enumerate(evaluation.patients)}

    def put(name: str, result: bootstrap.Interval | None, reason: str) -> None:
        values[name] = None if result is None else result.mean
        intervals[name] = {"low": result and result.low, "high": result and result.high}
        if result is None:
            reasons[name] = reason

    def per_slice(chosen: list[dict], value) -> bootstrap.Interval | None:
        sums, slices = np.zeros(len(patients)), np.zeros(len(patients))
        for row in chosen:
            if (slice_value := value(row)) is not None:
                sums[patients[row["patient"]]] += slice_value
                slices[patients[row["patient"]]] += 1
        return bootstrap.pooled(sums, slices, samples, seed) if slices.any() else None

    with_truth = [row for row in rows if row["truth_px"]]
    blank = [row for row in rows if not row["organ_px"] and not row["truth_px"]]
    primary = volume_dice(volume_scores(counts, OURS), samples, seed)
    outlined = slice_dice(counts, OURS, samples, seed)
    if primary["mean"] is None:
        reasons["dice_volume"] = INCOMPLETE if with_truth else NO_TRUTH
    elif primary["low"] is None:
        reasons["dice_volume.low"] = reasons["dice_volume.high"] = ONE_PATIENT
    if outlined["mean"] is None:
        reasons["dice_slice"] = NO_TRUTH

    volume_iou = volume_scores(counts, OURS, iou)
    put(
        "iou",
        bootstrap.interval(volume_iou, samples=samples, seed=seed) if volume_iou else None,
        reasons.get("dice_volume", ""),
    )
    unit = "mm" if with_truth and all(row["hd95_mm"] is not None for row in with_truth) else "px"
    put(f"hd95_{unit}", per_slice(with_truth, lambda row: row[f"hd95_{unit}"]), NO_TRUTH)
    put("average_precision_pixel", _average_precision(evaluation, OURS, samples, seed), NO_TRUTH)
    put(
        "auroc_slice",
        _slice_auroc(evaluation, patients, samples, seed),
        "needs abnormal and normal slices with an organ",
    )
    put("pointing_game", per_slice(with_truth, lambda row: row["pointing"]), NO_TRUTH)
    put("pointing_near", per_slice(with_truth, lambda row: row["pointing_near"]), NO_TRUTH)
    for name, value in false_marks(counts, OURS, samples, seed).items():
        put(name, value, NO_NORMAL_PATIENT if name.endswith("_patient") else NO_NORMAL)

    marking = evaluation.marking
    lesions, lesion_reasons = lesion_metrics(evaluation, samples, seed)
    detection, score_reasons = score_metrics(evaluation, validation, samples, seed)
    reasons |= lesion_reasons | score_reasons
    return {
        "definitions": DEFINITIONS,
        "dice_volume": primary,
        "dice_slice": outlined,
        **values,
        "hd95_convention": HD95_CONVENTION,
        "auroc_slice_score": f"generalised mean (power {marking.pooling_power:g}) of the probability over "
        f"the organ",
        "threshold": float(marking.threshold),
        "threshold_rule": marking.rule,
        "patients": len(patients),
        "patients_with_lesion": sum(patient_counts.with_lesion for patient_counts in counts),
        "patients_without_lesion": sum(patient_counts.without_lesion for patient_counts in counts),
        "patients_incomplete": sum(not patient_counts.complete for patient_counts in counts),
        "patients_blank": sum(
            patient_counts.complete and not patient_counts.with_lesion and not patient_counts.without_lesion
            for patient_counts in counts
        ),
        "slices": len(rows),
        "slices_positive": sum(map(is_abnormal, rows)),
        "slices_normal": sum(map(is_normal, rows)),
        "slices_blank": len(blank),
        "slices_missing": sum(row["missing"] for row in rows),
        "slices_without_truth": sum(row["truth_px"] is None for row in rows),
        "label_conflicts": sum(
            None not in (row["truth_px"], row["label"]) and bool(row["truth_px"]) != bool(row["label"])
            for row in rows
        ),
        **lesions,
        **detection,
        "oracle": _oracle(evaluation, OURS, samples, seed),
        "heads": {name: _head(evaluation, name, samples, seed) for name in evaluation.heads},
        "baselines": {name: baseline_metrics(counts, name, samples, seed) for name in evaluation.baselines},
        "intervals": intervals,
        "bootstrap": {
            "samples": samples,
            "seed": seed,
            "confidence": bootstrap.CONFIDENCE,
            "unit": "patient",
        },
        "reasons": reasons,
    }


def _histograms(patients: list[PatientCounts], name: str) -> np.ndarray:
    """Stack the histograms of the patients with known truth: (patients, 2, bins), other pixels first, then
    lesion pixels.
    """
    return np.stack(
        [counts.histograms[name] for counts in patients if counts.known] or [np.zeros((2, EDGES.size), int)]
    )


def _average_precision(
    evaluation: Evaluation, name: str, samples: int, seed: int
) -> bootstrap.Interval | None:
    """Compute the pixel average precision with its interval; None when it is not defined."""
    stack = _histograms(evaluation.counts, name)
    value = histogram_average_precision(stack.sum(axis=0))
    if np.isnan(value):
        return None
    drawn = bootstrap.multiplicities(len(stack), samples, seed)
    flat = stack.reshape(len(stack), -1).astype(float)
    resampled = [
        histogram_average_precision((part @ flat).reshape(-1, *stack.shape[1:]))
        for part in np.array_split(drawn, 20)
    ]
    return bootstrap.between(float(value), np.concatenate(resampled), len(stack))


def _slice_auroc(
    evaluation: Evaluation, patients: dict, samples: int, seed: int
) -> bootstrap.Interval | None:
    """Compute the slice AUROC with its interval; None when labels of one kind are lacking."""
    rows = [
        row for row in evaluation.slices if row["label"] is not None and (row["organ_px"] or row["truth_px"])
    ]
    scores, labels = (
        np.array([row["score"] for row in rows]),
        np.array([row["label"] > 0 for row in rows], bool),
    )
    value = auroc(scores, labels) if rows else None
    if value is None:
        return None
    patient = np.array([patients[row["patient"]] for row in rows])
    drawn = bootstrap.multiplicities(len(patients), samples, seed)
    resampled = [auroc(scores, labels, part[:, patient]) for part in np.array_split(drawn, 20)]
    return bootstrap.between(value, np.concatenate(resampled), len(np.unique(patient)))


def _oracle(evaluation: Evaluation, name: str, samples: int, seed: int) -> dict:
    """Find, with the masks, the threshold that maximises the mean Dice of the patients with a lesion."""
    stack = _histograms(
        [patient_counts for patient_counts in evaluation.counts if patient_counts.with_lesion], name
    )
    true_positive, false_positive = from_above(stack[:, 1]), from_above(stack[:, 0])
    truth = stack[:, 1].sum(axis=1, keepdims=True)
    if not truth.any():
        return {"threshold": None, "dice_volume": volume_dice([], samples, seed)}
    scores = 2 * true_positive / (true_positive + false_positive + truth)
    best = int(np.argmax(scores.mean(axis=0)))
    return {"threshold": float(EDGES[best]), "dice_volume": volume_dice(scores[:, best], samples, seed)}


def _head(evaluation: Evaluation, name: str, samples: int, seed: int) -> dict:
    """Compute the metrics of one head of the network."""
    marking, precision = (
        evaluation.marking,
        float(histogram_average_precision(_histograms(evaluation.counts, name).sum(axis=0))),
    )
    return {
        "threshold": float(marking.head_thresholds.get(name, marking.threshold)),
        "dice_volume": volume_dice(volume_scores(evaluation.counts, name), samples, seed),
        "dice_slice": slice_dice(evaluation.counts, name, samples, seed),
        "oracle": _oracle(evaluation, name, samples, seed),
        "average_precision_pixel": None if np.isnan(precision) else precision,
    }
