"""Whole runs as a user starts them: resume after kill -9, Ctrl-C, the mask firewall, supervised mode."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SETTINGS = """
    data.side=32 data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64 organ.rim=0.0
    network.depth=2 network.filters=[4,6] network.kernels=[3,3] training.batch_size=4
    training.steps=8 training.evaluate_every=4 training.checkpoint_every=2 self_training.steps=4
    self_training.network.depth=2 self_training.network.filters=[4,6] self_training.network.kernels=[3,3]
""".split()


def command(out, *more, settings=SETTINGS):
    sets = [part for setting in settings for part in ("--set", setting)]
    return [sys.executable, "-m", "clamnet_tf", "fit", "mri_carcinoma", "--out", str(out), *sets, *more]


def weights(run):
    import keras

    return keras.saving.load_model(Path(run) / "model.keras", compile=False).get_weights()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, own_cache):
    """An uninterrupted run, to compare with."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    done = subprocess.run(command(out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out, done


def test_a_run_leaves_everything_it_should(whole):
    out, done = whole
    assert done.stdout.startswith("Data: the built-in cohort of simulated brain MRI")
    assert done.stderr == ""
    names = {path.name for path in out.iterdir()}
    assert names >= {
        "recipe.yaml",
        "split.csv",
        "environment.json",
        "log.txt",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "model.keras",
        "selection.json",
        "learning.json",
        "FINISHED",
    }
    assert {path.name for path in (out / "evaluation").iterdir()} >= {
        "metrics.json",
        "cases.csv",
        "patients.csv",
        "report.html",
    }
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "look"] == [4, 8, 12]
    assert {"loss", "hybrid_abnormal", "hybrid_normal", "agreement", "contrast"} <= rows[0].keys()
    figures = json.loads((out / "evaluation" / "metrics.json").read_text())
    learning = json.loads((out / "learning.json").read_text())
    assert figures["learning"] == learning and learning["outcomes"][""]["patients"]["all"] > 0
    assert (
        "predict will not notice images unlike these: expected training images of 10 patients" in done.stdout
    )
    lines = done.stdout[done.stdout.index("Trained in") :].splitlines()
    summary = [line for line in lines if not line.startswith("Evaluating: ")]  # progress, on a slow machine
    assert summary[1] == learning["sentences"][0] and summary[1].startswith("WARNING: ")
    assert 0 <= figures["dice_volume"]["mean"] <= 1 and figures["data"]["simulated"] is True
    selection = json.loads((out / "selection.json").read_text())
    assert (
        selection["markings"]["mean"]["threshold"] == figures["threshold"]
        and "no mask was read" in selection["threshold_rule"]
    )


def test_a_second_fit_into_the_same_folder_is_refused_and_harms_nothing(whole):
    out, _ = whole
    before = (out / "model.keras").read_bytes()
    done = subprocess.run(command(out), capture_output=True, text=True)
    assert done.returncode == 2 and "holds a finished run" in done.stderr
    again = subprocess.run(command(out, "--start-or-resume"), capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout == f"The run in {out} is finished already.\n"
    assert (out / "model.keras").read_bytes() == before


@pytest.mark.parametrize(
    "after", [pytest.param(3, marks=pytest.mark.slow), 9]
)  # in the first stage, and in the round of self-training
def test_killed_and_resumed_ends_with_the_same_weights(whole, tmp_path, after):
    out = tmp_path / "killed"
    process = subprocess.Popen(command(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_step(out, after, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "FINISHED").exists()
    refused = subprocess.run(command(out), capture_output=True, text=True)
    assert refused.returncode == 2 and "Add --resume" in refused.stderr
    done = subprocess.run(command(out, "--resume"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for one, two in zip(weights(whole[0]), weights(out)):
        np.testing.assert_allclose(one, two, atol=1e-6)
    steps = [
        [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (whole[0], out)
    ]
    assert steps[0] == steps[1]


def test_ctrl_c_stops_cleanly_and_can_be_resumed(tmp_path):
    out = tmp_path / "stopped"
    settings = [
        *SETTINGS,
        "training.steps=5000",
        "training.checkpoint_every=4000",
        "training.evaluate_every=4000",
    ]
    settings = list({setting.split("=")[0]: setting for setting in settings}.values())
    process = subprocess.Popen(
        command(out, settings=settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_step(out, 5, process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume" in stdout and "Traceback" not in stderr
    assert len(list((out / "checkpoints" / "image-labels").glob("step-*.npz"))) == 1


def wait_for_step(out, step, process):
    """Until checkpoint or log shows `step`."""
    deadline = time.time() + 300
    while time.time() < deadline:
        assert process.poll() is None, process.stderr.read()
        saved = [
            8 * ("self" in path.parent.name) + int(path.stem.split("-")[1])
            for path in out.glob("checkpoints/*/step-*.npz")
        ]
        logged = (
            [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines(False)[:-1]]
            if (out / "metrics.jsonl").exists()
            else []
        )
        if max([*saved, *logged, 0]) >= step:
            return
        time.sleep(0.02)
    raise AssertionError(f"step {step} was not reached")


def test_training_and_selection_cannot_depend_on_masks(whole, own_cache, tmp_path):
    """The same run with every mask replaced by noise: the same weights, threshold and checkpoint."""
    cohort = next((own_cache / "cohorts").iterdir())
    copy = tmp_path / "data"
    shutil.copytree(cohort, copy)
    (copy / "split.csv").write_text((whole[0] / "split.csv").read_text())
    rng = np.random.default_rng(1)
    masks = list(copy.rglob("*_mask.tif"))
    assert len(masks) > 20
    for mask in masks:
        shape = np.asarray(Image.open(mask)).shape
        Image.fromarray((rng.random(shape) < 0.5).astype(np.uint8) * 255).save(mask)
    out = tmp_path / "blind"
    manifest = next(copy.rglob("manifest.csv"))
    done = subprocess.run(
        command(out, "--data", str(manifest.parent), "--split-file", str(copy / "split.csv")),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for one, two in zip(weights(whole[0]), weights(out)):
        np.testing.assert_array_equal(one, two)
    same = [json.loads((run / "selection.json").read_text()) | {"seconds": None} for run in (whole[0], out)]
    assert same[0] == same[1]
    assert (whole[0] / "learning.json").read_text() == (out / "learning.json").read_text()
    dice = [
        json.loads((run / "evaluation" / "metrics.json").read_text())["dice_volume"]["mean"]
        for run in (whole[0], out)
    ]
    assert dice[0] != dice[1]


def test_supervised_mode_learns_from_masks(tmp_path):
    out = tmp_path / "supervised"
    settings = [setting for setting in SETTINGS if not setting.startswith("self")] + [
        "self_training.rounds=0",
        "training.supervision=masks",
    ]
    done = subprocess.run(command(out, settings=settings), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert "soft_dice" in rows[0] and rows[0]["stage"] == "supervised"


@pytest.mark.skipif(os.geteuid() != 0, reason="a small tmpfs needs root")
def test_a_full_disk_is_one_clear_message(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)]).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        done = subprocess.run(command(small / "run"), capture_output=True, text=True)
        assert done.returncode == 1 and "disk is full" in done.stderr and "Traceback" not in done.stderr
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.slow
def test_a_search_chooses_eta_without_masks_and_is_not_repeated(tmp_path, own_cache):
    out, search = tmp_path / "run", tmp_path / "run_search_eta"
    done = subprocess.run(command(out, "--search", "eta"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((search / "search.json").read_text())
    rows = found["candidates"]
    assert [row["eta"] for row in rows] == [0.3, 0.5, 0.7, 0.9]
    best = max(row["auroc"] for row in rows)
    near = [row for row in rows if row["auroc"] >= best - 0.02]
    wanted = min(
        [row for row in near if row["normal_area"] <= 0.03] or near, key=lambda row: row["normal_area"]
    )
    assert found["eta"] == wanted["eta"] and f"eta: {found['eta']}" in (out / "recipe.yaml").read_text()
    assert f"Chosen eta {found['eta']:g} of 0.3, 0.5, 0.7, 0.9" in done.stdout
    made = {path: path.stat().st_mtime_ns for path in search.rglob("model.keras")}
    assert len(made) == 4
    shutil.rmtree(out)
    again = subprocess.run(command(out, "--search", "eta"), capture_output=True, text=True)
    assert again.returncode == 0 and "Search: eta" not in again.stdout
    assert made == {path: path.stat().st_mtime_ns for path in search.rglob("model.keras")}


@pytest.mark.slow
def test_two_halves_are_trained_and_compared_and_not_trained_twice(tmp_path, own_cache):
    out, halves = tmp_path / "run", tmp_path / "run_halves"
    done = subprocess.run(command(out, "--half-agreement"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "learning.json").read_text())["halves"]
    assert found["steps"] == 6 and found["shared"] is None
    assert found["reason"] or 0 <= found["same"]["mean"] <= 1
    assert "Two networks, each trained on one half" in done.stdout or found["reason"]
    first, second = (weights(halves / name) for name in ("first_half", "second_half"))
    assert any(not np.array_equal(one, two) for one, two in zip(first, second))
    made = {path: path.stat().st_mtime_ns for path in halves.rglob("model.keras")}
    shutil.rmtree(out)
    again = subprocess.run(command(out, "--half-agreement"), capture_output=True, text=True)
    assert again.returncode == 0 and len(made) == 2
    assert made == {path: path.stat().st_mtime_ns for path in halves.rglob("model.keras")}
