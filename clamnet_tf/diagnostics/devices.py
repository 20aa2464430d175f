"""Find TensorFlow's devices in a separate process, so that a crash becomes a finding too."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from clamnet_tf.diagnostics.finding import Finding
from clamnet_tf.diagnostics.packages import install_extra

SECTION = "Devices"
QUESTION = """
import json, time
start = time.monotonic()
import tensorflow, keras
seconds = time.monotonic() - start
devices = []
for device in tensorflow.config.list_physical_devices():
    details = tensorflow.config.experimental.get_device_details(device) if device.device_type == "GPU" else {}
    devices.append([device.device_type, details.get("device_name", device.device_type)])
total = float(tensorflow.reduce_sum(tensorflow.ones((3, 3)) @ tensorflow.ones((3, 3))))
answer = {"devices": devices, "seconds": seconds, "right": total == 27.0, "keras": keras.__version__}
print(json.dumps(answer))
"""


def examine_devices(patience: float = 300.0) -> list[Finding]:
    """Return findings on whether TensorFlow starts and computes, and on the devices that it sees.

    Args:
        patience: seconds within which TensorFlow must start.
    """
    if importlib.util.find_spec("tensorflow") is None:
        return [
            Finding(
                SECTION,
                "TensorFlow",
                "missing",
                "not installed: prediction by ONNX Runtime alone",
                install_extra("train"),
            )
        ]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", QUESTION]
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=patience,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return [
            Finding(
                SECTION,
                "TensorFlow",
                "broken",
                f"did not start within {patience:.0f} s",
                "See what else the machine is doing.",
            )
        ]
    if answer.returncode:
        return [_failure(answer.returncode, answer.stderr)]
    report = json.loads(answer.stdout.strip().splitlines()[-1])
    graphics = [name for kind, name in report["devices"] if kind == "GPU"]
    unused = not graphics and has_nvidia_driver()
    advice = f"python -m pip uninstall tensorflow tensorflow-cpu; {install_extra('cuda')}" if unused else ""
    value = f"starts in {report['seconds']:.1f} s and computes{'' if report['right'] else ' wrongly'}"
    return [
        Finding(
            SECTION,
            "TensorFlow",
            "ok" if report["right"] else "broken",
            value,
            "" if report["right"] else "Reinstall tensorflow.",
        ),
        Finding(
            SECTION,
            "GPU",
            "missing" if unused else "ok",
            ", ".join(graphics) or ("not used" if unused else "none"),
            advice,
        ),
    ]


def _failure(code: int, stderr: str) -> Finding:
    if code < 0:
        name = signal.Signals(-code).name
        advice = (
            "The processor lacks instructions (AVX) that the wheel needs."
            if name == "SIGILL"
            else "Reinstall tensorflow."
        )
        return Finding(SECTION, "TensorFlow", "broken", f"ended by {name} while starting", advice)
    last = (stderr.strip().splitlines() or ["no message"])[-1]
    return Finding(
        SECTION, "TensorFlow", "broken", last, "python -m pip install --force-reinstall tensorflow keras"
    )


def has_nvidia_driver() -> bool:
    """Return whether an NVIDIA driver is loaded (Linux) or nvidia-smi is on the path."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
