"""The recipes of the simulated CT and X-ray cohorts, each from DICOM to figures, shrunken."""

import json
import warnings

import pytest
from click.testing import CliRunner

from clamnet_tf.cli.main import main

TINY = """
    data.side=32 data.cohort.patients=8 data.cohort.side=48 network.depth=2 network.filters=[4,6]
    network.kernels=[3,3]
    training.batch_size=4 training.steps=2 training.evaluate_every=2 training.checkpoint_every=2
    self_training.rounds=0
""".split()
RECIPES = {  # recipe: its cohort, more overrides
    "ct_pneumonia": (
        "simulated chest CT",
        ["data.cohort.slices=5", "data.cohort.side=96", "self_training.rounds=1", "self_training.steps=2"],
    ),
    "ct_carcinoma": ("simulated abdominal CT", ["data.cohort.slices=5"]),
    "xray_trauma": (
        "simulated X-rays of the forearm",
        [
            "data.cohort.kind=bone_xray",
            "data.cohort.slices=1",
            "data.cohort.patients=16",
            "attribution.classifier.steps=2",
            "attribution.classifier.batch_size=4",
            "attribution.classifier.optimizer.warmup_steps=0",
        ],
    ),
}


def call(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as in a process of its own
        result = CliRunner().invoke(main, [*map(str, arguments)], prog_name="clamnet-tf")
    assert result.exit_code == 0, (result.output, result.exc_info)
    return result.output


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_from_dicom_to_figures(tmp_path, name):
    title, more = RECIPES[name]
    settings = list({setting.split("=")[0]: setting for setting in [*TINY, *more]}.values())
    out = tmp_path / "run"
    said = call("fit", name, "--out", out, *(part for setting in settings for part in ("--set", setting)))
    assert said.startswith(f"Data: the built-in cohort of {title} (")
    assert "say nothing about real patients" in said and "1 channel(s)" in said
    figures = json.loads((out / "evaluation" / "metrics.json").read_text())
    assert figures["data"]["simulated"] is True and 0 <= figures["dice_volume"]["mean"] <= 1
    assert figures["baselines"]["whole_organ"] is not None
    assert f"built-in cohort of {title}" in (out / "evaluation" / "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "channels"), [("mri_carcinoma", 3), ("ct_pneumonia", 1), ("ct_carcinoma", 1)]
)
def test_describe_knows_the_channels_of_the_cohort(name, channels):
    assert call("describe", name) == call("describe", name, "--channels", channels)
