"""`clamnet-tf zoo` and MODEL as a name, as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from clamnet_tf.cli.main import main
from clamnet_tf.zoo.entry import FILES, OPTIONAL_FILES
from clamnet_tf.zoo.read import entry_text, read_entry

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments):
    return CliRunner().invoke(main, ["zoo", *map(str, arguments)], prog_name="clamnet-tf")


def test_the_list_fits_80_columns_whatever_the_names(copy, monkeypatch):
    folder = copy("mri_" + "long" * 12)
    entry = read_entry(folder)
    metrics = entry.metrics.model_copy(update={"data": "a data set with a name that does not end"})
    entry = entry.model_copy(update={"condition": "a condition of many words and more", "metrics": metrics})
    (folder / "entry.yaml").write_text(entry_text(entry))
    (copy("mri_broken") / "entry.yaml").write_text("name: 1\n")
    monkeypatch.setenv("CLAMNET_TF_ZOO", str(folder.parent))
    monkeypatch.delenv("COLUMNS", raising=False)
    assert "a condition of many words and more" in call("list").stdout  # nothing is cut in a pipe
    monkeypatch.setenv("COLUMNS", "80")
    result = call("list")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and max(map(len, lines)) <= 80
    assert lines[0].split() == ["NAME", "KIND", "MODALITY", "CONDITION", "SIZE", "DICE", "(95", "%)", "DATA"]
    shipped = read_entry(ROOT / "zoo" / "mri_carcinoma")
    dice, size = shipped.metrics.dice_volume, f"{shipped.weights.bytes / 1e6:.1f} MB"
    headline = f"{dice.value:.2f} ({dice.low:.2f}-{dice.high:.2f})"
    assert any(line.split()[:1] == ["mri_carcinoma"] and headline in line and size in line for line in lines)
    assert folder.name in lines
    assert "Not listed: " in result.stderr and "mri_broken" in result.stderr
    rows = json.loads(call("list", "--json").stdout)
    assert [(row["name"], row["source"]) for row in rows][-1] == (folder.name, "folder") and all(
        row["source"] == "packaged" for row in rows[:-1]
    )
    (row,) = (row for row in rows if row["name"] == "mri_carcinoma")
    assert row["dice_volume"] == dice.model_dump() and row["bytes"] == shipped.weights.bytes


def test_show_prints_the_card_or_json():
    result = call("show", "mri_carcinoma")
    assert (
        result.exit_code == 0
        and result.stdout.startswith("# mri_carcinoma\n")
        and "## Limits" in result.stdout
    )
    assert json.loads(call("show", "mri_carcinoma", "--json").stdout)["input"]["channel_order"][1] == "FLAIR"
    wrong = call("show", "mri_carcinom")
    assert wrong.exit_code == 2 and "nearest name mri_carcinoma" in wrong.stderr


def test_verify_exits_1_for_a_wrong_entry(copy):
    folder = copy()
    (folder / "README.md").write_text("# nothing\n")
    with open(folder / "model.keras", "ab") as stream:
        stream.write(b"x")
    result = call("verify", folder)
    assert result.exit_code == 1 and result.stdout.startswith(f"WRONG  {folder}  (schema)")
    assert "files: " in result.stdout and "card: " in result.stdout


def test_publish_and_index(run, tmp_path):
    target = tmp_path / "zoo" / "mri_mine"
    refused = call("publish", run, "--to", target)
    assert (
        refused.exit_code == 2 and "weights_licence: expected text" in refused.stderr and not target.exists()
    )
    about = tmp_path / "about.yaml"
    about.write_text(
        "summary: Marks.\nchannel_order: [a, b]\ntraining_data: {name: mine, origin: Here., licence: "
        "CC0}\nweights_licence: CC0\n"
        "intended_use: Research.\nlimits: [Not a medical device.]\n"
    )
    done = call("publish", run, "--to", target, "--about", about)
    assert done.exit_code == 0, done.stderr
    figures = json.loads((run / "evaluation" / "metrics.json").read_text())
    assert (
        f"{target}: version 1, 0.2 MB, Dice {figures['dice_volume']['mean']:.3f} on 12 patients with a "
        f"lesion of kaggle_3m" in done.stdout
    )
    index = json.loads(call("index", target.parent).stdout)
    assert [item["file"] for item in index["entries"][0]["files"]] == [*FILES, *OPTIONAL_FILES]
    assert call("index", tmp_path / "absent").exit_code == 2


def test_pull_without_a_registry_says_what_to_set():
    result = call("pull", "mri_carcinoma")
    assert result.exit_code == 2 and "Set CLAMNET_TF_REGISTRY, or give one with --from." in result.stderr


def test_evaluate_takes_a_name_and_leaves_the_zoo_alone(tmp_path):
    from clamnet_tf.recipe.schema_data import CohortSection
    from clamnet_tf.simulation.cohorts import write_cohort

    data = write_cohort(
        CohortSection(patients=4, slices=4, side=64), tmp_path / "cohort", lambda done, total: None
    ).root
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "zoo").rglob("*")}
    command = [
        sys.executable,
        "-m",
        "clamnet_tf",
        "evaluate",
        "mri_carcinoma",
        "--data",
        str(data),
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Dice per patient volume" in done.stdout and (tmp_path / "out" / "report.html").exists()
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {"whole_organ", "otsu_channel1_bright", "size_channel1_sigma2_bright"} <= set(figures["baselines"])
    assert (
        figures["dice_volume"]["patients"]
        == figures["baselines"]["whole_organ"]["dice_volume"]["patients"]
        == figures["patients_with_lesion"]
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="best-simple"' in page and "Marking the whole organ gives a Dice score of" in page
    kept = (ROOT / "zoo" / "mri_carcinoma" / "intensity_baselines.json").exists()
    assert (
        ("published before" in page)
        == ("published before" in done.stdout)
        == bool(figures["notes"])
        == (not kept)
    )
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "zoo").rglob("*")} == before


@pytest.mark.parametrize("command", ["evaluate"])
def test_an_unknown_model_name_is_explained(command, tmp_path):
    result = CliRunner().invoke(
        main, [command, "mri_carcinma", "--out", str(tmp_path / "out")], prog_name="clamnet-tf"
    )
    assert result.exit_code == 2 and "nearest name mri_carcinoma. Looked in the packaged zoo" in result.stderr
