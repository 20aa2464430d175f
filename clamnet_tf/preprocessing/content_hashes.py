"""Compute the sha256 of files and remember it by path, size and times, so that files are read once.

Paths are stored as digests: folders are named after patients, and a cache outlives them.
"""

import hashlib
import json
import os
import time
from pathlib import Path

from clamnet_tf.datasets.layouts.listing import natural_key
from clamnet_tf.errors import DataError
from clamnet_tf.files import write_json
from clamnet_tf.imaging.companions import companions
from clamnet_tf.imaging.formats import format_promised
from clamnet_tf.imaging.sniff import sniff

_RECENT_SECONDS = 3.0


def path_key(path) -> str:
    """Return the digest that stands for a path in the memo."""
    return hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:32]


class ContentHashes:
    """Content hashes of files and folders, remembered in a JSON file of the cache, one per `root`.

    A file whose size, modification time and change time are those of the memo is not read again. Files
    changed in the last seconds are not remembered: a second change might leave the times as they are.

    Args:
        cache: folder of the cache; None remembers nothing.
        root: a data folder, or a part of one; each has a memo of its own.
    """

    def __init__(self, cache: Path | None, root):

        name = hashlib.sha256(str(root).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self.path = None if cache is None else Path(cache) / f"contents-{name}.json"
        try:
            known = json.loads(self.path.read_text(encoding="utf-8")) if self.path else {}
        except (OSError, ValueError):
            known = {}
        self.known = known if isinstance(known, dict) else {}
        self.current: dict[str, list] = {}

    def of(self, path: Path) -> str:
        """Return the sha256 of a file, of both files of a volume, or of the sorted names and contents of a
        folder.

        Raises:
            DataError: the path cannot be read.
        """
        try:
            if path.is_dir():
                inside = sorted((p for p in path.rglob("*") if p.is_file()), key=natural_key)
                parts = [f"{p.relative_to(path).as_posix()}\0{self._file(p)}" for p in inside]
                return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
            promised = format_promised(path)
            if more := companions(path, promised.name if promised else sniff(path) if path.is_file() else ""):
                return hashlib.sha256(
                    "\n".join(self._file(part) for part in (path, *more)).encode()
                ).hexdigest()
            return self._file(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}.") from error

    def _file(self, path: Path) -> str:
        key, status = path_key(path), os.stat(path)
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        entry = self.current.get(key) or self.known.get(key)
        if isinstance(entry, list) and len(entry) == 4 and entry[:3] == stamp:
            self.current[key] = entry
            return entry[3]
        digest = hashlib.sha256()
        with open(path, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        if time.time() - max(status.st_mtime, status.st_ctime) > _RECENT_SECONDS:
            self.current[key] = [*stamp, digest.hexdigest()]
        return digest.hexdigest()

    def save(self) -> None:
        """Write the memo if anything in it is new; files not asked for in this run are forgotten."""
        if self.path and self.current != self.known:
            write_json(self.path, self.current)
