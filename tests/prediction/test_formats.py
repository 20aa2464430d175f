"""--format: what is asked for is written, nothing else."""

import sys

import numpy as np
import pytest
from PIL import Image

from clamnet_tf.cli import predict as command
from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.prediction import formats
from clamnet_tf.prediction.dicom_seg import require_highdicom


def test_the_command_knows_the_formats():
    assert command.FORMATS == formats.FORMATS


def test_an_unknown_format(run, predict, tmp_path):
    result, out, _ = predict(run, tmp_path, options=["--format", "png,dicom"])
    assert result.exit_code == 2 and not out.exists()
    assert (
        "expected png, nifti, dicom-seg, dicom-sr, dicom-sc, overlay, report, or several of them separated "
        "by commas; received 'dicom'." in result.stderr
    )


@pytest.mark.parametrize(
    ("options", "files"),
    [
        (["--format", "overlay"], ["a_overlay.png"]),
        (["--format", "png", "--format", "NIfTI,png"], ["a_mask.nii.gz", "a_mask.png"]),
        (["--format", "report"], ["report.html"]),
    ],
)
def test_only_what_is_asked_for(run, predict, tmp_path, rng, options, files):
    Image.fromarray(rng.integers(0, 255, (32, 24)).astype(np.uint8)).save(tmp_path / "a.png")
    result, out, rows = predict(run, tmp_path / "a.png", options=options)
    assert result.exit_code == 0 and len(rows) == 1
    assert (
        sorted(path.name for path in out.iterdir() if path.suffix not in (".csv", ".json", ".jsonl")) == files
    )


def test_highdicom_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(
        EnvironmentFailure,
        match=r"need the package highdicom, which is not installed. Run: pip install 'clamnet-tf\[dicom\]'",
    ):
        require_highdicom()
