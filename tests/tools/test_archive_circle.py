"""tools/archive-circle: the figures of the page are those of the file, and of a whole circle."""

import json
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "tools"


def test_the_figures_of_the_page_are_those_of_the_file():
    found = json.loads((TOOLS / "benchmarks" / "circle.json").read_text())
    text = (TOOLS.parent / "docs" / "how-to" / "pacs.md").read_text(encoding="utf-8")
    section = text.split("<!-- circle:begin -->")[1].split("<!-- circle:end -->")[0]
    for name in ("few", "predict", "again", "fit"):
        stage = found["stages"][name]
        cells = f"| {stage['seconds']:.0f} s | {stage['processor']:.0f} s | {stage['memory_mb']:,} MB |"
        assert cells in section, name
    assert found["studies"] == found["held_seg"] == found["held_sr"] == 20, "no double and no gap"
    assert found["corrected"] >= found["taught_patients"] > 0
    assert f"{found['taught_masks']} slices of {found['taught_patients']} corrected patients" in section
