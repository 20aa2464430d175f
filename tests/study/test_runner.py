"""A whole study as real processes: killed, stopped, started again; nothing finished is repeated, and the
table is right.
"""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from clamnet_tf.files import hold
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.study.compare import compare
from clamnet_tf.study.gather import gather
from clamnet_tf.study.plan import open_source
from clamnet_tf.study.runner import run_study

SETTINGS = """
    data.side=32 data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64 organ.rim=0.0 self_training.rounds=0
    network.depth=3 network.filters=[4,6,8] network.kernels=[3,3,3] training.batch_size=4
    training.steps=80 training.evaluate_every=80 training.checkpoint_every=10
    inference.axial_smoothing=0.0 inference.keep_largest_component=0.0 inference.intensity_refinement=0.0
""".split()
STUDY = """\
name: tiny
title: A tiny study
recipe: tiny_recipe.yaml
seeds: [0, 1]
reference: one
floor: whole_organ
groups:
  - kind: main
    title: All of them
    arms:
      - {name: one, title: One}
      - {name: two, title: Two, set: {loss.eta: 0.5}}
      - {name: whole_organ, title: Whole organ, kind: simple, baseline: whole_organ}
      - {name: head_1, title: Head 1, set: {inference.head: 1}, seeds: [0]}
      - {name: empty, title: Without slices, set: {data.minimum_organ_fraction: 1.0}, seeds: [0]}
"""
PATIENCE = 3600  # seconds; on an idle machine a start takes five


def start(folder, *more):
    command = [
        sys.executable,
        "-m",
        "clamnet_tf",
        "study",
        str(folder / "tiny.yaml"),
        "--out",
        str(folder / "out"),
        *more,
    ]
    # a shell's background job ignores Ctrl-C, and so would what it starts
    default = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=default
    )


def finish(folder, *more):
    process = start(folder, *more)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    return process.returncode, stdout, stderr


def runs_of(folder):
    """Run folders by (arm, seed), as --list names them."""
    _, stdout, _ = finish(folder, "--list")
    rows = [line.split() for line in stdout.splitlines()[1:-1]]
    return {(row[0], int(row[1])): folder / "out" / "runs" / row[2] for row in rows if row[1] != "-"}


@contextlib.contextmanager
def started(folder, run):
    """The study as a process that has just begun to train `run`; it does not outlive the block."""
    process, deadline = start(folder), time.time() + PATIENCE
    try:
        while not list(run.glob("checkpoints/*/step-*.npz")):
            assert process.poll() is None, process.communicate()
            assert time.time() < deadline, f"{run} was not started"
            time.sleep(0.01)
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="module")
def told(tmp_path_factory, own_cache):
    """The study killed in its second run, stopped by Ctrl-C in its third, then finished; what each start
    said.
    """
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(STUDY)
    (folder / "tiny_recipe.yaml").write_text(to_yaml(load_recipe("mri_carcinoma", SETTINGS)))
    runs, said = runs_of(folder), {}

    with started(folder, runs["two", 0]) as process:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    deadline = time.time() + 60
    while sys.platform == "linux":  # the kernel ends the training with the study
        with hold(runs["two", 0] / ".lock") as held:
            if held:
                break
        assert time.time() < deadline, "the training outlived the study"
        time.sleep(0.05)
    said["cut"] = {"finished": (runs["two", 0] / "FINISHED").exists(), "first": stamps(runs["one", 0])}

    with started(folder, runs["one", 1]) as process:
        process.send_signal(signal.SIGINT)
        said["stopped"] = (*process.communicate(timeout=PATIENCE), process.returncode)
    said["last"] = finish(folder, "--jobs", "2")
    said["again"] = finish(folder, "--only", "one,two")
    return folder, runs, said


def stamps(run):
    """Times of the files that a repeated training would write again."""
    return {
        name: os.stat(run / name).st_mtime_ns
        for name in ("model.keras", "FINISHED", "selection.json", "evaluation/metrics.json")
    }


def test_killed_in_the_middle_it_goes_on_where_it_was(told):
    folder, runs, said = told
    assert not said["cut"]["finished"]
    output = (folder / "out" / "logs" / f"{runs['two', 0].name}.txt").read_text()
    assert "Resumed at step" in output
    assert "two, seed 0: resuming at step" in said["stopped"][0]
    assert stamps(runs["one", 0]) == said["cut"]["first"]


def test_a_second_process_is_kept_out(told):
    folder = told[0]
    with hold(folder / "out" / ".lock") as held:
        assert held  # no process of before still has it
        code, _, stderr = finish(folder, "--report-only")
    assert code == 2 and "another study process is working in this folder" in stderr


def test_ctrl_c_saves_the_running_training(told):
    _folder, _runs, said = told
    stdout, stderr, code = said["stopped"]
    assert (
        code == 130
        and "Stopping: the running trainings save their last step." in stdout
        and "Traceback" not in stderr
    )
    assert "one, seed 1: resuming at step" in said["last"][1]


def test_a_failed_arm_does_not_stop_the_others_and_is_told(told):
    folder, runs, said = told
    code, _stdout, stderr = said["last"]
    assert code == 1 and "1 of the runs failed (empty, seed 0)" in stderr
    assert all((runs[arm, seed] / "FINISHED").exists() for arm in ("one", "two") for seed in (0, 1))
    row = summary_of(folder)["empty"]
    assert row["state"] == "failed" and "data.minimum_organ_fraction" in row["message"]
    assert "data.minimum_organ_fraction" in (folder / "out" / "index.html").read_text()


def test_what_is_done_is_not_done_again(told):
    _folder, runs, said = told
    assert (
        "4 of 4 runs are done already" in said["again"][1]
        and "seed" not in said["again"][1].split("Page:")[0]
    )
    assert runs["head_1", 0] == runs["one", 0]


def test_the_table_equals_what_the_runs_measured(told):
    folder, runs, _ = told
    summary = summary_of(folder)
    for arm in ("one", "two"):
        seeds = [patient_dice(runs[arm, seed] / "evaluation") for seed in (0, 1)]
        means = {name: np.mean([each[name] for each in seeds]) for name in seeds[0]}
        assert float(summary[arm]["dice"]) == pytest.approx(np.mean(list(means.values())), abs=1e-5)
        auroc = [
            json.loads((runs[arm, seed] / "evaluation" / "metrics.json").read_text())["auroc_slice"]
            for seed in (0, 1)
        ]
        assert float(summary[arm]["auroc_slice"]) == pytest.approx(np.mean(auroc), abs=1e-5)
        assert 0 < float(summary[arm]["seconds"]) < 600 and summary[arm]["steps"] == "80"
    whole = patient_dice(runs["one", 0] / "evaluation", "dice_whole_organ")
    assert float(summary["whole_organ"]["dice"]) == pytest.approx(np.mean(list(whole.values())), abs=1e-5)


def test_a_head_is_evaluated_alone_without_a_training_of_its_own(told):
    folder, runs, _ = told
    summary = summary_of(folder)
    of_head = json.loads((runs["one", 0] / "evaluation" / "metrics.json").read_text())["heads"]["head_1"]
    # 0.01: the result is cut to the organ before it is resampled to the original grid, the figures of heads
    # after
    assert float(summary["head_1"]["dice"]) == pytest.approx(of_head["dice_volume"]["mean"], abs=0.01)
    own = json.loads(next(runs["one", 0].glob("evaluation-*/metrics.json")).read_text())
    assert own["threshold"] == of_head["threshold"] and own["oracle"]["dice_volume"]["mean"] == pytest.approx(
        of_head["oracle"]["dice_volume"]["mean"], abs=0.01
    )
    assert not list(Path(runs["one", 0]).glob(".partial-*"))


def summary_of(folder):
    return {
        row["name"]: row for row in csv.DictReader((folder / "out" / "summary.csv").read_text().splitlines())
    }


def patient_dice(folder, column="dice"):
    with open(folder / "patients.csv", newline="") as stream:
        return {row["patient"]: float(row[column]) for row in csv.DictReader(stream) if row[column]}


def test_an_evaluation_that_fails_is_told_and_leaves_the_others_alone(planned, fill_study):
    plan, folder = planned
    fill_study(
        plan, folder, arms=("twins", "no_twin"), seeds=(0, 1)
    )  # trained, as it seems, but head_1 is not evaluated
    source = open_source(None, None, None, None, folder.cache)
    said = []
    run_study(plan, folder, source, Reporter(quiet=True, log=said.append), only=["twins", "head_1"])
    rows = {row.name: row for row in compare(plan.study, gather(plan, folder))}
    assert rows["twins"].state == "done" and not rows["twins"].messages
    assert rows["head_1"].state == "failed" and "model.keras is missing" in rows["head_1"].messages[0]
    assert [folder.state(trial.run).name for trial in plan.of("head_1")] == ["failed", "failed"]
    assert sum("FAILED" in line for line in said) == 2
    assert (
        len(folder.output(plan.of("twins")[0].run).read_text().split("Error: ")) == 2
    )  # tried once in this start
