"""A run folder behind an address (file:// of TensorFlow): complete files at any moment, resumed runs."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from clamnet_tf.errors import EnvironmentFailure, RunError
from clamnet_tf.runtime.remote_folder import is_remote, remote_folder

SETTINGS = """
    data.side=32 data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64 organ.rim=0.0
    network.depth=2 network.filters=[4,6] network.kernels=[3,3] training.batch_size=4 training.steps=80
    training.evaluate_every=40 training.checkpoint_every=10 self_training.rounds=0
""".split()


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_only_addresses_are_remote():
    assert is_remote("gs://bucket/run") and not is_remote("runs/first")


@pytest.mark.parametrize("ending", ["", "/"])
def test_what_is_stored_comes_back_and_what_is_gone_goes(tmp_path, ending):
    there = tmp_path / "there"
    address = f"file://{there}{ending}"
    with remote_folder(address, tmp_path / "one") as remote:
        assert not remote.local.exists()
        for name in ("recipe.yaml", "checkpoints/a/step-1.npz", "log.txt"):
            (remote.local / name).parent.mkdir(parents=True, exist_ok=True)
            (remote.local / name).write_text(name)
        (remote.local / ".lock").touch()
        remote.store()
        assert set(content(there)) == {"recipe.yaml", "checkpoints/a/step-1.npz", "log.txt"}
        before = os.stat(there / "recipe.yaml").st_mtime_ns
        (remote.local / "checkpoints/a/step-1.npz").rename(remote.local / "checkpoints/a/step-2.npz")
        (remote.local / "log.txt").write_text("longer than before")
        remote.store()
        assert content(there) == {
            "recipe.yaml": b"recipe.yaml",
            "checkpoints/a/step-2.npz": b"checkpoints/a/step-1.npz",
            "log.txt": b"longer than before",
        }
        assert os.stat(there / "recipe.yaml").st_mtime_ns == before, "what did not change is not sent again"
    leftover = there / ".writing-killed"
    leftover.write_text("ha")
    with remote_folder(address, tmp_path / "two") as remote:
        assert content(remote.local) == content(there) and not leftover.exists()
        (remote.local / "log.txt").write_text("never stored")
    with remote_folder(address, tmp_path / "two") as remote:
        assert (remote.local / "log.txt").read_text() == "longer than before", (
            "the remote folder is the truth"
        )


def test_the_mark_of_the_end_is_sent_last(tmp_path):
    with remote_folder(f"file://{tmp_path}/there", tmp_path / "copies") as remote:
        remote.local.mkdir()
        (remote.local / "FINISHED").touch()
        (remote.local / "model.keras").touch()
        os.utime(remote.local / "FINISHED", (1, 1))
        (tmp_path / "there/model.keras/in the way").mkdir(parents=True)
        with pytest.raises(EnvironmentFailure):
            remote.store()
    assert not (tmp_path / "there/FINISHED").exists()


def test_two_at_a_time_and_unknown_schemes(tmp_path):
    with remote_folder(f"file://{tmp_path}/a", tmp_path / "copies"):
        with (
            pytest.raises(RunError, match="another process of this machine works on it"),
            remote_folder(f"file://{tmp_path}/a", tmp_path / "copies"),
        ):
            pass
    with pytest.raises(
        EnvironmentFailure,
        match=r"s4://bucket/run: TensorFlow [\d.]+ has no file system for s4:// here; it has file://, "
        r"gs://, ram://",
    ):
        with remote_folder("s4://bucket/run", tmp_path / "copies"):
            pass


def test_a_place_that_refuses_is_known_at_once(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        EnvironmentFailure,
        match=r"file://.*/file/run: .*Check the address, and what this machine may do there",
    ):
        with remote_folder(f"file://{tmp_path}/file/run", tmp_path / "copies"):
            pass


def fit(out, cache, *options):
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [sys.executable, "-m", "clamnet_tf", "fit", "mri_carcinoma", "--out", out, *sets, *options]
    return subprocess.Popen(
        command,
        env={**os.environ, "CLAMNET_TF_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def weights(run):
    import keras

    return keras.saving.load_model(run / "model.keras", compile=False).get_weights()


@pytest.mark.slow
def test_a_training_goes_on_elsewhere(tmp_path):
    """A run is killed after a checkpoint, its copy is deleted, and another machine ends it with the same
    weights.
    """
    there = tmp_path / "bucket" / "run"
    with fit(f"file://{there}", tmp_path / "cache") as first:
        while not any(there.glob("checkpoints/*/step-*.npz")):
            assert first.poll() is None, first.communicate()
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
    shutil.rmtree(tmp_path / "cache" / "runs")
    with fit(f"file://{there}", tmp_path / "cache", "--start-or-resume") as second:
        said = second.communicate()
        assert (
            second.returncode == 0
            and "Resumed at step" in said[0]
            and f"Report: file://{there}/evaluation/report.html" in said[0]
        ), said
    with fit(str(tmp_path / "alone"), tmp_path / "cache") as third:
        said = third.communicate()
        assert third.returncode == 0, said
    for one, two in zip(weights(there), weights(tmp_path / "alone")):
        np.testing.assert_array_equal(one, two)
    assert {name for name in content(there) if "events" not in name} | {".lock"} == {
        name for name in content(tmp_path / "alone") if "events" not in name
    }
    with fit(f"file://{there}", tmp_path / "cache", "--resume") as fourth:
        assert f"Error: file://{there}: holds a finished run" in fourth.communicate()[1]
