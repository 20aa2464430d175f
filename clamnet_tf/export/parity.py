"""Compare an exported file with local prediction, in a fresh process without clamnet_tf."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from clamnet_tf.errors import ExportFailure
from clamnet_tf.export.reference import Reference

_STRANGER = Path(__file__).with_name("verify_in_subprocess.py")


def check(kind: str, path: Path, reference: Reference) -> dict:
    """Run verify_in_subprocess.py on a file and return the largest difference per signature.

    Args:
        kind: "savedmodel", "litert" or "onnx".
        path: File or folder of the exported model.
        reference: Inputs and the outputs of local prediction.

    Raises:
        ExportFailure: The file cannot be loaded there, or gives something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "reference.npz"
        reference.write(arrays)
        command = [
            sys.executable,
            "-c",
            _STRANGER.read_text(encoding="utf-8"),
            kind,
            str(Path(path).resolve()),
            str(arrays),
        ]
        process = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", cwd=folder)
    if process.returncode:
        last_line = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExportFailure(
            f"{kind}: the exported file cannot be used in a fresh process ({last_line[:300]}). Nothing is "
            f"kept. Please report this."
        )
    answer = json.loads(process.stdout.splitlines()[-1])
    if answer["knows_clamnet_tf"]:
        raise ExportFailure(
            f"{kind}: the exported file loads clamnet_tf, but must be usable without it. Nothing is kept. "
            f"Please report this."
        )
    if answer["wrong"]:
        wrong = "; ".join(answer["wrong"])
        raise ExportFailure(
            f"{kind}: the exported file does not give what the network gives: {wrong}. Nothing is kept. "
            f"Please report this."
        )
    return answer["differences"]
