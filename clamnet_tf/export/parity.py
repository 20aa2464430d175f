"""An exported file in a fresh process without clamnet_tf, compared with local prediction."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from clamnet_tf.errors import ExportFailure
from clamnet_tf.export.reference import Reference

_STRANGER = Path(__file__).with_name("verify_in_subprocess.py")


def check(kind: str, path: Path, reference: Reference) -> dict:
    """Run stranger.py on the file; the largest difference per signature.

    Raises:
        ExportFailure: it cannot be loaded there, or gives something else.
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
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExportFailure(
            f"{kind}: what was written cannot be used in a fresh process ({last[:300]}); nothing is kept. "
            f"Please report this."
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    if answer["knows_clamnet_tf"]:
        raise ExportFailure(
            f"{kind}: what was written loads clamnet_tf; it must be usable without. Nothing is kept. Please "
            f"report this."
        )
    if answer["wrong"]:
        wrong = "; ".join(answer["wrong"])
        raise ExportFailure(
            f"{kind}: what was written does not give what the network gives: {wrong}. Nothing is kept. "
            f"Please report this."
        )
    return answer["differences"]
