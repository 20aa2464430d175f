"""Labels of studies in an evaluation: what a slice counts as, who is abnormal, and what is said."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.console import headline
from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.per_class import by_study
from clamnet_tf.evaluation.run_facts import label_levels
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.runs import RunFolder
from clamnet_tf.zoo.run_entry import _taught_by


def flat(patient, index, label, score, truth=None):
    organ = np.ones((4, 4), bool)
    probability = np.full((4, 4), score, np.float32)
    return SliceCase(patient, f"{patient}.nii", index, label, organ, probability, truth)


def measured(cases):
    return compute_metrics(
        evaluate_slices([by_study(case) for case in cases], ThresholdRule(0.5, "by hand")), samples=50
    )


def test_a_slice_of_an_abnormal_study_is_what_its_mask_says():
    marked = np.zeros((4, 4), bool)
    marked[1, 1] = True
    for label, truth, own in ((1, marked, 1), (1, ~marked & marked, 0), (1, None, None), (0, None, 0)):
        case = by_study(flat("p", 0, label, 0.5, truth))
        assert case.label == own and case.study_label == label
    unknown = by_study(flat("p", 0, None, 0.5))
    assert unknown.label is None and unknown.study_label is None


def test_without_masks_patients_are_told_apart_and_slices_are_not(rng):
    labels = rng.integers(0, 2, 30)
    scores = rng.random((30, 4)) * 0.6 + 0.4 * labels[:, None] * rng.random((30, 4))
    cases = [
        flat(f"p{patient}", index, int(labels[patient]), scores[patient, index])
        for patient in range(30)
        for index in range(4)
    ]
    metrics = measured(cases)
    assert (
        metrics["auroc_slice"] is None and "abnormal and normal slices" in metrics["reasons"]["auroc_slice"]
    )
    found = metrics["detection"]["patients"]
    assert (found["abnormal"], found["normal"]) == (labels.sum(), 30 - labels.sum())
    expected = roc_auc_score(labels, np.float32(scores).max(axis=1))
    assert found["auroc"]["mean"] == pytest.approx(expected, abs=1e-6)
    assert metrics["label_conflicts"] == 0


def test_console_says_which_labels_taught():
    cases = [flat("a", 0, 1, 0.9), flat("b", 0, 0, 0.1), flat("c", 0, 0, 0.2)]
    metrics = measured(cases)
    for taught, said in (("study", True), ("slice and study", True), ("slice", False), (None, False)):
        lines = headline(metrics | {"labels": {"taught": taught, "evaluated": "study"}})
        assert any("studies taught" in line and "patient AUROC 1.000" in line for line in lines) == said


def test_what_taught_is_read_from_the_run_and_stands_on_the_card(tmp_path):
    recipe, run = load_recipe("mri_carcinoma"), RunFolder(tmp_path)
    for counts, level, card in (
        ({"slice": 0, "study": 9}, "study", "labels of whole studies alone"),
        (
            {"slice": 4, "study": 9},
            "slice and study",
            "image labels of some studies and labels of whole studies",
        ),
        ({"slice": 4, "study": 0}, "slice", "image labels alone"),
    ):
        assert label_levels({"labels": counts}, recipe) == level
        assert _taught_by(recipe, run, {"labels": counts}).startswith(card)
    assert label_levels({}, recipe) == "slice" and _taught_by(recipe, run, {}).startswith(
        "image labels alone"
    )
    masks = recipe.training.model_copy(update={"supervision": "masks"})
    assert label_levels({}, recipe.model_copy(update={"training": masks})) is None
