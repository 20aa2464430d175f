"""Every trained baseline from its recipe keys to figures: fit, evaluate, predict, resume, describe, on a tiny
cohort.
"""

import json
import shutil
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from clamnet_tf.cli.main import main

TINY = """
    data.side=32 data.cohort.patients=8 data.cohort.slices=6 data.cohort.side=64 organ.rim=0.0
    network.depth=2 network.filters=[4,6] network.kernels=[3,3] training.batch_size=4
    training.steps=4 training.evaluate_every=2 training.checkpoint_every=2 self_training.steps=2
    self_training.network.depth=2 self_training.network.filters=[4,6] self_training.network.kernels=[3,3]
""".split()
ALONE = ["twin.kind=none", "loss.consistency.weight=0", "loss.contrast.weight=0"]
ONE = ["self_training.rounds=0"]

#: arm -> overrides, a logged term, what the report says
ARMS = {
    "non_negative": (
        [*ALONE, "loss.objective=non_negative", "loss.non_negative.prior=0.2", *ONE],
        "marker_risk",
        "negative-unlabelled risk, prior 0.2",
    ),
    "multiple_instance": (
        [*ALONE, "loss.objective=multiple_instance", "loss.multiple_instance.pooling=log_sum_exp"],
        "score_abnormal",
        "log-sum-exp of the pixels, sharpness 6",
    ),
    "classification": (
        [*ALONE, "loss.objective=classification", *ONE],
        "score_abnormal",
        "Grad-CAM at level 1",
    ),
    "classification_and_a_round": (
        [
            *ALONE,
            "loss.objective=classification",
            "inference.activation_map.method=layer_cam",
            "inference.activation_map.level=0",
            "inference.head=1",
        ],
        "score_abnormal",
        "classification of slices",
    ),
    "plain_unet_without_twin_on_shuffled_labels": (
        [
            "network.skips=plain",
            "twin.kind=none",
            "loss.consistency.weight=0",
            "training.shuffle_labels=true",
            *ONE,
        ],
        "hybrid_abnormal",
        "the labels of the training slices were shuffled",
    ),
    "supervised_plain_unet_on_few_patients": (
        ["training.supervision=masks", "network.skips=plain", "training.patients=3", *ONE],
        "soft_dice",
        "Training patients used",
    ),
}


def call(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as in a process of its own
        result = CliRunner().invoke(main, [*map(str, arguments)], prog_name="clamnet-tf")
    assert result.exit_code == 0, (result.output, result.exc_info)
    return result.output


def fit(out, overrides, *more):
    settings = list({setting.split("=")[0]: setting for setting in [*TINY, *overrides]}.values())
    return call(
        "fit",
        "mri_carcinoma",
        "--out",
        out,
        *(part for setting in settings for part in ("--set", setting)),
        *more,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory, own_cache):
    """Arm -> its run folder, trained when it is first asked for."""
    folder, done = tmp_path_factory.mktemp("runs"), {}

    def run(arm):
        if arm not in done:
            fit(folder / arm, ARMS[arm][0])
            done[arm] = folder / arm
        return done[arm]

    return run


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_runs_from_its_keys_to_its_figures(runs, arm):
    out, (_, term, said) = runs(arm), ARMS[arm]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    trained = [row for row in rows if row["kind"] == "train"]
    assert (
        np.isfinite([row[term] for row in trained[:1]]).all()
        and np.isfinite([row["loss"] for row in trained]).all()
    )
    figures = json.loads((out / "evaluation" / "metrics.json").read_text())
    assert 0 <= figures["dice_volume"]["mean"] <= 1 and 0 <= figures["auroc_slice"] <= 1
    assert "no mask was read" in json.loads((out / "selection.json").read_text())["threshold_rule"]
    assert said in (out / "evaluation" / "report.html").read_text()


def test_the_same_figures_come_from_evaluate(runs, tmp_path):
    out = runs("classification")
    said = call(
        "evaluate",
        out,
        "--split",
        "test",
        "--split-file",
        out / "split.csv",
        "--out",
        tmp_path / "evaluation",
    )
    assert "including those used for training" not in said
    assert "including those used for training" in call("evaluate", out, "--out", tmp_path / "of_all")
    figures = [
        json.loads((folder / "metrics.json").read_text())
        for folder in (out / "evaluation", tmp_path / "evaluation")
    ]
    assert figures[0]["dice_volume"] == figures[1]["dice_volume"]
    assert list(figures[0]["heads"]) == ["activation_map"]
    markings = json.loads((out / "selection.json").read_text())["markings"]
    assert figures[0]["heads"]["activation_map"]["threshold"] == markings["activation_map"]["raw_threshold"]
    assert figures[0]["threshold"] == markings["mean"]["threshold"]


def test_a_classifier_predicts(runs, own_cache, tmp_path):
    image = next(path for path in (own_cache / "cohorts").rglob("*.tif") if "mask" not in path.name)
    said = call("predict", runs("classification"), image, "--out", tmp_path / "marked")
    assert "Marked:" in said and len(list((tmp_path / "marked").rglob("*_mask.png"))) == 1


@pytest.mark.parametrize("arm", ["classification", "non_negative"])
def test_an_interrupted_run_ends_with_the_same_weights(runs, arm, tmp_path):
    whole, out = runs(arm), tmp_path / "interrupted"
    shutil.copytree(whole, out)
    for name in ("FINISHED", "model.keras", "selection.json"):
        (out / name).unlink()
    shutil.rmtree(out / "evaluation")
    [stage] = (out / "checkpoints").iterdir()
    for name in ("chosen.json", "step-00000004.npz", "candidate-00000004.npz"):
        (stage / name).unlink()
    assert "Resumed at step 2" in fit(out, ARMS[arm][0], "--resume")
    weights = [
        keras.saving.load_model(Path(run) / "model.keras", compile=False).get_weights()
        for run in (whole, out)
    ]
    for one, two in zip(*weights):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_describe_tells_of_the_classifier():
    overrides = [part for setting in [*ALONE, "loss.objective=classification"] for part in ("--set", setting)]
    assert "a classifier on the encoder X[0,0]..X[2,0] alone: " in call(
        "describe", "mri_carcinoma", *overrides
    )
    assert "classifier" not in call("describe", "mri_carcinoma")
