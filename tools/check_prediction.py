"""Use an installed clamnet-tf[predict] in an environment without TensorFlow: list, predict, refuse the rest.

    python -I tools/check_prediction.py    called by tools/test-predict

Each check prints a line; the first one that fails ends the program. Every command runs in an empty folder.
"""

import csv
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

LARGEST = 500_000_000  # bytes, of the installed packages
PRESENT = {"pip", "setuptools"}  # which python -m venv itself installs
HEAVY = {"tensorflow", "tensorflow-cpu", "keras", "keras-cv", "tensorboard"}
PICTURE = """
import numpy as np
from PIL import Image
rows, columns = np.mgrid[:96, :80]
breast = 160 * ((rows - 48) ** 2 / 1600 + columns**2 / 3600 < 1)
noise = np.random.default_rng(0).integers(0, 20, (96, 80))
Image.fromarray((breast + noise).astype(np.uint8)).save("view.png")
"""


def main() -> None:
    names = {(each.metadata["Name"] or "").lower() for each in importlib.metadata.distributions()}
    check("neither TensorFlow nor Keras is installed", not names & HEAVY)
    size = sum(map(size_of, importlib.metadata.distributions()))
    check(f"{size / 1e6:.0f} MB are installed, at most {LARGEST / 1e6:.0f}", size <= LARGEST)
    program = Path(sys.executable).parent / "clamnet-tf"
    with tempfile.TemporaryDirectory(prefix="clamnet-predict-") as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment["CLAMNET_TF_CACHE"] = str(Path(folder) / "cache")

        def run(*command, code=0) -> subprocess.CompletedProcess:
            done = subprocess.run(
                [*map(str, command)], cwd=folder, env=environment, capture_output=True, encoding="utf-8"
            )
            if done.returncode != code:
                sys.exit(f"FAILED with code {done.returncode}: {command}\n{done.stdout}\n{done.stderr}")
            return done

        check("zoo list", "xray_carcinoma" in run(program, "zoo", "list").stdout)
        run(sys.executable, "-c", PICTURE)
        for model in ("xray_carcinoma", "xray_pneumonia"):
            done = run(program, "predict", model, "view.png", "--out", model, "--format", "png,nifti,report")
            with open(Path(folder) / model / "marks.csv", encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            masks = list((Path(folder) / model).rglob("*_mask.png"))
            check(f"predict with {model}: a mask and its table", len(rows) == len(masks) == 1)
            check("computed by ONNX Runtime", "Engine: onnxruntime" in done.stdout)
        done = run(program, "zoo", "verify", "xray_carcinoma", code=1)
        check("zoo verify says what it needs", "pip install 'clamnet-tf[train]'" in done.stderr)


def size_of(distribution) -> int:
    """Return the bytes of a distribution's files, compiled ones included; 0 of what each environment has."""
    if (distribution.metadata["Name"] or "").lower() in PRESENT:
        return 0
    paths = {Path(distribution.locate_file(file)) for file in distribution.files or ()}
    return sum(path.stat().st_size for path in paths if path.is_file())


def check(what: str, holds) -> None:
    if not holds:
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}", flush=True)


if __name__ == "__main__":
    main()
