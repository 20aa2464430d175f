"""What tells one trained run from another: digests of its files, for resuming and for the objects that are
written.
"""

import hashlib
from pathlib import Path


def fingerprint(run) -> dict[str, str]:
    """sha256 of the network ("model"), of the recipe and of the selection, that is thresholds. run: a
    finished RunFolder.
    """
    return {"model": _sha256(run.model), "recipe": _sha256(run.recipe), "selection": _sha256(run.selection)}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
