"""Files that are either whole or not there: written under a temporary name, then renamed."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.texts import HANDLER

UNFINISHED = ".writing-"  # how folders begin that hold what is being written; a killed process leaves them
_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "permission denied; choose a folder that you may write to",
    errno.EPERM: "permission denied; choose a folder that you may write to",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
    errno.EEXIST: "a file of that name is in the way; remove it or choose another folder",
}


def environment_failure(error: OSError, path) -> EnvironmentFailure:
    """The clear form of an OSError met while writing `path`."""
    return EnvironmentFailure(
        f"{path}: cannot be written: {_ADVICE.get(error.errno, error.strerror or str(error))}."
    )


@contextlib.contextmanager
def writing(path):
    """Turn an OSError inside the block into an EnvironmentFailure that names `path`."""
    try:
        yield
    except OSError as error:
        raise environment_failure(error, path) from error


def make_folder(path) -> Path:
    """Create a folder with its parents; return it."""
    path = Path(path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def open_regular(path):
    """Open a file for reading bytes, without waiting for one that never ends.

    OSError as of `open`; also for a pipe, device or socket, which would block or go on for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if stat.S_ISDIR(mode := os.fstat(descriptor).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a pipe or device, not a file", os.fspath(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


@contextlib.contextmanager
def hold(path, needed: bool = True):
    """Hold the lock file `path` in the block; yield False when another process holds it. It ends with the
    process, however it ends.

    needed: False yields True, without a lock, where the file cannot be written or the file system knows no
    locks.
    """
    try:
        stream = open(path, "w")
    except OSError as error:
        if needed:
            raise environment_failure(error, path) from error
        yield True
        return
    with stream:
        held = True
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = False
        except OSError:
            if needed:
                raise
        yield held


@contextlib.contextmanager
def atomic_path(path):
    """Yield a temporary sibling of `path`; rename it to `path` when the block succeeds, remove it otherwise.

    The sibling may become a file or a folder. It ends with the same suffixes as `path`, since writers look at
    them. An existing folder at `path` is not replaced: OSError, hence EnvironmentFailure.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=path.parent))
        try:
            temporary = holder / path.name
            yield temporary
            os.replace(temporary, path)
        finally:
            shutil.rmtree(holder, ignore_errors=True)


def write_bytes(path, content: bytes) -> None:
    """Write `content` so that `path` is either the old or the new file, also after a power cut."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def write_text(path, text: str) -> None:
    """Write UTF-8 text atomically; undecodable names as `clamnet_tf.texts.printable` gives them."""
    write_bytes(path, text.encode("utf-8", HANDLER))


def write_json(path, value) -> None:
    """Write `value` as indented JSON atomically; NaN is refused (ValueError), write null instead."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
