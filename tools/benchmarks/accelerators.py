"""Measure a GPU: training step and inference at 256 and 512 pixels, float32 and mixed_float16, with and
without XLA. Each setting runs in a process of its own.
"""

import csv
import json
import subprocess
import sys
import time

from benchmarks.processes import environment

from clamnet_tf.files import atomic_path, write_text

SIDES = (256, 512)
PRECISIONS = ("float32", "mixed_float16")
BATCH = 4
COLUMNS = (
    "device",
    "side",
    "precision",
    "xla",
    "training_ms",
    "inference_ms_per_slice",
    "peak_gb",
    "first_step_s",
    "date",
)
NO_GPU = (
    "No GPU: TensorFlow sees none on this machine, so nothing was measured and no file was changed. Run this "
    "command where nvidia-smi shows a GPU, with the extra cuda installed (docs/how-to/install.md)."
)


def run(arguments, size) -> None:
    """Measure every setting on the device and write accelerators.csv and accelerators.md."""
    device = found_device(arguments.device)
    if device is None:
        print(NO_GPU)
        return
    rows = []
    for side in (size.side,) if size.name == "quick" else SIDES:
        for precision in PRECISIONS:
            for xla in (False, True):
                setting = {"side": side, "precision": precision, "xla": xla, "device": arguments.device}
                told = _measured(setting, size)
                rows.append({**setting, **told, "device": device, "date": time.strftime("%Y-%m-%d")})
                print(json.dumps(rows[-1]), flush=True)
    with (
        atomic_path(arguments.out / "accelerators.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    write_text(arguments.out / "accelerators.md", document(rows))


def found_device(kind: str) -> str | None:
    """Return the name of the first device of a kind ("gpu" or "cpu"), or None where there is none."""
    import tensorflow as tf

    devices = tf.config.list_physical_devices(kind.upper())
    if not devices:
        return None
    return tf.config.experimental.get_device_details(devices[0]).get("device_name", kind)


def _measured(setting: dict, size) -> dict:
    """Return the figures of one setting, or the reason why it failed in place of its time."""
    command = [sys.executable, "-m", "benchmarks.accelerated", json.dumps(setting), size.name]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"training_ms": f"failed: {reason}"[:200]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def document(rows: list[dict]) -> str:
    """Return accelerators.md: the table, each row beside float32 without XLA of the same side."""
    lines = [
        "# Speed on an accelerator",
        "",
        "Written by `tools/bench --device gpu`. The training step is the supervised one of UNet++ with group "
        f"norm, batch of {BATCH}; the ratio is to float32 without XLA of the same side, above 1 is faster. "
        "clamnet-tf trains in float32: rows of mixed_float16 say how fast a step is, not what it learns.",
        "",
        "| Device | Side | Precision | XLA | Training step | Ratio | Inference, per slice | Most memory "
        "| First step |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        base = next(
            each
            for each in rows
            if each["side"] == row["side"] and each["precision"] == "float32" and not each["xla"]
        )
        known = all(isinstance(each["training_ms"], float) for each in (row, base))
        cells = [
            row["device"],
            str(row["side"]),
            row["precision"],
            "yes" if row["xla"] else "no",
            f"{row['training_ms']:.1f} ms" if isinstance(row["training_ms"], float) else row["training_ms"],
            f"{base['training_ms'] / row['training_ms']:.2f} x" if known else "",
            f"{row['inference_ms_per_slice']:.2f} ms" if "inference_ms_per_slice" in row else "",
            f"{row['peak_gb']:.2f} GB" if row.get("peak_gb") is not None else "not known",
            f"{row['first_step_s']:.1f} s" if "first_step_s" in row else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
