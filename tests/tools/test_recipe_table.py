"""tools/recipe-table: figures of patients with a lesion, earlier ones marked, and the pages as the
files say.
"""

import importlib.machinery
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool():
    loader = importlib.machinery.SourceFileLoader("recipe_table", str(ROOT / "tools" / "recipe-table"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("recipe_table", loader))
    loader.exec_module(module)
    return module


ENTRY = {
    "recipe": "xray_a",
    "modality": "xray",
    "supervised": False,
    "data": "set",
    "train_patients": 9,
    "patients": 20,
    "slices": 20,
    "by": "volume",
    "dice": [0.5, 0.4, 0.6],
    "outlined": 12,
    "baseline": ["otsu", 0.3],
    "whole_organ": 0.2,
    "auroc": 0.9,
    "minutes": 3.0,
    "trained": "2026-01-01",
}


def written(folder, dice, slices, **more):
    """metrics.json as far as the table reads it."""
    none = {"mean": None, "low": None, "high": None}
    volume = {
        "dice_volume": {**dice, "patients": 12} if dice else {**none, "patients": 0},
        "dice_slice": {**slices, "slices": 11},
    }
    rows = {
        name: {"dice_volume": {"mean": dice and value}, "dice_slice": {"mean": value / 2}}
        for name, value in (("whole_organ", 0.2), ("a", 0.3), ("b", 0.4))
    }
    figures = {
        "definitions": 2,
        **volume,
        "baselines": rows,
        "patients": 20,
        "slices": 30,
        "patients_without_lesion": 8,
        "specificity_patient": 0.75,
        "auroc_slice": 0.9,
        "data": {"simulated": False, "root": "/data/set"},
        "threshold_rule": "a rule",
        **more,
    }
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(figures))
    return folder


def test_the_line_says_who_was_measured(tool):
    now = {**ENTRY, "definitions": 2, "patients_without_lesion": 8, "specificity_patient": 0.75}
    assert (
        "| **0.50** (0.40 to 0.60), 12 patients with a lesion | 0.30 | 0.20 | 75 % of 8 | 0.90 |"
        in tool.line(now)
    )
    assert "| **0.50** (0.40 to 0.60), 12 patients † | 0.30 † | 0.20 † |  | 0.90 |" in tool.line(ENTRY)
    assert tool.MIXED in tool.table([ENTRY, now]) and tool.MIXED not in tool.table([now])
    slices = {**ENTRY, "by": "slice", "outlined": 11}
    assert "| **0.50** (0.40 to 0.60), 11 outlined slices | 0.30 |" in tool.line(
        slices
    ) and "†" not in tool.line(slices)


def test_figures_are_of_the_headline(tool, tmp_path):
    dice = {"mean": 0.5, "low": 0.4, "high": 0.6}
    found = tool.figures_of(written(tmp_path / "whole", dice, dice))
    assert (
        found["by"],
        found["outlined"],
        found["baseline"],
        found["whole_organ"],
        found["specificity_patient"],
    ) == ("volume", 12, ["b", 0.4], 0.2, 0.75)
    found = tool.figures_of(written(tmp_path / "slices", None, dice))
    assert (found["by"], found["outlined"], found["baseline"], found["whole_organ"], found["dice"]) == (
        "slice",
        11,
        ["b", 0.2],
        0.1,
        [0.5, 0.4, 0.6],
    )
    with pytest.raises(SystemExit, match="whose Dice counts patients without a lesion"):
        tool.figures_of(written(tmp_path / "earlier", dice, dice, definitions=None))


def test_figures_of_other_weights_are_refused(tool, tmp_path):
    dice = {"mean": 0.5, "low": 0.4, "high": 0.6}
    with pytest.raises(SystemExit, match="its figures are of other weights than zoo/ct_carcinoma"):
        tool.measured_again("ct_carcinoma", written(tmp_path / "x", dice, dice))


def test_the_short_line_reads_the_comparison(tool):
    now = {**ENTRY, "definitions": 2}
    assert (
        tool.short_line(now) == "| `xray_a` | set | 12 patients | **0.50** (0.40 to 0.60) | 0.30 | better |"
    )
    for simple, reading in ((0.7, "worse"), (0.6, "not shown to differ"), (0.4, "not shown to differ")):
        assert tool.short_line({**now, "baseline": ["otsu", simple]}).endswith(
            f"| {simple:.2f} | {reading} |"
        )
    assert tool.short_line({**now, "baseline": None}).endswith("|  | not compared |")
    slices = tool.short_line({**ENTRY, "by": "slice", "outlined": 11})
    assert "| 11 outlined slices | **0.50** (0.40 to 0.60) | 0.30 |" in slices
    assert "(0.40 to 0.60) † |" in tool.short_line(ENTRY)
    assert "xray_a" not in tool.short_table([{**now, "supervised": True}])


def test_the_pages_have_what_the_files_say(tool):
    entries = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(tool.KEPT.glob("*.json"))]
    for page, section in ((tool.README, tool.short_table(entries)), (tool.RESULTS, tool.table(entries))):
        text = page.read_text(encoding="utf-8")
        assert section in text
        assert tool.insert(text, "recipes", section) == text


def test_a_page_without_the_marker_is_refused(tool, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="page.md: expected the marker <!-- recipes:begin -->"):
        tool.rewrite(page, recipes="a table")
