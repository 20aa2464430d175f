"""Compare the files of a pulled entry with what a registry offers under the same version.

The card README.md may be reworded; every other file decides what is computed or which figures are stated.
"""

import hashlib
from pathlib import Path

from clamnet_tf.errors import ZooError
from clamnet_tf.zoo.entry import CARD_FILE, FILES, OPTIONAL_FILES

COMPARED = frozenset(FILES + OPTIONAL_FILES) - {CARD_FILE}


def sha256_digest(value: str) -> str:
    """Return the digest of a file, "sha256:VALUE", from the sha256 of its content."""
    return f"sha256:{value}"


def git_digest(value: str) -> str:
    """Return the digest of a file, "git:VALUE", from the identifier of its blob in a git repository."""
    return f"git:{value}"


def check_unchanged(folder: Path, offer, registry) -> None:
    """Check that a pulled entry has the files that are offered under its version.

    Args:
        folder: Folder of the pulled entry.
        offer: Has `name`, `version` and `digests`: file name -> its digest, of one of the forms above,
            or None where the registry does not tell.
        registry: Has `label`, its name for messages.

    Raises:
        ZooError: A file differs, is missing, or is not offered any more.
    """
    here = {name for name in COMPARED if (folder / name).is_file()}
    offered = COMPARED & set(offer.digests)
    same = {name for name in here & offered if _has(folder / name, offer.digests[name])}
    if changed := sorted((offered | here) - same):
        raise ZooError(
            f"{registry.label}: {offer.name} version {offer.version} is not the one that was pulled: "
            f"{', '.join(changed)} changed since. Expected a new version with every change: ask its owner to "
            f"publish one. To take it as it is, remove {folder}; to stay with what was pulled, give that "
            f"folder as MODEL."
        )


def _has(path: Path, digest: str | None) -> bool:
    """Return whether a file has the digest, or none is told."""
    if digest is None:
        return True
    kind, value = digest.split(":")
    content = path.read_bytes()
    if kind == "sha256":
        return hashlib.sha256(content).hexdigest() == value
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == value
