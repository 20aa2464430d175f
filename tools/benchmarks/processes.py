"""Measure whole processes: start of the command, prediction, time to the first step, peak memory; and file
sizes.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmarks.rounds import Taken
from benchmarks.rows import Row, figure
from benchmarks.subjects import siamese_trainer
from PIL import Image

from clamnet_tf.files import make_folder
from clamnet_tf.training.checkpoints import save_checkpoint

GROUP = "Whole processes"
ROOT = Path(__file__).resolve().parents[2]
#: Said by benchmarks.first_steps when its first step is done.
FIRST = "first step"


def timed(command: list) -> Taken:
    """Return the seconds of a process of its own, including its children's processor time."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), text=True
    )
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - clock
    return Taken(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def environment() -> dict:
    """Return an environment with this repository's code and the allocator that users have."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MALLOC_") and name != "GLIBC_TUNABLES"
    }
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def peak_gb() -> float:
    """Return the peak memory of this process in GB.

    It is VmHWM, because Linux passes ru_maxrss on from whoever started a process.
    """
    [line] = [
        line
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        if line.startswith("VmHWM:")
    ]
    return int(line.split()[1]) * 1024 / 1e9


def rows(size) -> list:
    """Return the rows of whole processes."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "slice.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (160, 160, 3), dtype=np.uint8)).save(
            picture
        )
        command = [sys.executable, "-m", "clamnet_tf"]
        times = {"help": [], "import": [], "predict": []}
        for number in range(size.rounds):
            times["help"].append(timed([*command, "--help"]))
            times["import"].append(timed([sys.executable, "-c", "import tensorflow, keras"]))
            times["predict"].append(
                timed(
                    [
                        *command,
                        "predict",
                        "zoo/mri_carcinoma",
                        str(picture),
                        "--quiet",
                        "--out",
                        f"{folder}/{number}",
                    ]
                )
            )
        help_, imported, predicted = (
            Taken(*(statistics.median(each) for each in zip(*taken))) for taken in times.values()
        )
        return [
            *first_steps(size),
            _start("--help", help_),
            _predict(predicted, imported),
            *sizes(size, Path(folder)),
        ]


def _start(what: str, taken) -> Row:
    return Row(GROUP, f"start of `clamnet-tf {what}`", taken.clock, "s", taken.processor)


def _predict(taken, imported) -> Row:
    sides = {
        "of it, TensorFlow and Keras imported in a bare process": f"{figure(imported.clock)} s "
        f"({figure(imported.processor)} s)"
    }
    return Row(
        GROUP,
        "`clamnet-tf predict` of one picture with a network of the zoo, from start to end",
        taken.clock,
        "s",
        taken.processor,
        sides=sides,
    )


def first_steps(size) -> list:
    """Measure a process that imports, builds the network and trains three steps of one view at the largest
    batch.
    """
    batch = max(size.batches)
    command = [sys.executable, "-m", "benchmarks.first_steps", size.name, str(batch)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        said = process.stdout.readline().split(":")
        seconds = time.perf_counter() - began
        peak = process.stdout.readline()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: ended with {process.returncode}")
    of = f"batch of {batch}, one view"
    return [
        Row(
            GROUP,
            f"time to the first step, start of Python included ({of})",
            seconds,
            "s",
            float(said[1]),
            at_most=15,
            note="Processor time over both cores, the step itself included",
        ),
        Row(
            GROUP,
            f"most memory of a training process ({of})",
            float(peak),
            "GB",
            at_most=3,
            note="VmHWM of a process of its own; group norm, Adam",
        ),
    ]


def sizes(size, folder: Path) -> list:
    """Compare a checkpoint and a model file with four bytes per weight."""
    network = size.network("group")
    trainer = siamese_trainer(network, "shared")
    weights = 4 * sum(int(np.prod(variable.shape)) for variable in network.variables)
    checkpoint = save_checkpoint(make_folder(folder / "checkpoints"), trainer, 1, {}).stat().st_size
    network.save(folder / "model.keras")
    model = (folder / "model.keras").stat().st_size
    note = "Adam keeps two moments per weight, so three times the weights is the least"
    return [
        Row(
            GROUP,
            "size of a checkpoint, in sizes of the weights",
            checkpoint / weights,
            "x",
            sides={"checkpoint": f"{checkpoint / 1e6:.1f} MB"},
            note=note,
        ),
        Row(
            GROUP,
            "size of model.keras, in sizes of the weights",
            model / weights,
            "x",
            sides={"model.keras": f"{model / 1e6:.1f} MB"},
        ),
    ]
