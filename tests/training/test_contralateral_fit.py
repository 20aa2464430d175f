"""A run that compares breasts, as a user makes it: fit, evaluate, predict and export see the same."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow  # four commands
SETTINGS = (
    "data.side=32 data.contralateral=true network.pretrained.comparison=true network.pretrained.blocks=1 "
    "network.pretrained.frozen_blocks=1 training.steps=2 training.batch_size=4 training.evaluate_every=2 "
    "training.checkpoint_every=2 training.optimizer.warmup_steps=0"
).split()


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "clamnet_tf", *map(str, arguments)], capture_output=True, text=True
    )


def mammogram(generator, left, lesion):
    """(120, 90) uint8: a breast with its chest wall on the left, or turned; perhaps with a lesion."""
    rows, columns = np.mgrid[:120, :90]
    across = np.sqrt(np.clip(1 - ((rows - 62) / 50) ** 2, 0, None))
    inside = columns < 60 * across
    image = np.where(inside, 95 * np.clip((60 * across - columns) / 10, 0.25, 1), 4.0)
    shape = (np.hypot(rows - generator.integers(45, 80), columns - 20) < 7) & inside
    image[shape & lesion] += 90
    image = (image + generator.normal(0, 3, image.shape)).clip(0, 255).round().astype(np.uint8)
    return (image, shape) if left else (image[:, ::-1], shape[:, ::-1])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """12 patients of two breasts, every other one with a lesion in the left; the last has one image."""
    folder, generator = tmp_path_factory.mktemp("breasts"), np.random.default_rng(5)
    lines = ["image,patient,label,mask,split,laterality"]
    sides = ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    for patient, split in enumerate(sides):
        for side in ("L", "R") if patient < 11 else ("L",):
            lesion = patient % 2 == 0 and side == "L"
            image, mask = mammogram(generator, side == "L", lesion)
            name = f"{patient}{side}"
            Image.fromarray(image).save(folder / f"{name}.png")
            if lesion:
                Image.fromarray(255 * mask.astype(np.uint8)).save(folder / f"{name}_mask.png")
            lines.append(
                f"{name}.png,p{patient},{int(lesion)},{f'{name}_mask.png' if lesion else ''},{split},{side}"
            )
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def run(table, tmp_path_factory, own_cache):
    out = tmp_path_factory.mktemp("contralateral") / "run"
    settings = [part for each in SETTINGS for part in ("--set", each)]
    done = command("fit", "xray_carcinoma", "--data", table, "--out", out, *settings)
    assert done.returncode == 0, done.stderr
    assert "22 of 23 images are compared with the patient's other breast." in done.stderr + done.stdout
    return out


def test_the_evaluation_finds_the_same_figures_again(run, table, tmp_path):
    done = command("evaluate", run, "--data", table, "--split", "test", "--out", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    first, again = (
        json.loads((folder / "metrics.json").read_text())
        for folder in (run / "evaluation", tmp_path / "again")
    )
    assert again["dice_volume"] == first["dice_volume"] and again["threshold"] == first["threshold"]
    assert not any("channel1" in name for name in first["baselines"])  # they do not see the other breast


def test_predict_marks_what_evaluate_measured(run, table, tmp_path):
    with open(run / "evaluation" / "cases.csv", newline="") as stream:
        measured = sorted(int(row["marked_px"]) for row in csv.DictReader(stream))
    with open(table) as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    lines = [f"{table.parent / row['image']},{row['patient']},0,{row['laterality']}" for row in rows]
    (tmp_path / "test.csv").write_text("\n".join(["image,patient,label,laterality", *lines]) + "\n")
    done = command("predict", run, tmp_path / "test.csv", "--out", tmp_path / "marked")
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "marked" / "marks.csv", newline="") as stream:
        found = sorted(int(row["marked_px"]) for row in csv.DictReader(stream))
    assert found == measured and len(found) == 7 and any(found)


def test_an_export_says_what_its_channels_are(run, tmp_path):
    done = command("export", run, "--format", "savedmodel", "--out", tmp_path / "served")
    assert done.returncode == 0, done.stderr
    [contract] = (tmp_path / "served").rglob("contract.json")
    text = contract.read_text()
    assert "the first 1 of the channels are the mammogram, the others the same patient's other breast" in text
    assert "a single picture does not show the other breast (data.contralateral)" in text
