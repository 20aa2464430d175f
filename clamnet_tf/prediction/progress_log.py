"""What is finished in an output folder: a killed prediction goes on where it stopped, and never mixes with
another one.

    prediction.json   what was asked for: model, inputs, formats, version; read by people, compared on resuming
    .progress.jsonl   per finished group of files one line: its rows of the tables, failures and notes
    .lock             held while a process works here

Of several processes that share out the groups, the first one has these; the others have .progress-1.jsonl,
.lock-1 and so on.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from clamnet_tf.datasets.unlabelled_inputs import RESULT_SETTINGS
from clamnet_tf.errors import RunError
from clamnet_tf.files import UNFINISHED, environment_failure, hold, make_folder, write_json

SETTINGS = RESULT_SETTINGS
PROGRESS = ".progress.jsonl"
LOCK = ".lock"


class ProgressLog:
    """One output folder, seen from process `index`. Rows stand on disk, not in memory; `groups` says
    where.
    """

    def __init__(self, out: Path, index: int = 0):
        self.out, self.path = out, out / _of(index, PROGRESS)
        self.groups: dict[
            int, tuple[Path, int]
        ] = {}  # number of the group -> file, and where its line begins
        self.resumed = False

    @classmethod
    @contextlib.contextmanager
    def open(cls, out, settings: dict, index: int = 0) -> Iterator["ProgressLog"]:
        """Hold the folder in the block; a new or empty one is begun, one of equal `settings` gone on with.

        index: of this process; those that are not 0 come when 0 has opened the folder, and leave it to that
        one.

        RunError: other files are there, another process works there, or it was begun with other settings
        (named).
        """
        out = make_folder(check_folder(out))
        with hold(out / _of(index, LOCK)) as held:
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
                if (
                    not progress_log.groups and not index
                ):  # nothing came of it: leave the folder as it was found
                    for path in (out / SETTINGS, *_all(out)):
                        path.unlink(missing_ok=True)
                (out / _of(index, LOCK)).unlink(missing_ok=True)

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
        self.groups[group] = self.path, start

    def finished(self) -> Iterator[dict]:
        """The contents of all finished groups, in the order of groups, one at a time."""
        with contextlib.ExitStack() as stack:
            streams = {
                path: stack.enter_context(open(path, "rb"))
                for path in {path for path, _ in self.groups.values()}
            }
            for _, (path, start) in sorted(self.groups.items()):
                streams[path].seek(start)
                yield json.loads(streams[path].readline())

    def read(self) -> None:
        """Find the lines of all processes; a torn last one (power cut) of this one is cut off, so that the
        next line begins a line.
        """
        for path in _all(self.out):
            whole = 0
            with open(path, "rb") as stream:
                for line in stream:
                    try:
                        row = json.loads(line) if line.endswith(b"\n") else None
                    except ValueError:
                        row = None
                    if row is None:
                        break
                    self.groups.setdefault(row["group"], (path, whole))
                    whole += len(line)
            if path == self.path:
                os.truncate(path, whole)


def _of(index: int, name: str) -> str:
    """A file's name of process `index`: .lock, .lock-1 ..."""
    stem, dot, ending = name[1:].partition(".")
    return f".{stem}-{index}{dot}{ending}" if index else name


def _all(out: Path) -> list[Path]:
    """The files of all processes that have worked in the folder."""
    return sorted(out.glob(_of(0, PROGRESS).replace(".jsonl", "*.jsonl")))


def check_folder(out) -> Path:
    """A folder that results may go to: new, empty, or begun by an earlier call. RunError for any other."""
    out = Path(out)
    if out.exists() and (
        not out.is_dir()
        or (any(not path.name.startswith(LOCK) for path in out.iterdir()) and not (out / SETTINGS).is_file())
    ):
        raise RunError(
            f"{out}: expected a new or empty folder for the results, or one that an earlier call of the "
            f"same command began; it is in use. Choose another --out."
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
            f"{out}: holds results that were begun with another {', '.join(other)} (see {SETTINGS} there), "
            f"so it cannot be gone on with. "
            "Call with what was given then, or choose another --out."
        )
