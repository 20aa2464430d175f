"""A cross-validation as a real process: killed, started again, averaged, and used."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from clamnet_tf.cli.main import main
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import to_yaml

SETTINGS = """
    data.side=32 data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64 organ.rim=0.0
    self_training.rounds=0
    network.depth=3 network.filters=[4,6,8] network.kernels=[3,3,3] training.batch_size=4
    training.steps=24 training.evaluate_every=24 training.checkpoint_every=4
    inference.axial_smoothing=0.0 inference.keep_largest_component=0.0 inference.intensity_refinement=0.0
""".split()
pytestmark = pytest.mark.slow  # two trainings, two starts of the command
PATIENCE = 3600  # seconds, on a machine with other work


def start(folder, *more):
    command = [sys.executable, "-m", "clamnet_tf", "folds", str(folder / "tiny.yaml"), "--k", "2"]
    return subprocess.Popen(
        [*command, "--out", str(folder / "out"), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory, own_cache):
    """The cross-validation killed while its second fold trained, then finished; what the last start said."""
    folder = tmp_path_factory.mktemp("folds")
    (folder / "tiny.yaml").write_text(to_yaml(load_recipe("mri_carcinoma", SETTINGS)))
    process, deadline = start(folder), time.time() + PATIENCE
    runs = folder / "out" / "runs"
    while len(list(runs.glob("*/checkpoints/*/step-*.npz"))) < 1 or len(list(runs.iterdir())) < 2:
        assert process.poll() is None, process.communicate()
        assert time.time() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (first,) = (run for run in runs.iterdir() if (run / "FINISHED").exists())
    stamp = (first / "model.keras").stat().st_mtime_ns
    process = start(folder)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    return folder / "out", first, stamp, stdout


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_after_kill_9_the_finished_fold_is_used_as_it_is(done):
    _, first, stamp, stdout = done
    assert "1 of 2 runs are finished already and are used as they are." in stdout
    assert (first / "model.keras").stat().st_mtime_ns == stamp


def test_every_patient_is_measured_once_by_a_network_that_did_not_see_it(done):
    out, *_ = done
    rows = rows_of(out / "patients.csv")
    assert len(rows) == len({row["patient"] for row in rows}) == 8
    assert {row["fold"] for row in rows} == {"1", "2"}
    for run in (out / "runs").iterdir():
        sides = {row["patient"]: row["split"] for row in rows_of(run / "split.csv")}
        tested = {row["patient"] for row in rows_of(run / "evaluation" / "patients.csv")}
        assert tested == {patient for patient, side in sides.items() if side == "test"}
        assert {"train", "val"} <= set(sides.values())


def test_the_figures_of_one_fold_are_those_of_its_evaluation(done):
    """Up to the 6 digits of the tables; the pooled Dice is the mean over all patients."""
    out, *_ = done
    content = json.loads((out / "figures.json").read_text())
    pooled = rows_of(out / "patients.csv")
    for row in content["folds"]:
        number = row["fold"].removeprefix("fold ")
        patients = {own["patient"] for own in pooled if own["fold"] == number}
        (evaluation,) = (
            run / "evaluation"
            for run in (out / "runs").iterdir()
            if {own["patient"] for own in rows_of(run / "evaluation" / "patients.csv")} == patients
        )
        metrics = json.loads((evaluation / "metrics.json").read_text())
        for name in ("mean", "low", "high", "median"):
            assert row["dice_volume"][name] == pytest.approx(metrics["dice_volume"][name], abs=1e-5)
        assert row["dice_slice"]["mean"] == pytest.approx(metrics["dice_slice"]["mean"], abs=1e-5)
        for name in ("iou", "normal_area", "specificity_slice", "pointing_game", "auroc_slice"):
            assert row[name]["mean"] == pytest.approx(metrics[name], abs=1e-5)
            for bound in ("low", "high"):
                assert row[name][bound] == pytest.approx(metrics["intervals"][name][bound], abs=1e-5)
        assert row["auroc_patient"] == metrics["detection"]["patients"]["auroc"]  # all have a lesion: null
    dice = [float(row["dice"]) for row in pooled if row["dice"]]
    assert content["repeats"][0]["dice_volume"]["mean"] == pytest.approx(np.mean(dice))
    page = (out / "index.html").read_text()
    assert "Simulated cohort." in page and "2 of 2 trainings finished" in page
    assert page.count('/evaluation/report.html">report') == 2


def test_the_averaged_network_is_used_like_a_run(done):
    """Its maps are the means of the networks' maps, and its threshold was fixed without masks."""
    from clamnet_tf.inference.trained_model import load_trained_model
    from clamnet_tf.runs import RunFolder

    out, *_ = done
    run = RunFolder.open_finished(out / "model")
    recipe = load_recipe(run.recipe)
    selection = run.read_selection()
    members = selection["average"]["members"]
    assert [row["weight"] for row in members] == [0.5, 0.5]
    assert sorted(out / row["run"] for row in members) == sorted((out / "runs").iterdir())
    average = load_trained_model(run, recipe)
    singles = [load_trained_model(RunFolder(out / row["run"]), recipe) for row in members]
    assert average.member_thresholds == tuple(single.head_thresholds for single in singles)
    images = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype(np.float32)
    expected = np.mean([single.probability(images) for single in singles], axis=0)
    np.testing.assert_allclose(average.probability(images), expected, atol=1e-5)
    assert "no mask was read" in selection["threshold_rule"]
    assert {row["split"] for row in rows_of(run.split)} == {"train"}


def test_the_list_and_a_division_that_cannot_be(done, own_cache):
    out, *_ = done
    recipe = str(out.parent / "tiny.yaml")
    call = lambda *more: CliRunner().invoke(main, ["folds", recipe, "--out", str(out), *more])
    listed = call("--k", "2", "--list")
    assert listed.exit_code == 0, listed.output
    lines = listed.stdout.splitlines()[-2:]
    assert all("4 patients held out" in line and line.endswith("done") for line in lines)
    refused = call("--k", "9")
    assert refused.exit_code == 2 and "--k 9: expected 2 to 8, the number of patients" in refused.stderr
    assert "expected a number of at least 2, or site; received 'one'" in call("--k", "one").stderr
