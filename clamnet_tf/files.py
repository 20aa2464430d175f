"""Write files atomically: under a temporary name first, which is then renamed."""

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

UNFINISHED = (
    ".writing-"  # prefix of the folders that hold unfinished files; a killed process leaves them behind
)
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
    """Return the EnvironmentFailure that explains an OSError met while writing `path`."""
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
    """Create a folder with its parents and return its path."""
    path = Path(path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def open_regular(path):
    """Open a regular file for reading bytes, without blocking.

    Raises:
        OSError: as `open` does; also for a folder, pipe, device or socket, which could block or never end.
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
    """Hold the lock file `path` in the block; yield whether the lock was obtained.

    The lock is released when the process ends, however it ends.

    Args:
        path: the lock file.
        needed: when False, yield True without a lock where the file cannot be written or the file system does
            not support locks.

    Yields:
        True when this process holds the lock (or none is needed), False when another process holds it.

    Raises:
        EnvironmentFailure: the file cannot be written and `needed` is True.
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
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds, else remove it.

    The temporary path may become a file or a folder. It ends with the same suffixes as `path`, because
    writers look at them. An existing folder at `path` is not replaced: that is an OSError, hence an
    EnvironmentFailure.
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
    """Write `content` so that `path` is either the old or the new file, even after a power cut."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def write_text(path, text: str) -> None:
    """Write UTF-8 text atomically; undecodable names are made printable (`clamnet_tf.texts.printable`)."""
    write_bytes(path, text.encode("utf-8", HANDLER))


def write_json(path, value) -> None:
    """Write `value` as indented JSON atomically; raise ValueError for NaN, for which null must be used."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
