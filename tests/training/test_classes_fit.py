"""The recipe of two markers from DICOM to figures, shrunken: fit, evaluate, predict, and a manifest that does
not fit.
"""

import csv
import json
import shutil
import warnings

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from clamnet_tf.cli.main import main

TINY = """
    data.side=32 data.cohort.patients=12 data.cohort.slices=5 data.cohort.side=56 network.depth=2
    network.filters=[4,6] network.kernels=[3,3]
    training.batch_size=4 training.steps=3 training.evaluate_every=2 training.checkpoint_every=2
    self_training.steps=2
    self_training.network.depth=2 self_training.network.filters=[4,6] self_training.network.kernels=[3,3]
""".split()
PAIRS = ["self_training.teacher=first_network"]
SETS = [part for setting in [*TINY, *PAIRS] for part in ("--set", setting)]
NAMES = ("intraparenchymal", "subdural")


def call(*arguments, code=0):
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as in a process of its own
        result = CliRunner().invoke(main, [*map(str, arguments)], prog_name="clamnet-tf")
    assert result.exit_code == code, (result.output, result.exc_info)
    return result.output


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, own_cache):
    out = tmp_path_factory.mktemp("runs") / "run"
    return out, call("fit", "ct_haemorrhage", "--out", out, *SETS)


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_run_measures_every_marker(fitted):
    out, said = fitted
    assert "simulated head CT (12 patients" in said and "Lesion classes: intraparenchymal " in said
    figures = json.loads((out / "evaluation" / "metrics.json").read_text())
    assert list(figures["markers"]) == list(NAMES)
    for name in NAMES:
        own = figures["markers"][name]
        assert (
            f"  {name}: Dice " in said
            and 0 <= own["auroc_slice"] <= 1
            and own["baselines"]["whole_organ"]["dice_volume"]["mean"] is not None
        )
    rows = rows_of(out / "evaluation" / "patients.csv")
    counted = {name: sum(int(row[f"{name}_truth_px"]) for row in rows) for name in NAMES}
    assert sum(counted.values()) == sum(int(row["truth_px"]) for row in rows) and min(counted.values()) > 0
    page = (out / "evaluation" / "report.html").read_text()
    assert "Each lesion class by itself" in page and "intraparenchymal (eta 0.9, expected size" in page
    assert list((out / "evaluation" / "pictures").glob("*.png"))


def test_a_run_keeps_the_cuts_of_every_marker_and_what_looks_saw(fitted):
    out, _ = fitted
    selection = json.loads((out / "selection.json").read_text())
    assert {tuple(row) for row in selection["markings"].values()} == {NAMES} and list(
        selection["prevalence"]
    ) == list(NAMES)
    assert "of the organ as subdural where they show it" in selection["threshold_rule"]
    looks = [
        row
        for row in map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
        if row["kind"] == "look"
    ]
    assert looks and all(
        row["threshold"] == pytest.approx(np.mean([own["threshold"] for own in row["markers"].values()]))
        for row in looks
    )
    assert [row["stage"] for row in looks] == ["image-labels"] * 2 + ["self-training-1"] * 2


@pytest.mark.slow
def test_an_atlas_teaches_both(tmp_path, own_cache):
    out = tmp_path / "run"
    call("fit", "ct_haemorrhage", "--out", out, *(part for setting in TINY for part in ("--set", setting)))
    selection = json.loads((out / "selection.json").read_text())
    assert selection["normal_atlas"] and {tuple(row) for row in selection["markings"].values()} == {NAMES}
    assert {row["stage"] for row in map(json.loads, (out / "metrics.jsonl").read_text().splitlines())} == {
        "self-training-1"
    }


def test_predict_marks_with_numbers(fitted, tmp_path, own_cache):
    out, _ = fitted
    series = sorted((own_cache / "cohorts").glob("head_ct-*/HEAD_A_0009/ct"))[0]
    said = call("predict", out, series, "--out", tmp_path / "marked")
    assert "subdural" in said
    for row in rows_of(tmp_path / "marked" / "marks.csv"):
        values = np.asarray(Image.open(tmp_path / "marked" / row["mask"]))
        assert [int(row[f"{name}_px"]) for name in NAMES] == [
            (values == value).sum() for value in (1, 2)
        ] and values.max() <= 2


def test_evaluate_works_without_names_and_fit_says_which_are_wrong(fitted, tmp_path, own_cache):
    out, _ = fitted
    cohort = sorted((own_cache / "cohorts").glob("head_ct-*"))[0]
    copy = tmp_path / "data"
    shutil.copytree(cohort, copy)
    text = (copy / "manifest.csv").read_text()
    (copy / "manifest.csv").write_text(text.replace(",subdural,\n", ",subdurall,\n"))
    assert "(did you mean 'subdural'?)" in call(
        "fit", "ct_haemorrhage", "--data", copy, "--out", tmp_path / "run", *SETS, code=2
    )
    (copy / "manifest.csv").write_text(
        text.replace(",subdural,\n", ",,\n").replace("intraparenchymal+subdural", "intraparenchymal")
    )
    said = call("fit", "ct_haemorrhage", "--data", copy, "--out", tmp_path / "run", *SETS, code=2)
    assert "No training slice shows subdural" in said and not (tmp_path / "run").exists()
    figures = tmp_path / "figures"
    assert "Left out of training and of metrics by label:" in call(
        "evaluate", out, "--data", copy, "--out", figures
    )
    own = json.loads((figures / "metrics.json").read_text())["markers"]["subdural"]
    assert (
        own["auroc_slice"] is None and own["dice_volume"]["mean"] is not None
    )  # no label names it, but the masks hold it


@pytest.mark.slow
def test_masks_can_be_learned_from(tmp_path, own_cache):
    settings = [*TINY, *PAIRS, "training.supervision=masks", "self_training.rounds=0"]
    call(
        "fit",
        "ct_haemorrhage",
        "--out",
        tmp_path / "run",
        *(part for setting in settings for part in ("--set", setting)),
    )
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert "soft_dice" in rows[0]


@pytest.fixture(scope="module")
def entry(fitted, tmp_path_factory):
    """The run, published with the command as an entry of one's own zoo."""
    folder = tmp_path_factory.mktemp("zoo") / "ct_haemorrhage_tiny"
    about = folder.parent / "about.yaml"
    about.write_text(
        "summary: Marks.\nchannel_order: [CT, deviation]\ntraining_data: {name: simulated, origin: Here., "
        "licence: CC0}\nweights_licence: CC0\n"
        "intended_use: Tests.\nlimits: [Not a medical device.]\n"
    )
    assert "Dice " in call("zoo", "publish", fitted[0], "--to", folder, "--about", about)
    return folder


def test_an_entry_by_its_name_marks_and_measures_as_the_run_does(
    fitted, entry, tmp_path, own_cache, monkeypatch
):
    run, _ = fitted
    monkeypatch.setenv("CLAMNET_TF_ZOO", str(entry.parent))
    series = sorted((own_cache / "cohorts").glob("head_ct-*/HEAD_A_0009/ct"))[0]
    for name, model in (("run", run), ("zoo", entry.name)):
        call("predict", model, series, "--out", tmp_path / name)
        call("evaluate", model, "--split", "test", "--out", tmp_path / f"{name}_figures")
    masks = sorted(path.relative_to(tmp_path / "run") for path in (tmp_path / "run").rglob("*.png"))
    assert masks and any(np.asarray(Image.open(tmp_path / "run" / mask)).any() for mask in masks)
    for mask in masks:
        np.testing.assert_array_equal(
            np.asarray(Image.open(tmp_path / "zoo" / mask)), np.asarray(Image.open(tmp_path / "run" / mask))
        )
    run_figures, zoo_figures = (
        json.loads((tmp_path / f"{name}_figures" / "metrics.json").read_text()) for name in ("run", "zoo")
    )
    assert (
        zoo_figures["markers"]["subdural"]["dice_slice"] == run_figures["markers"]["subdural"]["dice_slice"]
    )
    assert zoo_figures["slices"] == run_figures["slices"] < 60  # the sides are drawn again as in the run
    assert zoo_figures["dice_volume"] == run_figures["dice_volume"] and list(zoo_figures["markers"]) == list(
        NAMES
    )


def test_training_starts_from_an_entry_and_says_when_its_markers_are_others(entry, tmp_path, own_cache):
    said = call(
        "fit",
        "ct_haemorrhage",
        "--init",
        entry,
        "--out",
        tmp_path / "run",
        *SETS,
        "--set",
        "self_training.rounds=0",
    )
    [rows] = json.loads((tmp_path / "run" / "initialization.json").read_text())["stages"].values()
    assert {row["layer"]: row["outcome"] for row in rows}[
        "head_1_logits"
    ] == "reused" and "with classes" not in said
    swapped = [
        "--set",
        "classes=[{name: subdural}, {name: intraparenchymal}]",
        "--data",
        tmp_path / "nothing",
    ]
    said = call(
        "fit", "ct_haemorrhage", "--init", entry, "--out", tmp_path / "other", *SETS, *swapped, code=2
    )
    assert (
        "were trained with classes intraparenchymal, subdural; this recipe has subdural, intraparenchymal."
        in said
    )
