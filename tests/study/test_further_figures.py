"""The columns on lesions and slice scores of a study's tables, from metrics.json as evaluate writes it."""

import csv
import io
import json

import pytest

from clamnet_tf.study.compare import compare
from clamnet_tf.study.further_figures import FIGURES, further_figures, has_any
from clamnet_tf.study.gather import gather
from clamnet_tf.study.report import write_results


def interval(mean):
    return {"mean": mean, "low": None, "high": None}


def figures(shift=0.0, verdict="learned"):
    """The keys of metrics.json that the columns need, in the form of evaluation/figures.py."""
    sizes = [
        {"name": name, "f1": interval(value)}
        for name, value in (("small", 0.1 + shift), ("medium", None), ("large", 0.9 - shift))
    ]
    levels = {
        level: {"sensitivity_at_specificity": {"0.9": interval(high + shift), "0.95": interval(high)}}
        for level, high in (("slices", 0.7), ("patients", 0.8))
    }
    return {
        "lesions": {
            "recall": interval(0.5 + shift),
            "precision": interval(0.4),
            "f1": interval(0.45),
            "by_size": sizes,
        },
        "froc": {"cpm": interval(0.33)},
        "surface_dice": {
            "tolerances": [{"tolerance": 2, "mean": 0.8}, {"tolerance": 1, "mean": 0.6 + shift}]
        },
        "detection": levels,
        "calibration": {"ece": 0.12},
        "learning": {"verdict": verdict, "sentences": ["WARNING: nothing was learned."]},
    }


@pytest.fixture
def filled(planned, fill_study):
    """A study whose reference has the figures in both seeds, "short" in one seed alone."""
    plan, folder = planned
    fill_study(plan, folder)
    for trial in plan.trials:
        if trial.run is not None and (trial.arm.name, trial.seed) in {
            ("twins", 0),
            ("twins", 1),
            ("short", 0),
        }:
            path = folder.evaluation(trial, "test") / "metrics.json"
            verdict = "not learned" if trial.arm.name == "short" else "learned"
            more = figures(0.02 * trial.seed, verdict)
            path.write_text(json.dumps(json.loads(path.read_text()) | more))
    return plan, folder


def test_every_column_is_the_mean_over_seeds(filled):
    rows = {row.name: row for row in compare(filled[0].study, gather(*filled))}
    found = rows["twins"].secondary
    expected = {
        "lesion_recall": 0.51,
        "lesion_precision": 0.4,
        "lesion_f1": 0.45,
        "lesion_f1_small": 0.11,
        "lesion_f1_medium": None,
        "lesion_f1_large": 0.89,
        "froc_cpm": 0.33,
        "surface_dice": 0.61,
        "sensitivity_90_slice": 0.71,
        "sensitivity_95_slice": 0.7,
        "sensitivity_90_patient": 0.81,
        "sensitivity_95_patient": 0.8,
        "calibration_error": 0.12,
    }
    assert set(expected) == {figure.key for figure in FIGURES}
    for key, value in expected.items():
        assert found[key] == (None if value is None else pytest.approx(value)), key
    assert not has_any(rows["short"].secondary)  # one of its seeds has no such figures
    assert not has_any(rows["whole_organ"].secondary)


def test_tables_show_them_where_an_arm_has_them(filled):
    plan, folder = filled
    page = write_results(plan, folder).read_text(encoding="utf-8")
    text = (folder.path / "summary.md").read_text()
    table = next(block for block in text.split("\n\n") if block.startswith("| Arm | lesions found"))
    head, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert [line[0] for line in lines] == ["Twins: both of them"]
    assert dict(zip(head, lines[0])) | {"Arm": ""} == {
        "Arm": "",
        "lesions found": "51\u00a0%",
        "marks that hit": "40\u00a0%",
        "F1 of lesions": "0.45",
        "F1, small": "0.11",
        "F1, medium": "–",
        "F1, large": "0.89",
        "FROC (CPM)": "0.33",
        "surface Dice": "0.61",
        "slices found at 90 % specificity": "71\u00a0%",
        "slices found at 95 % specificity": "70\u00a0%",
        "patients found at 90 % specificity": "81\u00a0%",
        "patients found at 95 % specificity": "80\u00a0%",
        "calibration error": "0.12",
    }
    assert "<td>0.61</td>" in page and "Lesions, detection and calibration" in page
    rows = {
        row["name"]: row for row in csv.DictReader(io.StringIO((folder.path / "summary.csv").read_text()))
    }
    assert float(rows["twins"]["froc_cpm"]) == pytest.approx(0.33) and rows["short"]["froc_cpm"] == ""


def test_an_arm_that_is_not_shown_to_have_learned_says_so(filled):
    rows = {row.name: row for row in compare(filled[0].study, gather(*filled))}
    assert "seed 0: WARNING: nothing was learned." in rows["short"].messages
    assert not any("WARNING" in message for message in rows["twins"].messages)


def test_evaluations_without_these_figures_have_none():
    assert set(further_figures({}).values()) == {None}
