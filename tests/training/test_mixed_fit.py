"""`fit` with masks of some patients: what it leaves, kill -9 and --resume, corrections, what is refused."""

import csv
import json
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from PIL import Image

SETTINGS = """
    data.side=32 data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64 organ.rim=0.0
    network.depth=2 network.filters=[4,6] network.kernels=[3,3] training.batch_size=4
    training.steps=4 training.evaluate_every=4 training.checkpoint_every=2 self_training.steps=4
    self_training.network.depth=2 self_training.network.filters=[4,6] self_training.network.kernels=[3,3]
""".split()
MIXED = ["training.supervision=mixed", "training.masked_patients=2"]


def command(out, *more, settings=(*SETTINGS, *MIXED)):
    sets = [part for setting in settings for part in ("--set", setting)]
    return [sys.executable, "-m", "clamnet_tf", "fit", "mri_carcinoma", "--out", str(out), *sets, *more]


def run(out, *more, **options):
    done = subprocess.run(command(out, *more, **options), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def weights(out):
    return keras.saving.load_model(out / "model.keras", compile=False).get_weights()


def table(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, own_cache):
    """An uninterrupted run in which two of the training patients teach with their masks."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, run(out)


def test_it_says_which_masks_taught_and_which_measured(whole):
    out, said = whole
    taught, both = table(out / "masks.csv"), table(out / "evaluation" / "masks.csv")
    sides = {row["patient"]: row["split"] for row in table(out / "split.csv")}
    patients = {row["patient"] for row in taught}
    assert len(patients) == 2 and {sides[name] for name in patients} == {"train"}
    assert {row["use"] for row in taught} == {"taught"} and both[: len(taught)] == taught
    measured = {row["patient"] for row in both[len(taught) :]}
    assert {sides[name] for name in measured} == {"test"} and not measured & patients
    figures = json.loads((out / "evaluation" / "metrics.json").read_text())["masks"]
    assert figures["taught"] == {"patients": 2, "slices": len(taught)}
    assert figures["measured"]["patients"] == len(measured)
    assert "masks of 2 patients taught; none of them was measured" in said
    report = (out / "evaluation" / "report.html").read_text()
    assert "Masks that taught" in report and all(name in report for name in patients)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {row["stage"] for row in rows} == {"mixed", "self-training-1"} and "mask_soft_dice" in rows[0]


def test_a_patient_that_taught_is_not_measured(whole, tmp_path):
    command = [sys.executable, "-m", "clamnet_tf", "evaluate", str(whole[0]), "--split", "train"]
    done = subprocess.run([*command, "--out", str(tmp_path / "e")], capture_output=True, text=True)
    assert (
        done.returncode == 2
        and "2 patient(s) whose masks taught this run are about to be measured" in done.stderr
    )


def test_killed_and_resumed_ends_with_the_same_weights(whole, tmp_path):
    out = tmp_path / "killed"
    process = subprocess.Popen(command(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not list(out.glob("checkpoints/self-training-1/step-*.npz")) and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not (out / "FINISHED").exists()
    run(out, "--resume")
    for one, two in zip(weights(whole[0]), weights(out), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert (out / "masks.csv").read_bytes() == (whole[0] / "masks.csv").read_bytes()


@pytest.mark.slow
def test_corrected_masks_teach_and_no_other(whole, own_cache, tmp_path):
    cohort = next(path.parent for path in (own_cache / "cohorts").rglob("manifest.csv"))
    sides = {row["patient"]: row["split"] for row in table(whole[0] / "split.csv")}
    patient = next(name for name, side in sides.items() if side == "train")
    (tmp_path / "corrected" / patient).mkdir(parents=True)
    masks = sorted((cohort / patient).glob("*_mask.tif"))
    for path in masks:
        mask = (np.asarray(Image.open(path)) > 0).astype(np.uint8) * 255
        Image.fromarray(mask).save(tmp_path / "corrected" / patient / f"{path.stem}.png")
    out = tmp_path / "second"
    given = ["--init", str(whole[0]), "--corrections", str(tmp_path / "corrected")]
    said = run(out, *given, settings=SETTINGS)
    assert f"Corrections: {len(masks)} files of" in said and "of 1 patient; no other mask teaches" in said
    taught = table(out / "masks.csv")
    assert {row["patient"] for row in taught} == {patient}
    assert len(taught) == len(masks) - 1 and "1 more of their slices with a mask file do not teach" in said
    assert (
        "supervision: mixed" in (out / "recipe.yaml").read_text() and (out / "initialization.json").exists()
    )


def test_corrections_belong_to_a_run(tmp_path):
    done = subprocess.run(command(tmp_path / "x", "--corrections", "y"), capture_output=True, text=True)
    assert done.returncode == 2 and "--corrections: expected --init RUN" in done.stderr


def test_more_patients_than_have_outlines_are_refused(tmp_path):
    settings = [*SETTINGS, MIXED[0], "training.masked_patients=6"]
    done = subprocess.run(command(tmp_path / "x", settings=settings), capture_output=True, text=True)
    assert done.returncode == 2
    assert "training.masked_patients: expected at most the 5 training patients with outlined" in done.stderr
