"""What is finished in an output folder: a killed prediction goes on where it stopped, and never mixes with another one.

    prediction.json   what was asked for: model, inputs, formats, version; read by people, compared on resuming
    .progress.jsonl   per finished group of files one line: its rows of the tables, failures and notes
    .lock             held while a process works here
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from clamnet_tf.data.inputs import RESULT_SETTINGS
from clamnet_tf.errors import RunError
from clamnet_tf.files import UNFINISHED, environment_failure, hold, make_folder, write_json

SETTINGS = RESULT_SETTINGS
PROGRESS = ".progress.jsonl"
LOCK = ".lock"


class Journal:
    """One output folder. Rows stand on disk, not in memory; `groups` says where."""

    def __init__(self, out: Path):
        self.out, self.path = out, out / PROGRESS
        self.groups: dict[int, int] = {}  # number of the group -> where its line begins
        self.resumed = False

    @classmethod
    @contextlib.contextmanager
    def open(cls, out, settings: dict) -> Iterator["Journal"]:
        """Hold the folder in the block; a new or empty one is begun, one of equal `settings` gone on with.

        RunError: other files are there, another process works there, or it was begun with other settings (named).
        """
        out = make_folder(check_folder(out))
        with hold(out / LOCK) as held:
            if not held:
                raise RunError(f"{out}: another process writes its results here. Wait for it, or choose another --out.")
            journal = cls(out)
            if (out / SETTINGS).is_file():
                journal.resumed = True
                _compare(out, settings)
                journal._read()
                for leftover in out.rglob(f"{UNFINISHED}*"):  # of writers that were killed
                    shutil.rmtree(leftover, ignore_errors=True)
            else:
                write_json(out / SETTINGS, settings)
            try:
                yield journal
            finally:
                if not journal.groups:  # nothing came of it: leave the folder as it was found
                    for name in (SETTINGS, PROGRESS):
                        (out / name).unlink(missing_ok=True)
                (out / LOCK).unlink(missing_ok=True)

    def add(self, group: int, content: dict) -> None:
        """Note a group as finished: its files are written. On disk when this returns."""
        try:
            with open(self.path, "ab") as stream:
                start = stream.tell()
                stream.write(json.dumps({"group": group, **content}, allow_nan=False).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise environment_failure(error, self.path) from error
        self.groups[group] = start

    def finished(self) -> Iterator[dict]:
        """The contents of all finished groups, in the order of groups, one at a time."""
        if self.groups:
            with open(self.path, "rb") as stream:
                for _, start in sorted(self.groups.items()):
                    stream.seek(start)
                    yield json.loads(stream.readline())

    def _read(self) -> None:
        """Find the lines; a torn last one (power cut) is cut off, so that the next line begins a line."""
        if not self.path.exists():
            return
        whole = 0
        with open(self.path, "rb") as stream:
            for line in stream:
                try:
                    row = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    row = None
                if row is None:
                    break
                self.groups[row["group"]] = whole
                whole += len(line)
        os.truncate(self.path, whole)


def check_folder(out) -> Path:
    """A folder that results may go to: new, empty, or begun by an earlier call. RunError for any other."""
    out = Path(out)
    if out.exists() and (not out.is_dir() or (any(path.name != LOCK for path in out.iterdir()) and not (out / SETTINGS).is_file())):
        raise RunError(
            f"{out}: expected a new or empty folder for the results, or one that an earlier call of the same command began; it is in use. Choose another --out."
        )
    return out


def _compare(out: Path, settings: dict) -> None:
    try:
        begun = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{out / SETTINGS}: is damaged ({error}); choose another --out.") from error
    other = [name for name in settings if not isinstance(begun, dict) or begun.get(name) != settings[name]]
    if other:
        raise RunError(
            f"{out}: holds results that were begun with another {', '.join(other)} (see {SETTINGS} there), so it cannot be gone on with. "
            "Call with what was given then, or choose another --out."
        )
