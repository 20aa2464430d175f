"""`fit --init`: runs that start from zoo weights say and record what they took, and resume to the same
result.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from clamnet_tf.errors import RunError
from clamnet_tf.runs import RunFolder

SETTINGS = """
    data.side=32 data.channels=[1] data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64
    organ.rim=0.0
    network.depth=2 network.filters=[16,32] network.kernels=[3,3] training.batch_size=4
    training.steps=4 training.evaluate_every=4 training.checkpoint_every=2 self_training.steps=4
    self_training.rounds=1
    self_training.network.depth=2 self_training.network.filters=[16,32] self_training.network.kernels=[3,3]
""".split()


def command(out, *more, init="mri_carcinoma", settings=SETTINGS):
    sets = [part for setting in settings for part in ("--set", setting)]
    return [
        sys.executable,
        "-m",
        "clamnet_tf",
        "fit",
        "mri_carcinoma",
        "--out",
        str(out),
        *sets,
        *(["--init", init] if init else []),
        *more,
    ]


def weights(run):
    return keras.saving.load_model(run / "model.keras", compile=False).get_weights()


def run(out, *more, **options):
    return subprocess.run(command(out, *more, **options), capture_output=True, text=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, own_cache):
    """An uninterrupted run with one channel that starts from the three-channel network of the zoo."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    done = run(out)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_it_is_said_and_recorded_what_was_reused(whole):
    out, said = whole
    assert "Note: the weights of mri_carcinoma were trained with data.side 128; this recipe has 32." in said
    assert (
        "Weights of mri_carcinoma in the first network: 8 layers with weights: 2 reused (2098 parameters), "
        "6 adapted" in said
    )
    assert (
        "Weights of mri_carcinoma in the self-training: 14 layers with weights: 13 reused (25394 "
        "parameters), 1 adapted (144 parameters), 0 new" in said
    )
    assert said.count("3 input channels became 1: their mean kernel, scaled by 3/1") == 2
    kept = json.loads((out / "initialization.json").read_text())
    assert (kept["from"], kept["recipe"]) == ("mri_carcinoma", "mri_carcinoma") and len(kept["sha256"]) == 64
    rows = {row["layer"]: row["outcome"] for row in kept["stages"]["self-training"]}
    assert (
        rows["x_0_0_conv_1"] == "adapted"
        and rows["x_0_1_conv_2"] == rows["head_1_logits"] == rows["x_0_0_norm_1"] == "reused"
    )


def test_training_began_at_these_weights_and_went_on(whole):
    """Four steps at this learning rate move a kernel by a little; a fresh one would lie nowhere near."""
    source = keras.saving.load_model(
        Path(__file__).parents[2] / "zoo" / "mri_carcinoma" / "model.keras", compile=False
    )
    trained = keras.saving.load_model(whole[0] / "model.keras", compile=False)
    for layer in ("x_0_0_conv_2", "x_1_0_conv_2"):
        before, after = source.get_layer(layer).get_weights()[0], trained.get_layer(layer).get_weights()[0]
        assert 1e-6 < np.abs(before - after).max() < 0.05 < np.abs(before).max()


def test_killed_and_resumed_without_the_zoo_ends_with_the_same_weights(whole, tmp_path):
    out = tmp_path / "killed"
    process = subprocess.Popen(command(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not list(out.glob("checkpoints/*/step-*.npz")) and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not (out / "FINISHED").exists()
    other = run(out, "--resume", init=str(whole[0]))
    assert (
        other.returncode == 2
        and "the run was started from mri_carcinoma. Resume it without another --init" in other.stderr
    )
    done = run(out, "--resume", init=None)
    assert done.returncode == 0, done.stderr
    for one, two in zip(weights(whole[0]), weights(out), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_weights_that_do_not_fit_and_names_that_are_none_are_refused_before_training(tmp_path):
    out = tmp_path / "run"
    settings = [setting.replace("filters=[16,32]", "filters=[4,6]") for setting in SETTINGS]
    done = run(out, settings=settings)
    assert (
        done.returncode == 2
        and "--init: first network: The network unet_plus_plus_d2 shares no convolution" in done.stderr
    )
    assert not out.exists()
    done = run(out, init="mri_carcinom")
    assert done.returncode == 2 and "nearest name mri_carcinoma" in done.stderr and not out.exists()


def test_a_run_that_has_begun_keeps_its_weights(tmp_path):
    model, other = tmp_path / "a.keras", tmp_path / "b.keras"
    model.write_bytes(b"a")
    other.write_bytes(b"b")
    run_folder = RunFolder.open_for_training(tmp_path / "run", "name: x\n", resume=False)
    run_folder.begin_with(model, {"from": "a", "sha256": "1"})
    run_folder.begin_with(other, {"from": "b", "sha256": "2"})  # nothing was learned yet
    assert (
        run_folder.initial.read_bytes() == b"b"
        and json.loads(run_folder.initialization.read_text())["from"] == "b"
    )
    run_folder.append_metrics({"step": 1})
    run_folder.begin_with(other, {"from": "c", "sha256": "2"})
    with pytest.raises(RunError, match="the run was started from b"):
        run_folder.begin_with(model, {"from": "a", "sha256": "1"})
    run_folder.initialization.unlink()
    with pytest.raises(RunError, match="the run was started without --init"):
        run_folder.begin_with(other, {"from": "b", "sha256": "2"})
