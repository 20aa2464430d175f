"""tools/measure-engines as a process, on an entry of the zoo and a picture."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOL = Path(__file__).resolve().parents[2] / "tools" / "measure-engines"


@pytest.mark.slow
def test_a_page_has_both_engines_the_pixels_and_the_network_alone(tmp_path, rng):
    Image.fromarray(rng.integers(0, 255, (64, 64)).astype(np.uint8)).save(tmp_path / "view.png")
    out = tmp_path / "page.md"
    command = [sys.executable, TOOL, f"xray_carcinoma={tmp_path / 'view.png'}", "--rounds", "1"]
    command += ["--warm-up", "0", "--out", out, "--add"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in out.read_text().splitlines() if line.startswith("| `xray_carc")]
    assert [row[1] for row in rows] == [
        "tensorflow", "onnxruntime", "TensorFlow", "model.onnx", "graph of tf2onnx",
    ]  # fmt: skip
    assert rows[0][5] == "1.00 x (1.00 x)" and rows[0][6].startswith("0 of 4,096, ")
    assert all(float(row[5].strip(" |")) < 1e-3 for row in rows[2:])


def test_a_case_without_an_input_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, TOOL, "xray_carcinoma", "--out", tmp_path / "page.md"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "expected at least one MODEL=INPUT" in done.stderr
