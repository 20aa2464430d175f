"""Write files atomically: under a temporary name first, which is then renamed."""

import contextlib
import errno
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
# Of these, Windows has O_BINARY alone; POSIX has the others.
_OPEN_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
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
    try:
        descriptor = os.open(path, os.O_RDONLY | _OPEN_FLAGS)
    except PermissionError:
        if os.path.isdir(path):  # what Windows answers for a folder
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path)) from None
        raise
    with contextlib.ExitStack() as unless_opened:
        unless_opened.callback(os.close, descriptor)
        if stat.S_ISDIR(mode := os.fstat(descriptor).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a pipe or device, not a file", os.fspath(path))
        stream = os.fdopen(descriptor, "rb")
        unless_opened.pop_all()  # the stream closes it now
    return stream


@contextlib.contextmanager
def hold(path, needed: bool = True, remove: bool = False):
    """Hold the lock file `path` in the block; yield whether the lock was obtained.

    The lock is released when the process ends, however it ends.

    Args:
        path: the lock file.
        needed: when False, yield True without a lock where the file cannot be written or the file system does
            not support locks.
        remove: remove the file at the end when the lock was held.

    Yields:
        True when this process holds the lock (or none is needed), False when another process holds it.

    Raises:
        EnvironmentFailure: the file cannot be written or locked and `needed` is True.
    """
    import filelock  # takes longer to load than the rest of this module, and few commands need it

    lock = filelock.FileLock(path, thread_local=False)
    held, locked = True, False
    try:
        lock.acquire(timeout=0)
        locked = True
    except filelock.Timeout:
        held = False
    except (OSError, NotImplementedError) as error:
        if needed:
            failure = error if isinstance(error, OSError) else OSError(errno.ENOLCK, "it cannot be locked")
            raise environment_failure(failure, path) from error
    try:
        yield held
    finally:
        if locked:
            if remove and os.name != "nt":  # before the release, so that no other process's lock is removed
                Path(path).unlink(missing_ok=True)
            lock.release()
            if remove and os.name == "nt":  # refused while a process has it open, this one or another
                with contextlib.suppress(OSError):
                    Path(path).unlink(missing_ok=True)


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
