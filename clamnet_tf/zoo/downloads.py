"""Say where entries of registries are stored, and show the progress of their download."""

import contextlib
import hashlib
import re
from pathlib import Path

from clamnet_tf.zoo.catalogue import pulled_folder


def registry_folder(address: str, host: str | None) -> Path:
    """Return a folder that belongs to one address only.

    Its name is readable and has no characters that a file system might reject.
    """
    readable = re.sub(r"[^a-z0-9.]+", "_", (host or "").lower()).strip("._")[:60]
    return pulled_folder() / f"{readable}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"


def progress_bar(reporter, offer):
    """Return a progress bar in kilobytes; one that does nothing without a reporter."""
    if reporter is None:
        return contextlib.nullcontext(_NoBar())
    return reporter.bar(f"Pulling {offer.name} version {offer.version} (kB)", max(1, offer.bytes // 1000))


class _NoBar:
    """Ignore all progress."""

    def update(self, done, note=""):
        """Ignore the progress."""
