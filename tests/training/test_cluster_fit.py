"""`clamnet-tf fit` as a cluster of two processes over loopback: one is killed, one gets SIGTERM, only the
chief writes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
LAUNCHER = ROOT / "tools" / "launch_local_cluster"
SETTINGS = """
    data.side=32 data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64 organ.rim=0.0
    network.depth=2 network.filters=[4,6] network.kernels=[3,3] training.batch_size=4
    training.optimizer.name=sgd
    training.evaluate_every=50 training.checkpoint_every=10 self_training.steps=20
    self_training.network.depth=2 self_training.network.filters=[4,6] self_training.network.kernels=[3,3]
""".split()


def fit(out, steps, *changes):
    settings = {
        setting.split("=")[0]: setting for setting in [*SETTINGS, f"training.steps={steps}", *changes]
    }.values()
    sets = [part for setting in settings for part in ("--set", setting)]
    return [sys.executable, "-m", "clamnet_tf", "fit", "mri_carcinoma", "--out", str(out), *sets]


def launch(out, steps, *options):
    return subprocess.Popen(
        [
            sys.executable,
            str(LAUNCHER),
            "2",
            "--logs",
            f"{out}.logs",
            *options,
            "--",
            *fit(out, steps),
            "--start-or-resume",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CLAMNET_TF_CLUSTER_TIMEOUT": "120"},
    )


def worker(launcher, index):
    """Process number of a running worker."""
    for number in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split():
        variables = dict(
            entry.split("=", 1)
            for entry in Path(f"/proc/{number}/environ").read_text().split("\0")
            if "=" in entry
        )
        if json.loads(variables["TF_CONFIG"])["task"]["index"] == index:
            return int(number)
    raise AssertionError(f"worker {index} does not run")


def wait_for_checkpoint(out, launcher):
    deadline = time.monotonic() + 300
    while not any(out.glob("checkpoints/*/step-*.npz")):
        assert launcher.poll() is None and time.monotonic() < deadline, launcher.communicate()
        time.sleep(0.02)


def logs(out):
    return [(Path(f"{out}.logs") / f"worker-{index}.log").read_text() for index in (0, 1)]


def weights(run):
    import keras

    return keras.saving.load_model(run / "model.keras", compile=False).get_weights()


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(tmp_path, own_cache):
    """Two processes, of which one is killed, end like one process that was left alone."""
    alone, together = tmp_path / "alone", tmp_path / "together"
    job = launch(together, 100, "--restart", "1")
    wait_for_checkpoint(together, job)
    os.kill(worker(job, 1), signal.SIGKILL)
    lone = subprocess.Popen(fit(alone, 100), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stdout, stderr = job.communicate(timeout=1200)
    assert job.returncode == 0, (stdout, stderr, logs(together))
    assert "exit code 137; started again, 1 of 1" in stderr and "Resumed at step" in stdout
    assert "Traceback" not in stdout
    said = lone.communicate()
    assert lone.returncode == 0, said
    for one, two in zip(weights(alone), weights(together)):
        np.testing.assert_allclose(one, two, atol=1e-5)
    rows = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (alone, together)
    ]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    for one, two in zip(*rows):
        assert all(
            one[name] == pytest.approx(two[name], abs=1e-3)
            for name in one.keys() - {"slices_per_second", "kind", "stage"}
        )
    figures = [json.loads((run / "evaluation" / "metrics.json").read_text()) for run in (alone, together)]
    assert figures[0]["auroc_slice"] == pytest.approx(figures[1]["auroc_slice"], abs=1e-3)
    assert {path.name for path in alone.iterdir()} == {path.name for path in together.iterdir()}
    told = logs(together)[1]
    assert "worker 1: image-labels: kept step" in told and "Training (" not in told


@pytest.mark.slow
def test_sigterm_at_one_worker_saves_and_stops_all(tmp_path):
    out = tmp_path / "stopped"
    job = launch(out, 20000, "--restart", "3")
    wait_for_checkpoint(out, job)
    os.kill(worker(job, 1), signal.SIGTERM)
    stdout, stderr = job.communicate(timeout=600)
    assert job.returncode == 130, (stdout, stderr, logs(out))
    assert "the last step is saved" in stdout and "started again" not in stderr
    assert "Traceback" not in "".join(logs(out))
    newest = max(int(path.stem.split("-")[1]) for path in out.glob("checkpoints/*/step-*.npz"))
    assert 0 < newest < 20000 and not (out / "FINISHED").exists()


def test_what_is_wrong_is_said_by_every_worker(tmp_path):
    done = subprocess.run(
        fit(tmp_path / "run", 2),
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CONFIG": '{"cluster": 3}'},
    )
    assert (
        done.returncode == 1
        and 'TF_CONFIG: needs "cluster" and "task"' in done.stderr
        and not (tmp_path / "run").exists()
    )
    for setting, message in (
        (
            "training.batch_size=6",
            "training.batch_size: expected a multiple of 4, pairs on 2 replicas; received 6",
        ),
        (
            "runtime.xla=true",
            "runtime.xla: expected false, since XLA cannot compile what 2 replicas on CPUs exchange",
        ),
    ):
        command = fit(tmp_path / "run", 2, setting)
        done = subprocess.run(
            [sys.executable, str(LAUNCHER), "2", "--logs", str(tmp_path / "logs"), "--", *command],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2, (done.stdout, done.stderr)
        assert message in done.stdout and not (tmp_path / "run").exists()
