"""What the page says of lesions, of patients told apart, and of the slice score."""

import dataclasses
import html
import re

import numpy as np
import pytest

from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.report import write_report
from clamnet_tf.evaluation.report_lesions import lesion_content
from clamnet_tf.evaluation.score_figures import ValidationScores
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule


def page_of(path, cases, validation=None):
    """(metrics, text of the page without tags)."""
    evaluation = evaluate_slices(cases, ThresholdRule(0.4, "by hand"))
    found = compute_metrics(evaluation, samples=100, validation=validation)
    write_report(
        path,
        title="t",
        run={},
        metrics=found,
        patients=evaluation.patients,
        slices=evaluation.slices,
        curves=[],
        gallery=[],
    )
    text = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", path.read_text("utf-8"), flags=re.S)
    return found, html.unescape(re.sub(r"<[^>]*>", "", text)).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def cases(build_cases):
    """Five patients with lesions, and two without."""
    with_lesion = [dataclasses.replace(case, volume=case.patient) for case in build_cases(missing=())]
    normal = [
        dataclasses.replace(
            case, patient=f"n{case.patient}", volume=f"n{case.patient}", label=0, truth=case.truth & False
        )
        for case in with_lesion[:12]
    ]
    return with_lesion + normal


def test_every_figure_has_its_sentence_with_its_numbers(tmp_path, cases, rng):
    labels = rng.random(90) < 0.5
    scores = np.where(labels, rng.beta(5, 3, 90), rng.beta(3, 5, 90))
    found, text = page_of(tmp_path / "r.html", cases, ValidationScores(scores, labels, 15))
    lesions, froc = found["lesions"], found["froc"]
    for part in (
        f"Of {lesions['lesions']} lesions in 5 patients, the network finds {lesions['found']}",
        f"Of {lesions['marks']} marks in these patients",
        f"The F1 of lesions, which is high only when few are missed and few marks are false, is "
        f"{lesions['f1']['mean']:.2f}",
        "on 5 images.",
        "on 2 images.",
        "within 2 pixels",
        "on 15 slices with a lesion of 5 patients; a missed lesion counts 0",
        "With a cut that allows one false mark per image on average",
        f"Measured on {froc['lesions']} lesions in 7 images of 7 patients; 2 of the images have no lesion.",
        "Given a patient with an abnormal slice and one without",
        "If at least 90 (or 95) of 100 normal slices are to be called normal",
        "If at least 90 (or 95) of 100 normal patients are to be called normal",
        "With only 2 normal patients",
        f"off by {found['calibration']['ece']:.2f} on average",
        f"the Brier score, is {found['calibration']['brier']['mean']:.2f} (95 % interval",
        "fitted on the labels of 90 validation slices of 15 patients and not on masks",
        "below 1,024 pixels",
        "9,216 pixels and more",
    ):
        assert part in text, part
    assert "nan" not in text.lower() and "None" not in text


def test_charts_are_drawn(cases):
    found = compute_metrics(evaluate_slices(cases, ThresholdRule(0.4, "")), samples=50)
    content = lesion_content(found)
    assert content["froc_chart"].count('class="point s0"') == 7
    filled = sum(row["slices"] > 0 for row in found["calibration"]["bins"])
    assert content["calibration_chart"].count('class="dot"') == filled
    assert "nan" not in content["froc_chart"] + content["calibration_chart"]


@pytest.mark.parametrize(
    ("kind", "sentences"),
    [
        (
            "no lesion",
            [
                "Not measured: no image with a reference mask of every slice has a lesion.",
                "In patients without a lesion there are",
                "Slices: not measured; needs abnormal and normal slices",
                "Not measured: needs abnormal and normal slices",
            ],
        ),
        (
            "no mask",
            [
                "images could not be included, because slices are not outlined",
                "Given a patient with an abnormal slice",
                "There is no temperature: it was not fitted for this evaluation.",
            ],
        ),
        (
            "nothing known",
            [
                "Not measured: no image has a reference mask of every slice.",
                "Patients: not measured; needs abnormal patients",
                "Not measured: no slice with an organ has a label.",
            ],
        ),
    ],
)
def test_what_is_not_measured_is_said(tmp_path, cases, kind, sentences):
    chosen = {
        "no lesion": [case for case in cases if case.patient.startswith("n")],
        "no mask": [dataclasses.replace(case, truth=None) for case in cases],
        "nothing known": [dataclasses.replace(case, truth=None, label=None) for case in cases],
    }[kind]
    _, text = page_of(tmp_path / "r.html", chosen)
    for sentence in sentences:
        assert sentence in text, sentence
    assert "the network finds" not in text and "CPM" not in text
    assert "nan" not in text.lower() and "None" not in text


def test_the_reason_against_a_temperature_is_said(tmp_path, cases):
    _, text = page_of(tmp_path / "r.html", cases, ValidationScores.none("no validation slice has a label"))
    assert "There is no temperature: it was not fitted, since no validation slice has a label." in text
