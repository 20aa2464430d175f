"""Run other projects beside this one: an environment and a process of their own, asked round by round."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.rounds import Taken

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv-peers"
TORCH = "torch==2.13.0"
#: Distribution -> module. Installed in order, each with torch held, and left out with a word when that fails:
#: torchvision, which
#: segmentation-models-pytorch needs, has not for every build of torch one that it can load.
PACKAGES = {
    "monai": "monai",
    "openvino": "openvino",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
    "medicai": "medicai",
}
FAILED = "cannot be installed or imported"
#: name -> distribution that it needs
NETWORKS = {
    "MONAI BasicUNetPlusPlus": "monai",
    "smp UnetPlusPlus resnet34": "segmentation_models_pytorch",
    "medicai UNetPlusPlus resnet34": "medicai",
}
PIPELINE = "MONAI CacheDataset at its best"
OPENVINO = "OpenVINO in float32, our network"


class Peers:
    """Provide the peers as callables for `rounds.interleaved`; none when they are not wanted.

    Attributes:
        versions: Distribution -> version, or FAILED.
    """

    def __init__(self, wanted: bool, size):
        self.wanted, self.size, self.versions, self._process = wanted, size, {}, None

    def __enter__(self):
        if self.wanted:
            failed = make_environment()
            command = [
                str(HOME / "bin" / "python"),
                str(Path(__file__).with_name("peer_worker.py")),
                str(self.size.side),
            ]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "KERAS_BACKEND": "torch"},
            )
            self.versions = json.loads(self._process.stdout.readline()) | dict.fromkeys(failed, FAILED)
        return self

    def __exit__(self, *error):
        if self._process:
            self._process.stdin.close()
            self._process.wait()
        return False

    def _has(self, distribution: str) -> bool:
        return self.versions.get(distribution, FAILED) != FAILED

    def ask(self, **job) -> Taken:
        """Return one measurement of the worker. Raises RuntimeError when it has ended."""
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the peers' process ended at {job}; what it said stands above")
        return Taken(*json.loads(answer))

    def training(self) -> dict:
        """Return name -> (batch -> callable)."""
        return {
            name: lambda batch, name=name: functools.partial(self.ask, job="train", network=name, batch=batch)
            for name, distribution in NETWORKS.items()
            if self._has(distribution)
        }

    def inputs(self) -> dict:
        """Return name -> callable that makes pipeline_batches batches of augmented pairs."""
        batch = max(self.size.batches)
        ask = functools.partial(self.ask, job="pipeline", batch=batch, batches=self.size.pipeline_batches)
        return {PIPELINE: ask} if self._has("monai") else {}

    def inference(self) -> dict:
        """Return name -> (ONNX file of our network, batch -> callable)."""
        found = {
            name: lambda path, batch, name=name: functools.partial(
                self.ask, job="infer", network=name, batch=batch
            )
            for name, distribution in NETWORKS.items()
            if self._has(distribution)
        }
        if self._has("openvino"):
            found[OPENVINO] = lambda path, batch: functools.partial(
                self.ask, job="openvino", path=str(path), batch=batch
            )
        return found


def make_environment(home: Path = HOME, packages: dict = PACKAGES) -> list:
    """Make an environment with torch and the packages, or use it as it is; return the modules that cannot be
    had.

    Args:
        home: folder of the environment.
        packages: distribution -> module.
    """
    stamp, recipe = home / "installed.json", [TORCH, *packages.values()]
    if stamp.exists() and (stored := json.loads(stamp.read_text(encoding="utf-8")))["recipe"] == recipe:
        return stored["failed"]
    print(f"Making {home}; the first time this downloads about 500 MB.", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    python = str(home / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--no-input", TORCH]
    subprocess.run(pip, check=True)
    failed = []
    for distribution, module in packages.items():
        installed = subprocess.run([*pip, distribution]).returncode == 0
        if (
            not installed
            or subprocess.run(
                [python, "-c", f"import {module}"],
                env={**os.environ, "KERAS_BACKEND": "torch"},
                stderr=subprocess.DEVNULL,
            ).returncode
        ):
            failed.append(module)
    stamp.write_text(json.dumps({"recipe": recipe, "failed": failed}), encoding="utf-8")
    return failed
