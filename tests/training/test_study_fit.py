"""A run taught by labels of studies, as a user makes it: what it says, kill -9, what is refused."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SETTINGS = """
    data.labels=study data.cohort.healthy=0.5 data.side=32 data.cohort.patients=8 data.cohort.slices=6
    data.cohort.side=64 organ.rim=0.0 network.depth=2 network.filters=[4,6] network.kernels=[3,3]
    training.batch_size=4 training.steps=6 training.evaluate_every=2 training.checkpoint_every=3
    self_training.rounds=1 self_training.steps=4 self_training.network.depth=2
    self_training.network.filters=[4,6] self_training.network.kernels=[3,3] selection.checkpoint=rule
""".split()


def command(out, *more):
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    return [sys.executable, "-m", "clamnet_tf", "fit", "mri_carcinoma", "--out", str(out), *sets, *more]


def weights(run):
    import keras

    return keras.saving.load_model(Path(run) / "model.keras", compile=False).get_weights()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, own_cache):
    out = tmp_path_factory.mktemp("study") / "whole"
    done = subprocess.run(command(out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_the_run_says_which_labels_taught(whole):
    out, said = whole
    assert "Labels are those of studies: 4 abnormal, each of whose slices may hold the lesion, and 4" in said
    assert "Labels of studies taught" in said and "patient AUROC" in said and "study AUROC" in said
    selection = json.loads((out / "selection.json").read_text())
    assert selection["labels"]["slice"] == 0 and selection["labels"]["study"] > 0
    metrics = json.loads((out / "evaluation" / "metrics.json").read_text())
    assert metrics["labels"] == {"taught": "study", "evaluated": "study"}
    assert metrics["detection"]["patients"]["abnormal"] + metrics["detection"]["patients"]["normal"] == 2
    page = (out / "evaluation" / "report.html").read_text()
    assert "one label per study" in page and "Patient AUROC" in page and "Study AUROC, validation" in page


def test_slices_are_measured_by_their_masks(whole):
    """The cohort has masks, so that each slice of an abnormal study is normal or abnormal by its own."""
    out, _ = whole
    with open(out / "evaluation" / "cases.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert all(int(row["label"]) == (int(row["truth_px"]) > 0) for row in rows)
    of_abnormal = [row for row in rows if row["study_label"] == "1"]
    assert {row["label"] for row in of_abnormal} == {"0", "1"}
    metrics = json.loads((out / "evaluation" / "metrics.json").read_text())
    assert metrics["label_conflicts"] == 0


def test_the_weights_of_slices_are_in_the_checkpoint(whole):
    """Estimated after step 2, kept at step 3: between 0.1 and 1, and not all alike."""
    out, _ = whole
    folder = out / "checkpoints" / "image-labels"
    with np.load(sorted(folder.glob("step-*.npz"))[0], allow_pickle=False) as stored:
        tables = [stored[name] for name in stored.files if stored[name].ndim == 2]
    found = [table for table in tables if table.shape[1] == 1 and len(table) >= 12]
    assert len(found) == 1 and found[0].min() >= 0.1 - 1e-6 and found[0].max() == 1
    assert len(np.unique(found[0])) > 1


@pytest.mark.slow
def test_killed_and_resumed_ends_with_the_same_weights(whole, tmp_path):
    out = tmp_path / "killed"
    process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 600
    try:
        while not list((out / "checkpoints" / "image-labels").glob("step-*.npz")):
            assert time.time() < deadline and process.poll() is None
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (out / "FINISHED").exists()
    done = subprocess.run(command(out, "--resume"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Resumed at step" in done.stdout
    for one, two in zip(weights(whole[0]), weights(out)):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_labels_of_slices_are_refused_before_anything_is_trained(whole, own_cache, tmp_path):
    cohort = next(own_cache.glob("cohorts/brain_mri-*/manifest.csv"))
    done = subprocess.run(command(tmp_path / "run", "--data", cohort), capture_output=True, text=True)
    assert done.returncode == 2 and "expected one label for all slices of a study" in done.stderr
    assert not (tmp_path / "run").exists()
    seen = subprocess.run(
        [
            *command("")[:3],
            "data",
            "inspect",
            cohort,
            "--quick",
            "--recipe",
            "mri_carcinoma",
            "--set",
            SETTINGS[0],
        ],
        capture_output=True,
        text=True,
    )
    assert seen.returncode == 2 and "expected one label for all slices of a study" in seen.stdout


def test_records_of_slices_are_not_written_from_labels_of_studies(tmp_path, own_cache, whole):
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    done = subprocess.run(
        [
            *command("")[:3],
            *["data", "prepare", "mri_carcinoma", "--format", "tfrecord", "--out", str(tmp_path / "records")],
            *sets,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "a record holds the label of its slice" in done.stderr
    assert not (tmp_path / "records").exists()
