"""A run taught by the atlas of normal slices, as a user makes it: fit, evaluate, predict and export agree on
the further channel.
"""

import csv
import importlib.machinery
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

SETTINGS = [
    *"data.side=32 data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64 data.channels=[1] "
    "pairs.augmentation.main_channel=null".split(),
    *"pairs.augmentation.channel_loss=0 organ.method=foreground organ.rim=0.07 training.batch_size=4 "
    "training.evaluate_every=4 self_training.steps=6".split(),
    *"self_training.network.depth=2 self_training.network.filters=[4,6] self_training.network.kernels=[3,3] "
    "self_training.teacher=normal_atlas".split(),
    *"data.normal_atlas.channel=0 data.normal_atlas.smoothing=1.0".split(),
]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "clamnet_tf", *map(str, arguments)], capture_output=True, text=True
    )


def marked(table):
    """(image, slice, marked pixels) of every row."""
    with open(table, newline="") as stream:
        return sorted(
            (row["image"], int(row["slice_index"]), int(row["marked_px"])) for row in csv.DictReader(stream)
        )


@pytest.fixture(scope="module")
def run(tmp_path_factory, own_cache):
    out = tmp_path_factory.mktemp("atlas") / "run"
    done = command(
        "fit", "mri_carcinoma", "--out", out, *(part for each in SETTINGS for part in ("--set", each))
    )
    assert done.returncode == 0, done.stderr
    return out


def test_no_first_network_is_trained_and_the_atlas_stays_with_the_run(run):
    import keras

    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {row["stage"] for row in rows} == {"self-training-1"} and rows[-1]["step"] == 6
    atlas = json.loads((run / "selection.json").read_text())["normal_atlas"]
    assert len(atlas["middle"]) == len(atlas["spread"]) == 768 and min(atlas["spread"]) >= 0.01
    assert keras.saving.load_model(run / "model.keras", compile=False).input_shape == (None, 32, 32, 2)


def test_evaluate_finds_the_same_figures_again(run, tmp_path):
    done = command("evaluate", run, "--split", "test", "--out", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    first, again = (
        json.loads((folder / "metrics.json").read_text())
        for folder in (run / "evaluation", tmp_path / "again")
    )
    assert again["dice_volume"] == first["dice_volume"] and again["threshold"] == first["threshold"]
    assert (tmp_path / "again" / "cases.csv").read_bytes() == (run / "evaluation" / "cases.csv").read_bytes()


def test_predict_marks_what_evaluate_measured(run, tmp_path, own_cache):
    measured = marked(run / "evaluation" / "cases.csv")
    folders = {next(own_cache.glob(f"cohorts/**/{image}")).parent for image, *_ in measured}
    for folder in folders:  # without the masks beside the images
        shutil.copytree(folder, tmp_path / "in" / folder.name, ignore=shutil.ignore_patterns("*_mask.tif"))
    done = command("predict", run, tmp_path / "in", "--out", tmp_path / "marked")
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "marked" / "marks.csv", newline="") as stream:
        found = [int(row["marked_px"]) for row in csv.DictReader(stream)]
    assert sorted(found) == sorted(pixels for *_, pixels in measured) and any(found)


def test_export_takes_the_channel_and_says_why_no_pictures(run, tmp_path):
    done = command("export", run, "--format", "savedmodel", "--out", tmp_path / "served")
    assert done.returncode == 0, done.stderr
    [contract] = (tmp_path / "served").rglob("contract.json")
    text = contract.read_text()
    assert (
        "the last channel is the deviation from normal slices" in text
        and "(data.normal_atlas) is not computed in a graph" in text
    )


def test_a_selection_without_its_atlas_is_refused(run, tmp_path):
    broken = shutil.copytree(run, tmp_path / "broken")
    selection = json.loads((broken / "selection.json").read_text())
    del selection["normal_atlas"]
    (broken / "selection.json").write_text(json.dumps(selection))
    done = command("evaluate", broken, "--split", "test", "--out", tmp_path / "out")
    assert (
        done.returncode != 0
        and "selection.json: has no usable normal_atlas, which its recipe demands" in done.stderr
    )


def test_the_table_of_recipes_repeats_the_run(run, tmp_path):
    """tools/recipe-table takes its figures and pictures from the run's own files."""
    loader = importlib.machinery.SourceFileLoader(
        "recipe_table", str(Path(__file__).parents[2] / "tools" / "recipe-table")
    )
    tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("recipe_table", loader))
    loader.exec_module(tool)
    entry = tool.facts(run)
    figures = json.loads((run / "evaluation" / "metrics.json").read_text())
    with open(run / "split.csv", newline="") as stream:
        assert entry["train_patients"] == sum(row["split"] == "train" for row in csv.DictReader(stream)) > 0
    dice = figures["dice_volume"]
    assert (
        entry["dice"] == [dice["mean"], dice["low"], dice["high"]]
        and entry["whole_organ"] == figures["baselines"]["whole_organ"]["dice_volume"]["mean"]
    )
    table = tool.table(
        [entry, {**entry, "recipe": "xray_other", "modality": "xray", "dice": [None] * 3}]
    ).splitlines()
    held = f"{dice['patients']} patients with a lesion"
    assert f"**{dice['mean']:.2f}** ({dice['low']:.2f} to {dice['high']:.2f}), {held} |" in table[
        2
    ] and table[3].startswith("| `xray_other`")
    assert len({line.count("|") for line in table[:4]}) == 1
    tool.picture(run, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as image:
        assert image.size[1] == tool.TILE
