"""`clamnet-tf predict --server` against a real server process: the masks of local prediction, over REST and
gRPC.
"""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from clamnet_tf.cli.main import main


def predict(*arguments):
    result = CliRunner().invoke(main, ["predict", *map(str, arguments)], prog_name="clamnet-tf")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


@pytest.fixture
def study(tmp_path, rng):
    folder = tmp_path / "study"
    folder.mkdir()
    inside = np.hypot(*(np.mgrid[:48, :48] - 23.5)) < 20
    for number in range(3):
        image = inside * (90 + 60 * rng.random((48, 48)))
        image[18:28, 20:30] += 40 * number
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"head_{number}.png")
    return folder


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_masks_are_those_of_local_prediction(scheme, gray_run, ports, study, tmp_path):
    address = (
        f"http://127.0.0.1:{ports['rest']}/v1/models/mri_carcinoma"
        if scheme == "http"
        else f"grpc://127.0.0.1:{ports['grpc']}/mri_carcinoma"
    )
    assert predict(gray_run, study, "--format", "png", "--out", tmp_path / "local").exit_code == 0
    asked = predict(gray_run, study, "--format", "png", "--out", tmp_path / "asked", "--server", address)
    assert asked.exit_code == 0 and f"Probabilities: from {address}" in asked.output
    masks = sorted(path.relative_to(tmp_path / "local") for path in (tmp_path / "local").rglob("*_mask.png"))
    assert len(masks) == 3
    for name in masks:
        np.testing.assert_array_equal(
            np.asarray(Image.open(tmp_path / "asked" / name)),
            np.asarray(Image.open(tmp_path / "local" / name)),
        )


def test_a_server_that_is_not_there_is_named(gray_run, study, tmp_path):
    result = predict(
        gray_run, study, "--out", tmp_path / "out", "--server", "http://127.0.0.1:9/v1/models/mri_carcinoma"
    )
    assert (
        result.exit_code == 1
        and "http://127.0.0.1:9/v1/models/mri_carcinoma: no answer after 5 attempts" in result.output
    )
