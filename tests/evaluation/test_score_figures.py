"""Detection and calibration of metrics.json against scikit-learn, and null with a reason."""

import json

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from clamnet_tf.evaluation import score_figures
from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.score_figures import ValidationScores
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule
from clamnet_tf.metrics.calibration import fit_temperature, reliability, with_temperature


def flat(patient, index, label, score):
    """A slice with the same probability everywhere, which is its score."""
    organ = np.ones((4, 4), bool)
    return SliceCase(patient, f"{patient}.nii", index, label, organ, np.full((4, 4), score, np.float32))


def evaluate(cases, validation=None, samples=200):
    return compute_metrics(
        evaluate_slices(cases, ThresholdRule(0.5, "by hand")), samples=samples, validation=validation
    )


@pytest.fixture
def cases(rng):
    made = []
    for patient in range(40):
        abnormal = patient % 2
        for index in range(4):
            label = int(abnormal and index >= 2)
            made.append(flat(f"p{patient}", index, label, float(rng.beta(2 + 2 * label, 4))))
    return made


def arrays(cases):
    return (
        np.array([case.label for case in cases]),
        np.array([float(case.probability[0, 0]) for case in cases]),
    )


def patients(cases):
    labels: dict[str, list] = {}
    scores: dict[str, list] = {}
    for case in cases:
        labels.setdefault(case.patient, []).append(case.label)
        scores.setdefault(case.patient, []).append(float(case.probability[0, 0]))
    return np.array([max(each) for each in labels.values()]), np.array(
        [max(each) for each in scores.values()]
    )


@pytest.mark.parametrize("level", ["slices", "patients"])
def test_detection_equals_scikit_learn(cases, level):
    found = evaluate(cases)["detection"][level]
    labels, scores = arrays(cases) if level == "slices" else patients(cases)
    assert (found["abnormal"], found["normal"]) == (labels.sum(), (labels == 0).sum())
    assert found["auroc"]["mean"] == pytest.approx(roc_auc_score(labels, scores))
    false_share, sensitivity, _ = roc_curve(labels, scores, drop_intermediate=False)
    for name, allowed in (("0.9", 0.1), ("0.95", 0.05)):
        row = found["sensitivity_at_specificity"][name]
        assert row["mean"] == pytest.approx(sensitivity[false_share <= allowed + 1e-9].max())
        assert row["low"] <= row["mean"] <= row["high"]
    assert found["auroc"]["low"] < found["auroc"]["mean"] < found["auroc"]["high"]


def test_slice_auroc_is_the_old_one(cases):
    found = evaluate(cases)
    assert found["detection"]["slices"]["auroc"]["mean"] == found["auroc_slice"]
    assert found["detection"]["slices"]["auroc"]["low"] == found["intervals"]["auroc_slice"]["low"]


def test_a_patient_with_unknown_slices_is_abnormal_or_left_out():
    cases = [
        *(flat("known normal", index, 0, 0.2) for index in range(2)),
        flat("maybe", 0, 0, 0.1),
        flat("maybe", 1, None, 0.9),
        flat("abnormal", 0, 1, 0.3),
        flat("abnormal", 1, None, 0.8),
    ]
    found = evaluate(cases)["detection"]["patients"]
    assert (found["abnormal"], found["normal"], found["auroc"]["mean"]) == (1, 1, 1.0)


def test_calibration_equals_scikit_learn(cases):
    found = evaluate(cases)["calibration"]
    labels, scores = arrays(cases)
    assert found["brier"]["mean"] == pytest.approx(brier_score_loss(labels, scores))
    assert found["brier"]["low"] < found["brier"]["mean"] < found["brier"]["high"]
    assert found["ece"] == pytest.approx(reliability(scores, labels).error)
    assert sum(row["slices"] for row in found["bins"]) == found["slices"] == len(cases)
    assert found["bins"][0]["above"] == 0 and found["bins"][-1]["up_to"] == 1
    assert found["patients"] == 40


def test_a_temperature_is_fitted_on_validation_labels_and_changes_nothing(cases, rng):
    labels = rng.random(500) < 0.5
    scores = np.where(labels, rng.beta(5, 2, 500), rng.beta(2, 5, 500))
    plain, with_one = evaluate(cases), evaluate(cases, ValidationScores(scores, labels, 25))
    row = with_one["calibration"].pop("temperature")
    assert row["value"] == fit_temperature(scores, labels) and (row["slices"], row["patients"]) == (500, 25)
    test_labels, test_scores = arrays(cases)
    heated = with_temperature(test_scores, row["value"])
    assert row["brier"] == pytest.approx(brier_score_loss(test_labels, heated))
    assert row["ece"] == pytest.approx(reliability(heated, test_labels).error)
    none = plain["calibration"].pop("temperature")
    assert none["value"] is None and none["ece"] is None
    assert plain["reasons"].pop("calibration.temperature") == score_figures.NOT_ASKED
    assert plain == with_one


def test_where_nothing_can_be_measured_there_is_a_reason():
    one_kind = evaluate([flat(f"p{number}", 0, 1, 0.4) for number in range(3)])
    assert one_kind["detection"]["patients"]["auroc"] == {"mean": None, "low": None, "high": None}
    assert one_kind["reasons"]["detection.slices"] == score_figures.BOTH_SLICES
    assert one_kind["reasons"]["detection.patients"] == score_figures.BOTH_PATIENTS
    assert one_kind["calibration"]["ece"] is None and one_kind["calibration"]["slices"] == 3
    assert one_kind["reasons"]["calibration"] == score_figures.BOTH_SLICES
    unknown = evaluate([flat(f"p{number}", 0, None, 0.4) for number in range(3)])
    assert unknown["calibration"]["ece"] is None and unknown["calibration"]["bins"] == []
    assert unknown["reasons"]["calibration"] == score_figures.NO_LABEL
    assert "NaN" not in json.dumps(unknown) + json.dumps(one_kind)
    useless = evaluate(
        [flat("p", 0, 1, 0.4), flat("p", 1, 0, 0.3)],
        ValidationScores(np.array([0.2, 0.9]), np.array([True, True]), 2),
    )
    assert useless["reasons"]["calibration.temperature"] == score_figures.NO_TEMPERATURE
    assert useless["calibration"]["temperature"]["slices"] == 2
