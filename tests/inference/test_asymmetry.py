"""Scores of two breasts against each other, by hand, against scikit-learn and in a prediction."""

import csv
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.metrics import roc_auc_score

from clamnet_tf.cli.main import main
from clamnet_tf.datasets.contralateral import ALONE
from clamnet_tf.datasets.manifest import Case
from clamnet_tf.evaluation.cases import Evaluation
from clamnet_tf.evaluation.score_figures import asymmetry_metrics
from clamnet_tf.inference.asymmetry import NO_BREAST, NOT_SCORED, SAME_WAY, compare, facing


def case(name, patient, laterality=None):
    return Case(image=Path("/nowhere") / name, patient=patient, label=0, laterality=laterality)


def test_half_of_the_other_breasts_score_is_taken_off():
    cases = [case("a.png", "p"), case("b.png", "q"), case("c.png", "p")]
    values, others, reasons = compare(cases, [0.8, 0.3, 0.2], ["left", "left", "right"])
    assert values == [pytest.approx(0.7), None, pytest.approx(-0.2)]
    assert others == [2, None, 0] and reasons == ["", ALONE, ""]


def test_what_cannot_be_compared_is_said():
    two = [case("a.png", "p"), case("b.png", "p")]
    for scores, faces, expected in (
        ([0.8, 0.2], ["left", "left"], [SAME_WAY, SAME_WAY]),
        ([0.8, None], ["left", "right"], [NOT_SCORED, NO_BREAST]),
        ([0.8, 0.2], ["left", None], [NOT_SCORED, NO_BREAST]),
    ):
        values, others, reasons = compare(two, scores, faces)
        assert values == [None, None] and others == [None, None] and reasons == expected
    stated = [case("a.png", "p", "left"), case("b.png", "p", "right")]
    assert compare(stated, [0.8, 0.2], ["left", "left"])[0] == [pytest.approx(0.7), pytest.approx(-0.2)]


def half_ellipse(side, wall):
    rows, columns = np.mgrid[:side, :side]
    region = ((rows - side / 2) / (0.4 * side)) ** 2 + (columns / (0.5 * side)) ** 2 < 1
    return region if wall == "left" else region[:, ::-1]


def test_the_chest_wall_is_where_the_breast_is_tall():
    assert facing(half_ellipse(64, "left")) == "left" and facing(half_ellipse(64, "right")) == "right"
    assert facing(np.zeros((8, 8))) is None


def test_the_figure_is_scikit_learns_auroc_on_the_images_that_were_compared():
    rng = np.random.default_rng(2)
    rows = [
        {
            "patient": f"p{index // 2}",
            "label": int(rng.random() < 0.4),
            "score": float(rng.random()),
            "asymmetry": None if index < 4 else float(rng.normal()),
            "not_compared": "alone" if index < 4 else None,
        }
        for index in range(40)
    ]
    evaluation = Evaluation(None, rows, [{"patient": f"p{index}"} for index in range(20)], [], (), ())
    found = asymmetry_metrics(evaluation, samples=50)
    labels = [row["label"] for row in rows[4:]]
    assert found["auroc"]["mean"] == pytest.approx(
        roc_auc_score(labels, [row["asymmetry"] for row in rows[4:]])
    )
    assert found["auroc_score"]["mean"] == pytest.approx(
        roc_auc_score(labels, [row["score"] for row in rows[4:]])
    )
    assert found["images"] == 36 and found["not_compared"] == {"alone": 4}
    assert found["auroc"]["low"] < found["auroc"]["mean"] < found["auroc"]["high"]


def test_a_prediction_compares_the_breasts_of_a_patient(tmp_path):
    rng = np.random.default_rng(0)
    for name, wall in (("a", "left"), ("b", "right"), ("c", "left")):
        breast = half_ellipse(200, wall) * (120 + 20 * rng.random((200, 200)))
        Image.fromarray(breast.astype(np.uint8)).save(tmp_path / f"{name}.png")
    table = tmp_path / "m.csv"
    table.write_text("image,patient,label\na.png,p,0\nb.png,p,0\nc.png,q,0\n")
    command = ["predict", "xray_carcinoma", str(table), "--out", str(tmp_path / "out"), "--format", "png"]
    done = CliRunner().invoke(main, [*command, "--engine", "onnxruntime"], prog_name="clamnet-tf")
    assert done.exit_code == 0, done.output
    with open(tmp_path / "out" / "volumes.csv", newline="", encoding="utf-8") as stream:
        rows = {row["volume"]: row for row in csv.DictReader(stream)}
    scores = {name: float(row["presence_score"]) for name, row in rows.items()}
    assert float(rows["a.png"]["asymmetry"]) == pytest.approx(
        scores["a.png"] - 0.5 * scores["b.png"], abs=1e-5
    )
    assert float(rows["b.png"]["asymmetry"]) == pytest.approx(
        scores["b.png"] - 0.5 * scores["a.png"], abs=1e-5
    )
    assert rows["a.png"]["other_breast"] == "b.png" and rows["b.png"]["other_breast"] == "a.png"
    assert rows["c.png"]["asymmetry"] == "" and rows["c.png"]["not_compared"] == ALONE
    assert "less half of the score of b.png" in done.output and ALONE in done.output
