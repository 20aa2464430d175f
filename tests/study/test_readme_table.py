"""The tables of studies in docs/explanation/results.md are made from summary.csv files and from nothing
else.
"""

import importlib.machinery
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

from clamnet_tf.study.report import write_results

TOOL = Path(__file__).parents[2] / "tools" / "readme-figures"


@pytest.fixture(scope="module")
def tool():
    loader = importlib.machinery.SourceFileLoader("readme_figures", str(TOOL))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("readme_figures", loader))
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def study_section(tool):
    return sys.modules["study_section"]


def test_the_table_repeats_the_summary(study_section, planned, fill_study):
    plan, folder = planned
    fill_study(plan, folder)
    write_results(plan, folder)
    lines = study_section.study_table(folder.path / "summary.csv").splitlines()
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines if line.startswith("| ")}
    assert list(rows) == ["Arm", "Twins", "No twin", "Short", "Whole organ", "Supervised", "Shuffled labels"]
    markdown = {
        line.split(" | ")[0].removeprefix("| ").split(":")[0]: line
        for line in (folder.path / "summary.md").read_text().splitlines()
        if line.count(" | ") == 15
    }
    for name in list(rows)[1:]:
        assert rows[name].split(" | ")[1] == markdown[name].split(" | ")[2]
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert "8 held-out patients with a lesion, 2 seeds" in lines[-3] + lines[
        -2
    ] and "Of 1 single changes: 1 worse (Head 1)" in " ".join(lines)
    assert "Not trained yet: Wrong." in " ".join(lines)


def test_a_control_that_does_not_fall_is_said(study_section):
    arm = {"title": "Shuffled: all", "dice": "0.64", "to_floor": "0.26", "to_floor_high": "0.31"}
    assert study_section.control({**arm, "to_floor_low": ""}) == ""
    assert (
        study_section.control({**arm, "to_floor_low": "-0.01"}) == "The control fell, as it must (Shuffled)."
    )
    said = study_section.control({**arm, "to_floor_low": "0.208"})
    assert said.startswith("**The control did not fall** (Shuffled): Dice 0.64, 0.26 (0.21 to 0.31) above")


def test_every_study_with_a_file_has_a_table(study_section, planned, fill_study, tmp_path):
    plan, folder = planned
    fill_study(plan, folder)
    write_results(plan, folder)
    assert study_section.studies_section(tmp_path) == ""
    shutil.copy(folder.path / "summary.csv", tmp_path / "study_nodule.csv")
    section = study_section.studies_section(tmp_path)
    table = study_section.study_table(tmp_path / "study_nodule.csv")
    assert section == f"## Compared\n\n### Nodules in chest CT\n\n{table}"
    shutil.copy(folder.path / "summary.csv", tmp_path / "study_mri.csv")
    assert study_section.studies_section(tmp_path).index("Glioma") < study_section.studies_section(
        tmp_path
    ).index("Nodules")


def test_without_a_section_the_old_one_goes(tool, study_section):
    text = "before\n<!-- study:begin -->\nold\n<!-- study:end -->\nafter\n"
    assert tool.insert(text, "study", "") == "before\n<!-- study:begin -->\n<!-- study:end -->\nafter\n"
    section, page = study_section.studies_section(tool.STUDIES), tool.RESULTS.read_text(encoding="utf-8")
    assert section in page and tool.insert(page, "study", section) == page


def test_the_table_of_speed_repeats_the_targets_of_the_bench(tool):
    section, page = tool.speed_section(tool.SPEED), tool.SPEED_PAGE.read_text(encoding="utf-8")
    assert section in page and tool.insert(page, "speed", section) == page
    groups = json.loads(tool.SPEED.read_text(encoding="utf-8"))["groups"].values()
    with_target = [row["what"] for group in groups for row in group["rows"] if row["reading"]]
    lines = tool.speed_section(tool.SPEED).splitlines()[2:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == with_target
    assert all(line.endswith((" | met |", " | missed |")) for line in lines)


def test_the_table_of_masks_repeats_the_studies(tool, tmp_path):
    assert tool.masks_section(tmp_path) == ""
    head = "name,dice,dice_low,dice_high,seeds,patients,seed_lowest"
    rows = ["labels,0.71,0.68,0.74,1,162,0.71", "mixed_10,0.715,0.69,0.75,1,162,0.72", "mixed_2,,,,0,162,"]
    rows += ["supervised_1,0.3,0.2,0.4,3,162,0.25", "supervised_all,0.8,0.7,0.9,1,162,0.8"]
    rows += ["whole_organ,0.05,0,0.1,1,162,"]
    (tmp_path / "study_masks_nodule.csv").write_text("\n".join([head, *rows]))
    lines = tool.masks_section(tmp_path).splitlines()
    assert lines[2:6] == [
        "| 0 patients | 0.71 (0.68 to 0.74) |  |",
        "| 1 patient |  | 0.30 (0.20 to 0.40) |",
        "| 10 patients | 0.71 (0.69 to 0.75) |  |",
        "| all patients |  | 0.80 (0.70 to 0.90) |",
    ]
    assert "162 held-out patients, 1 to 3 seeds" in lines[7] and "MRI" not in lines[0]
    section, page = tool.masks_section(tool.STUDIES), tool.MASKS_PAGE.read_text(encoding="utf-8")
    assert section and section in page


def test_the_table_of_unlike_images_repeats_its_file(tool, tmp_path):
    assert tool.appearance_section(tmp_path / "appearance.csv") == ""
    head = "model,data,stored,volumes,unlike,upside_down,on_side,inverted,median_distance"
    rows = [
        f'a,"mias, held out",{way},40,0.1,{0.76 if way == "upside down" else 0},0.02,0,0.5'
        for way in ("as it is", "upside down", "turned by 180 degrees", "turned by 90 degrees", "mirrored")
    ]
    rows += ['a,"mias, held out",inverted,40,0,0,0,1,0.5']
    (tmp_path / "appearance.csv").write_text("\n".join([head, *rows]))
    lines = tool.appearance_section(tmp_path / "appearance.csv").splitlines()
    assert lines[2] == "| `a` | mammograms (MIAS), held out | 40 | 12 % | 88 % | 12 % | 100 % |"
    section = tool.appearance_section(tool.STUDIES / "appearance.csv")
    assert section and section in tool.PREDICT_PAGE.read_text(encoding="utf-8")
