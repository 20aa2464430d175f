"""Where what registries offer is kept, and the bar that shows its download."""

import contextlib
import hashlib
import re
from pathlib import Path

from clamnet_tf.zoo.catalogue import pulled_folder


def registry_folder(address: str, host: str | None) -> Path:
    """A folder of its own for every address: readable, and without anything that a file system could take
    amiss."""
    readable = re.sub(r"[^a-z0-9.]+", "_", (host or "").lower()).strip("._")[:60]
    return pulled_folder() / f"{readable}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"


def progress_bar(reporter, offer):
    """A bar in kilobytes; nothing without a reporter."""
    if reporter is None:
        return contextlib.nullcontext(_NoBar())
    return reporter.bar(f"Pulling {offer.name} version {offer.version} (kB)", max(1, offer.bytes // 1000))


class _NoBar:
    def update(self, done, note=""):
        pass
