"""Run each side of tools/measure-prediction as its users do, in the settings that are the fastest here."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import FAILED, make_environment
from benchmarks.whole_commands import Used, measured

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
HOME = ROOT / ".venv-prediction"
MONAI, NNUNET = "MONAI", "nnU-Net, no mirroring"
MIRRORED = "nnU-Net, mirrored four ways (its default)"
#: distribution -> module, as benchmarks.peers.PACKAGES
PACKAGES = {
    "nibabel": "nibabel",
    "pydicom": "pydicom",
    "itk": "itk",
    "monai": "monai",
    "dcm2niix": "dcm2niix",
    "nnunetv2": "nnunetv2.inference.predict_from_raw_data",
}
NEEDED = {MONAI: ("nibabel", "pydicom", "itk", "monai"), NNUNET: ("dcm2niix", PACKAGES["nnunetv2"])}
#: Settings that are tried as whole commands.
TRIED = {
    MONAI: [{"reader": reader, "workers": workers} for reader in ("itk", "pydicom") for workers in (0, 2)],
    NNUNET: [
        {"resampling": resampling, "processes": processes}
        for resampling in ("default", "torch")
        for processes in (0, 1)
    ],
}
SCRIPTS = {MONAI: "monai_prediction.py", NNUNET: "nnunet_prediction.py"}
OUR_MASKS = "*_mask.nii.gz"
MASKS = {MONAI: "*_mask.nii.gz", NNUNET: "*.nii", MIRRORED: "*.nii"}


@dataclass
class Run:
    """Hold one run of a side.

    Attributes:
        used: the whole chain, from DICOM to masks.
        conversion: what of it went into the conversion of DICOM, for sides that do not read it.
        report: what the side says of itself: seconds until it was ready (start), seconds and slices of the
            network.
    """

    used: Used
    conversion: Used | None = None
    report: dict = field(default_factory=dict)


def environment() -> dict:
    """Return an environment with this repository's code."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tools")])
    return {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"}


def peers_environment() -> dict:
    """Return an environment without anything of this repository, and without nnU-Net's note on its paths."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    folders = dict.fromkeys(("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"), tempfile.gettempdir())
    return {**kept, **folders}


def count_masks(out: Path, pattern: str, studies: int) -> None:
    """Raise RuntimeError unless `out` holds one mask per study."""
    found = len(list(out.rglob(pattern)))
    if found != studies:
        raise RuntimeError(f"{out}: expected {studies} masks ({pattern}); found {found}")


def run_ours(model: str, engine: str, studies: Path, count: int, work: Path, parts: bool = False) -> Run:
    """Predict a folder with clamnet-tf.

    Args:
        model: zoo entry or run folder.
        engine: "onnxruntime" or "tensorflow".
        studies: folder of DICOM studies.
        count: how many there are.
        work: empty folder to work in.
        parts: whether parts are measured too; `report` then has what prediction_parts writes.
    """
    report = work / "parts.json"
    start = [HERE / "prediction_parts.py", report] if parts else ["-m", "clamnet_tf"]
    command = [sys.executable, *start, "predict", model, studies, "--format", "nifti", "--engine", engine]
    command += ["--out", work / "out", "--quiet"]
    used = measured(command, environment(), work / "log.txt")
    count_masks(work / "out", OUR_MASKS, count)
    return Run(used, report=json.loads(report.read_text(encoding="utf-8")) if parts else {})


class PredictionPeers:
    """Run MONAI and nnU-Net in .venv-prediction.

    Attributes:
        missing: side -> why it is not measured.
        settings: side -> the settings in which it is fastest here, with size and GFLOP of its network.
    """

    def __init__(self):
        self.failed = make_environment(HOME, PACKAGES)
        self.python, self.settings = HOME / "bin" / "python", {}
        self.missing = {
            side: f"{', '.join(lost)}: {FAILED}"
            for side, modules in NEEDED.items()
            if (lost := [module for module in modules if module in self.failed])
        }
        if NNUNET in self.missing:
            self.missing[MIRRORED] = self.missing[NNUNET]

    def choose(self, cache: Path, gflop: float, trial: Path, count: int, *, anew: bool) -> None:
        """Choose the settings of each peer, once: they are kept in the folder `cache`.

        Args:
            cache: folder for settings.json.
            gflop: operations of our network per slice.
            trial: folder of the studies on which settings are tried.
            count: how many studies it has.
            anew: whether settings are chosen again that are kept already.
        """
        path, key = cache / "settings.json", f"{gflop:.4f} GFLOP, form 2"
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if anew or stored.get("key") != key:
            stored = {"key": key}
        for side in SCRIPTS:
            if side in self.missing:
                continue
            if side not in stored:
                stored[side] = self._chosen(side, cache, gflop, trial, count)
                path.write_text(json.dumps(stored, indent=2), encoding="utf-8")
            self.settings[side] = stored[side]

    def _chosen(self, side: str, cache: Path, gflop: float, trial: Path, count: int) -> dict:
        """Return the settings in which a peer is fastest."""
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            report = Path(folder) / "chosen.json"
            command = [self.python, HERE / SCRIPTS[side], "--gflop", gflop, "--report", report]
            measured(command, peers_environment(), Path(folder) / "log.txt")
            settings, seconds = json.loads(report.read_text(encoding="utf-8")), {}
            converted = Path(folder) / "converted"
            if side == NNUNET:
                self.convert(trial, converted, Path(folder) / "log.txt")
            for number, tried in enumerate(TRIED[side]):
                work = Path(folder) / str(number)
                work.mkdir()
                given = converted if side == NNUNET else trial
                run = self._mark(side, settings | tried, given, count, work)
                seconds[number] = run.used.clock
                print(f"{side}, {tried}: {run.used.clock:.1f} s", flush=True)
            best = min(seconds, key=seconds.__getitem__)
            tried = {" ".join(map(str, TRIED[side][number].values())): seconds[number] for number in seconds}
            return settings | TRIED[side][best] | {"tried": tried, "load": round(os.getloadavg()[0], 1)}

    def convert(self, studies: Path, out: Path, log: Path) -> Used:
        """Convert DICOM to the NIfTI files that nnU-Net reads."""
        command = [self.python, HERE / SCRIPTS[NNUNET], "--convert", "--studies", studies, "--out", out]
        return measured(command, peers_environment(), log)

    def run(self, side: str, studies: Path, count: int, work: Path) -> Run:
        """Measure one run of a side, from a folder of DICOM to masks.

        Args:
            side: MONAI, NNUNET or MIRRORED.
            studies: folder of DICOM studies.
            count: how many there are.
            work: empty folder to work in.
        """
        if side == MONAI:
            return self._mark(MONAI, self.settings[MONAI], studies, count, work)
        conversion = self.convert(studies, work / "converted", work / "convert.txt")
        settings = self.settings[NNUNET] | {"mirror": side == MIRRORED}
        run = self._mark(NNUNET, settings, work / "converted", count, work)
        return Run(conversion + run.used, conversion, run.report)

    def _mark(self, side: str, settings: dict, studies: Path, count: int, work: Path) -> Run:
        report, out = work / "report.json", work / "out"
        command = [self.python, HERE / SCRIPTS[side], "--studies", studies, "--out", out, "--report", report]
        command += ["--size", *settings["size"]]
        for name in ("memory", "batch", *TRIED[side][0]):
            if name in settings:
                command += [f"--{name}", settings[name]]
        if settings.get("mirror"):
            command.append("--mirror")
        used = measured(command, peers_environment(), work / "log.txt")
        count_masks(out, MASKS[side], count)
        return Run(used, report=json.loads(report.read_text(encoding="utf-8")))


def our_network(model: str) -> dict:
    """Return GFLOP per slice, side and versions of our network, counted in a process of its own.

    The process that measures must stay small, because Linux passes its peak memory on to its children.
    """
    found = ROOT / "zoo" / model / "model.onnx"
    path = found if found.is_file() else Path(model) / "model.onnx"
    command = [sys.executable, HERE / "onnx_cost.py", path]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment())
    return json.loads(done.stdout)
