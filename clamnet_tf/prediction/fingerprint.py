"""Compute digests of a run's files, which tell one trained run from another.

They are used for resuming and in the objects that are written.
"""

import hashlib
from pathlib import Path


def fingerprint(run) -> dict[str, str]:
    """Return the sha256 of a finished run's network ("model"), "recipe", "selection" (which holds the
    thresholds) and, where there is one, "appearance" (which decides the notes on images).
    """
    files = {"model": run.model, "recipe": run.recipe, "selection": run.selection}
    files |= {"appearance": run.appearance} if run.appearance.is_file() else {}
    return {name: _sha256(path) for name, path in files.items()}


def _sha256(path: Path) -> str:
    """Return the sha256 of a file, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
