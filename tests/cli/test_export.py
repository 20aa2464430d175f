"""`clamnet-tf export` from the command line: what it refuses before it loads anything, and one export from
the shipped zoo entry.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ENTRY = Path(__file__).parents[2] / "zoo" / "mri_carcinoma"


def export(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "clamnet_tf", "export", *map(str, arguments)], capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--format", "savedmodel", "--int8"],
            "--int8 and --calibrate belong to --format litert; received --format savedmodel.",
        ),
        (["--format", "litert", "--int8"], "--int8 needs --calibrate FOLDER"),
        (["--format", "onnx", "--dicom"], "--dicom belongs to --format savedmodel; received --format onnx."),
        (["--format", "tflite"], "'tflite' is not one of"),
    ],
)
def test_options_that_do_not_fit(tmp_path, arguments, message):
    done = export(ENTRY, *arguments, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_model(tmp_path):
    done = export(tmp_path, "--format", "onnx", "--out", tmp_path / "out")
    assert done.returncode == 2 and "expected a run folder with a trained model" in done.stderr


def test_one_head_of_the_shipped_entry_for_litert(tmp_path):
    done = export(ENTRY, "--format", "litert", "--head", "1", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.tflite")
    contract = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert contract["head"] == "1" and contract["measured"]["largest_difference"] <= 5e-4
    assert path.stat().st_size == contract["measured"]["bytes"] < 1_000_000  # all heads: 2.3 MB
    assert done.stdout.splitlines()[-1] == f"Written: {path}"
    again = export(ENTRY, "--format", "litert", "--head", "1", "--out", tmp_path)
    assert again.returncode == 2 and f"{path}: exists already." in again.stderr


@pytest.mark.slow
def test_the_shipped_classifier_is_exported(tmp_path):
    """Its marks are gradients, which amplify rounding; the export compares them with Python's."""
    done = export(ENTRY.with_name("xray_trauma"), "--format", "savedmodel", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    contract = json.loads((tmp_path / "xray_trauma" / "1" / "assets" / "contract.json").read_text())
    assert contract["head"] == "attribution"
    for signature in contract["signatures"].values():
        if "probability" in signature["output"]:
            assert "P(abnormal) of the slice times" in signature["output"]["probability"]
