"""Compute the figures of metrics.json that judge the slice score: `detection` and `calibration`.

Slice labels decide; blank slices (no organ, no truth) are left out, as in auroc_slice. A patient is abnormal
when one of the slices is, normal when all are normal, and otherwise left out; the score of a patient is the
highest of its slices. Where labels are those of studies, a patient with an abnormal study is abnormal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from clamnet_tf.evaluation import bootstrap
from clamnet_tf.evaluation.cases import Evaluation
from clamnet_tf.inference.asymmetry import WEIGHT
from clamnet_tf.metrics.calibration import BINS, brier, fit_temperature, reliability, with_temperature
from clamnet_tf.metrics.detection import sensitivity_at_specificity
from clamnet_tf.metrics.ranking import auroc

SPECIFICITIES = (0.9, 0.95)
BOTH_SLICES = "needs abnormal and normal slices with an organ"
BOTH_PATIENTS = "needs abnormal patients and patients whose slices are all normal"
NO_LABEL = "no slice with an organ has a label"
NO_VALIDATION = "this evaluation has no validation slices with labels"
SAME_PATIENTS = "the validation patients are among those evaluated"
NOT_ASKED = "was not fitted for this evaluation"
NO_TEMPERATURE = "the labels of the validation slices do not determine one"
_NONE = {"mean": None, "low": None, "high": None}


@dataclass(frozen=True, eq=False)
class ValidationScores:
    """Hold the slice scores of validation patients, from which a temperature is fitted without masks.

    Attributes:
        scores: (n,) slice scores, 0..1.
        labels: (n,) bool, whether the slice is abnormal.
        patients: number of patients.
        reason: why there are no scores; empty when there are some.
    """

    scores: np.ndarray
    labels: np.ndarray
    patients: int
    reason: str = ""

    @classmethod
    def none(cls, reason: str) -> "ValidationScores":
        """Return no scores, with the reason."""
        return cls(np.zeros(0), np.zeros(0, bool), 0, reason)


@dataclass(frozen=True, eq=False)
class _Scored:
    """Scores, labels and the number of the patient of slices or of patients."""

    scores: np.ndarray
    labels: np.ndarray
    patient: np.ndarray


def score_metrics(
    evaluation: Evaluation, validation: ValidationScores | None, samples: int, seed: int
) -> tuple[dict, dict]:
    """Return ({"detection": ..., "calibration": ...}, reasons for what is None).

    Args:
        evaluation: Result of the walk.
        validation: Scores from which the temperature is fitted; None: it is not.
        samples: Number of bootstrap samples.
        seed: Seed of the bootstrap.
    """
    reasons: dict[str, str] = {}
    slices = _slices(evaluation)
    levels = {}
    for name, scored, reason in (
        ("slices", slices, BOTH_SLICES),
        ("patients", _patients(evaluation), BOTH_PATIENTS),
    ):
        levels[name] = _level(scored, len(evaluation.patients), samples, seed)
        if levels[name]["auroc"]["mean"] is None:
            reasons[f"detection.{name}"] = reason
    return {
        "detection": {"patient_score": "highest score of the patient's slices", **levels},
        "calibration": _calibration(
            slices,
            validation or ValidationScores.none(NOT_ASKED),
            len(evaluation.patients),
            samples,
            seed,
            reasons,
        ),
    }, reasons


def asymmetry_metrics(evaluation: Evaluation, samples: int = bootstrap.SAMPLES, seed: int = 0) -> dict:
    """Return how well the asymmetry of two breasts tells abnormal images from normal ones.

    Args:
        evaluation: Result of the walk, whose slices have the columns asymmetry and not_compared.
        samples: Number of bootstrap samples.
        seed: Seed of the bootstrap.

    Returns:
        images, how many were compared; auroc of the asymmetry, and auroc_score of the plain score on the same
        images, both with intervals over patients; not_compared, reason -> number of images.
    """
    number = {row["patient"]: index for index, row in enumerate(evaluation.patients)}
    rows = [row for row in evaluation.slices if row["asymmetry"] is not None and row["label"] is not None]
    labels = np.array([row["label"] > 0 for row in rows], bool)
    patient = np.array([number[row["patient"]] for row in rows], int)

    def measured(column):
        scored = _Scored(np.array([row[column] for row in rows], float), labels, patient)
        return _resampled(scored, len(number), auroc, samples, seed)

    reasons = [row["not_compared"] for row in evaluation.slices if row["not_compared"]]
    return {
        "rule": f"score less {WEIGHT:g} times the score of the same patient's other breast",
        "images": len(rows),
        "auroc": measured("asymmetry"),
        "auroc_score": measured("score"),
        "not_compared": {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
    }


def _slices(evaluation: Evaluation) -> _Scored:
    number = {row["patient"]: index for index, row in enumerate(evaluation.patients)}
    rows = [
        row for row in evaluation.slices if row["label"] is not None and (row["organ_px"] or row["truth_px"])
    ]
    return _Scored(
        np.array([row["score"] for row in rows], float),
        np.array([row["label"] > 0 for row in rows], bool),
        np.array([number[row["patient"]] for row in rows], int),
    )


def _patients(evaluation: Evaluation) -> _Scored:
    scores: dict[str, list] = {}
    labels: dict[str, list] = {}
    for row in evaluation.slices:
        if row["organ_px"] or row["truth_px"]:
            scores.setdefault(row["patient"], []).append(row["score"])
            labels.setdefault(row["patient"], []).append(row.get("study_label") or row["label"])
    number = {row["patient"]: index for index, row in enumerate(evaluation.patients)}
    known = [name for name in scores if any(labels[name]) or None not in labels[name]]
    return _Scored(
        np.array([max(scores[name]) for name in known], float),
        np.array([any(labels[name]) for name in known], bool),
        np.array([number[name] for name in known], int),
    )


def _level(scored: _Scored, patients: int, samples: int, seed: int) -> dict:
    """Return numbers of items, AUROC, and sensitivity at each specificity, with intervals over patients."""
    measures: dict[str, Callable] = {
        "auroc": auroc,
        **{
            f"{specificity:g}": partial(sensitivity_at_specificity, specificity=specificity)
            for specificity in SPECIFICITIES
        },
    }
    found = {name: _resampled(scored, patients, measure, samples, seed) for name, measure in measures.items()}
    return {
        "abnormal": int(scored.labels.sum()),
        "normal": int((~scored.labels).sum()),
        "auroc": found.pop("auroc"),
        "sensitivity_at_specificity": found,
    }


def _resampled(scored: _Scored, patients: int, measure, samples: int, seed: int) -> dict:
    """Return a measure of scores and labels with its interval; all None when it is not defined."""
    value = measure(scored.scores, scored.labels) if scored.scores.size else None
    if value is None:
        return dict(_NONE)
    drawn = bootstrap.multiplicities(patients, samples, seed)
    resampled = [
        measure(scored.scores, scored.labels, weights=part[:, scored.patient])
        for part in np.array_split(drawn, 20)
    ]
    number = len(np.unique(scored.patient))
    return bootstrap.between(value, np.concatenate(resampled), number)._asdict()


def _calibration(
    slices: _Scored, validation: ValidationScores, patients: int, samples: int, seed: int, reasons: dict
) -> dict:
    """Return reliability, calibration error and Brier score of the slice score, and the temperature.

    The calibration error has no interval: it only grows when patients are resampled, so a percentile interval
    would lie above it.
    """
    numbers = {
        "slices": slices.scores.size,
        "abnormal": int(slices.labels.sum()),
        "patients": len(np.unique(slices.patient)),
    }
    if not 0 < numbers["abnormal"] < numbers["slices"]:
        reason = BOTH_SLICES if numbers["slices"] else NO_LABEL
        reasons["calibration"] = reasons["calibration.temperature"] = reason
        return {**numbers, "ece": None, "brier": dict(_NONE), "bins": [], "temperature": _temperature(None)}
    shown = reliability(slices.scores, slices.labels)
    squares = (slices.scores - slices.labels) ** 2
    score = bootstrap.pooled(
        np.bincount(slices.patient, weights=squares, minlength=patients),
        np.bincount(slices.patient, minlength=patients),
        samples,
        seed,
    )
    value, reason = None, validation.reason
    if validation.scores.size:
        value, reason = fit_temperature(validation.scores, validation.labels), NO_TEMPERATURE
    if value is None:
        reasons["calibration.temperature"] = reason
    return {
        **numbers,
        "ece": shown.error,
        "ece_rule": f"{BINS} bins of equal width; mean over slices of |mean score - share of abnormal "
        f"slices| of their bin",
        "brier": score._asdict(),
        "bins": _bins(shown),
        "temperature": _temperature(value, validation, slices),
    }


def _bins(shown) -> list[dict]:
    """Return a row per bin; score and share are None where it is empty."""
    return [
        {
            "above": float(shown.edges[index]),
            "up_to": float(shown.edges[index + 1]),
            "slices": int(number),
            "score": float(shown.score[index]) if number else None,
            "share": float(shown.share[index]) if number else None,
        }
        for index, number in enumerate(shown.counts)
    ]


def _temperature(value, validation: ValidationScores | None = None, slices: _Scored | None = None) -> dict:
    """Return the temperature, what it was fitted on, and what it would make of the evaluated slices."""
    row = {
        "value": value,
        "slices": 0 if validation is None else validation.scores.size,
        "patients": 0 if validation is None else validation.patients,
        "ece": None,
        "brier": None,
    }
    if value is not None and slices is not None:
        scores = with_temperature(slices.scores, value)
        row |= {
            "ece": reliability(scores, slices.labels).error,
            "brier": brier(scores, slices.labels),
        }
    return row
