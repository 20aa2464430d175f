"""Record what is finished in an output folder.

A prediction that was killed continues where it stopped and never mixes with another one.

    prediction.json   what was requested: model, inputs, formats, version; compared on resuming
    .progress.jsonl   one line per finished group of files: its rows of the tables, failures and notes
    .lock             held while a process works in the folder

When several processes share the groups, the first one uses these files; the others use .progress-1.jsonl,
.lock-1 and so on.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clamnet_tf.datasets.unlabelled_inputs import RESULT_SETTINGS
from clamnet_tf.errors import RunError
from clamnet_tf.files import UNFINISHED, environment_failure, hold, make_folder, write_json

SETTINGS = RESULT_SETTINGS
PROGRESS = ".progress.jsonl"
LOCK = ".lock"
# Folders of images that wait to be marked (workflows.study_marking, workflows.listening); no results.
FETCHED, RECEIVED = ".fetched", ".received"


class ProgressLog:
    """Represent one output folder as seen from process `index`.

    Rows are on disk, not in memory; `groups` says where.
    """

    def __init__(self, out: Path, index: int = 0):
        self.out, self.path = out, out / _of(index, PROGRESS)
        # index of a group, or UID of a study -> (file, offset of its line)
        self.groups: dict[Any, tuple[Path, int]] = {}
        self.resumed = False

    @classmethod
    @contextlib.contextmanager
    def open(cls, out, settings: dict, index: int = 0) -> Iterator["ProgressLog"]:
        """Hold the folder within the block; begin a new or empty one, continue one with equal settings.

        Args:
            out: Output folder.
            settings: What must be equal to continue.
            index: Index of this process. Processes other than 0 join after 0 has opened the folder; only 0
                begins it.

        Raises:
            RunError: The folder has other files, another process works there, or it was begun with other
                settings (the message names them).
        """
        out = make_folder(check_folder(out))
        with hold(out / _of(index, LOCK), remove=True) as held:
            if not held:
                raise RunError(
                    f"{out}: another process writes its results here. Wait for it, or choose another --out."
                )
            progress_log = cls(out, index)
            if index:
                _compare(out, settings)
                progress_log.read()
            elif (out / SETTINGS).is_file():
                progress_log.resumed = True
                _compare(out, settings)
                progress_log.read()
                for leftover in out.rglob(f"{UNFINISHED}*"):  # of writers that were killed
                    shutil.rmtree(leftover, ignore_errors=True)
            else:
                write_json(out / SETTINGS, settings)
            try:
                yield progress_log
            finally:
                if not progress_log.groups and not index:  # nothing finished: leave the folder as it was
                    for path in (out / SETTINGS, *_all(out)):
                        path.unlink(missing_ok=True)

    def add(self, group: int | str, content: dict) -> None:
        """Record a group whose files are written as finished. The record is on disk when this returns.

        A group that is recorded again has the last record.
        """
        try:
            with open(self.path, "ab") as stream:
                start = stream.tell()
                stream.write(json.dumps({"group": group, **content}, allow_nan=False).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise environment_failure(error, self.path) from error
        self.groups[group] = self.path, start

    def finished(self) -> Iterator[dict]:
        """Yield the contents of all finished groups, in the order of the groups, one at a time."""
        with contextlib.ExitStack() as stack:
            streams = {
                path: stack.enter_context(open(path, "rb"))
                for path in {path for path, _ in self.groups.values()}
            }
            for _, (path, start) in sorted(self.groups.items()):
                streams[path].seek(start)
                yield json.loads(streams[path].readline())

    def content(self, group: int | str) -> dict | None:
        """Return the record of a group, or None when it is not finished."""
        if group not in self.groups:
            return None
        path, start = self.groups[group]
        with open(path, "rb") as stream:
            stream.seek(start)
            return json.loads(stream.readline())

    def read(self) -> None:
        """Find the lines of all processes.

        A torn last line of this process (after a power failure) is cut off, so that the next record begins a
        new line.
        """
        for path in _all(self.out):
            offset = 0
            with open(path, "rb") as stream:
                for line in stream:
                    try:
                        row = json.loads(line) if line.endswith(b"\n") else None
                    except ValueError:
                        row = None
                    if row is None:
                        break
                    self.groups[row["group"]] = path, offset
                    offset += len(line)
            if path == self.path:
                os.truncate(path, offset)


def _of(index: int, name: str) -> str:
    """Return the name of a file of process `index`: .lock, .lock-1, ..."""
    stem, dot, ending = name[1:].partition(".")
    return f".{stem}-{index}{dot}{ending}" if index else name


def _all(out: Path) -> list[Path]:
    """Return the progress files of all processes that have worked in the folder."""
    return sorted(out.glob(_of(0, PROGRESS).replace(".jsonl", "*.jsonl")))


def check_folder(out) -> Path:
    """Return the folder if results may go there: new, empty, or begun by an earlier call. Raises RunError
    otherwise.
    """
    out = Path(out)
    if out.exists() and (
        not out.is_dir()
        or (
            any(not path.name.startswith((LOCK, FETCHED, RECEIVED)) for path in out.iterdir())
            and not (out / SETTINGS).is_file()
        )
    ):
        raise RunError(
            f"{out}: expected a new or empty folder for the results, or one that an earlier call of the "
            f"same command began; received a folder with other files. Choose another --out."
        )
    return out


def _compare(out: Path, settings: dict) -> None:
    """Raise RunError when the folder was begun with other settings."""
    try:
        begun = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{out / SETTINGS}: damaged ({error}). Choose another --out.") from error
    begun = begun if isinstance(begun, dict) else {}
    begun = {"engine": "tensorflow", **begun}  # the only one when folders did not name it
    differing = [name for name in {**settings, **begun} if begun.get(name) != settings.get(name)]
    if differing == ["engine"]:
        option = "--server URL" if begun["engine"] == "server" else f"--engine {begun['engine']}"
        raise RunError(
            f"{out}: expected the engine that began it, {begun['engine']}; received {settings['engine']}. "
            f"Engines round differently, so a folder holds results of one. Add {option}, or choose another "
            f"--out."
        )
    if differing:
        raise RunError(
            f"{out}: holds results that were begun with another {', '.join(differing)} (see {SETTINGS} "
            f"there), so they cannot be continued. Repeat the earlier arguments, or choose another --out."
        )
