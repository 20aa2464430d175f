"""A run folder behind an address (gs://bucket/runs/first): written on this machine and copied there.

The address is reached through TensorFlow's file system, and the program works in a copy on this machine.
`store` sends the files that have changed since the last call, oldest first, each under a temporary name that
is then changed. So the remote folder always looks like the folder of a killed run: it holds complete files
only, and training resumes from the newest complete checkpoint. When a run is opened, the remote folder is
copied and replaces the local copy.

No lock keeps a second machine out: start one training per address. Tested with TensorFlow's own gs:// client
against a server that speaks its protocol on loopback, and with file://; not with a provider's bucket, nor
with s3://.
"""

import contextlib
import hashlib
import shutil
import uuid
from pathlib import Path

from clamnet_tf.errors import EnvironmentFailure, RunError
from clamnet_tf.files import UNFINISHED, atomic_path, hold, make_folder

LAST = "FINISHED"


def is_remote(path) -> bool:
    """Return whether a path is an address with a scheme."""
    return "://" in str(path)


@contextlib.contextmanager
def remote_folder(address: str, copies: Path):
    """Yield the RemoteFolder of an address, fetched into a folder below `copies`, and lock the copy in the
    block.

    Raises:
        EnvironmentFailure: TensorFlow has no file system for the scheme, or it fails.
        RunError: another process of this machine works on the same address.
    """
    address = address.rstrip("/")
    local = make_folder(copies) / hashlib.sha256(address.encode()).hexdigest()[:16]
    with hold(local.with_suffix(".lock")) as held:
        if not held:
            raise RunError(
                f"{address}: another process of this machine works on it. Wait for it, or choose another "
                f"--out."
            )
        remote = RemoteFolder(address, local)
        remote.fetch()
        remote.try_to_write()
        yield remote


class RemoteFolder:
    """A remote folder and its copy on this machine.

    Args:
        address: address without a slash at its end.
        local: the folder of the copy; `fetch` replaces its content.
    """

    def __init__(self, address: str, local: Path):
        self.address, self.local = address, Path(local)
        self._files = _file_system(address)
        self._stored = {}  # relative path -> (bytes, time of change) of the copy when both were last equal
        self._folders = set()  # addresses that exist

    def fetch(self) -> None:
        """Make the copy equal to the remote folder; an address that holds nothing yet gives no folder."""
        with self._clear():
            shutil.rmtree(self.local, ignore_errors=True)
            self._stored = {}
            for name in self._names():
                with atomic_path(self.local / name) as temporary:
                    self._files.copy(f"{self.address}/{name}", str(temporary))
                self._stored[name] = _state(self.local / name)

    def try_to_write(self) -> None:
        """Write and remove a small file, so that a refusal is known before hours of training."""
        with self._clear():
            self._files.makedirs(self.address)
            probe = f"{self.address}/{UNFINISHED}{uuid.uuid4().hex}"
            with self._files.GFile(probe, "w") as stream:
                stream.write("x")
            self._files.remove(probe)

    def store(self) -> None:
        """Make the remote folder equal to the copy; send only what has changed since the last call."""
        here = {
            path.relative_to(self.local).as_posix(): path
            for path in self.local.rglob("*")
            if path.is_file() and not _is_temporary(path.relative_to(self.local))
        }
        states = {name: _state(path) for name, path in here.items()}
        changed = [name for name, state in states.items() if self._stored.get(name) != state]
        with self._clear():
            for name in sorted(changed, key=lambda name: (name == LAST, states[name][1], name)):
                self._send(name)
                self._stored[name] = states[name]
            for name in set(self._stored) - set(here):
                self._files.remove(f"{self.address}/{name}")
                del self._stored[name]

    def _send(self, name: str) -> None:
        temporary, address = f"{self.address}/{UNFINISHED}{uuid.uuid4().hex}", f"{self.address}/{name}"
        for folder in (self.address, address.rsplit("/", 1)[0]):
            if folder not in self._folders:
                self._files.makedirs(folder)
                self._folders.add(folder)
        self._files.copy(str(self.local / name), temporary, overwrite=True)
        self._files.rename(temporary, address, overwrite=True)

    def _names(self) -> list[str]:
        """Return the relative paths of the complete remote files; remove what killed writers left."""
        if not self._files.isdir(self.address):
            return []
        for name in self._files.listdir(self.address):
            if name.startswith(UNFINISHED):
                self._files.remove(f"{self.address}/{name}")
        paths = [
            f"{folder.rstrip('/')}/{name}"
            for folder, _, names in self._files.walk(self.address)
            for name in names
        ]
        return sorted(path.removeprefix(f"{self.address}/") for path in paths)

    @contextlib.contextmanager
    def _clear(self):
        """Turn errors of TensorFlow's file system into an EnvironmentFailure."""
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            raise EnvironmentFailure(
                f"{self.address}: {error.message.splitlines()[0]}. Check the address, and what this machine "
                f"may do there."
            ) from error


def _state(path: Path) -> tuple:
    """Return (bytes, time of change in ns) of a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _is_temporary(path: Path) -> bool:
    """Return whether a file of the copy is a lock or is being written."""
    return path.name == ".lock" or any(part.startswith(UNFINISHED) for part in path.parts)


def _file_system(address: str):
    """Return tf.io.gfile when it knows the scheme of the address.

    Raises:
        EnvironmentFailure: the scheme has no file system.
    """
    import tensorflow as tf

    scheme = address.partition("://")[0]
    if scheme not in tf.io.gfile.get_registered_schemes():
        with contextlib.suppress(ImportError, NotImplementedError, tf.errors.OpError):
            import tensorflow_io  # noqa: F401  registers more schemes
    if scheme not in tf.io.gfile.get_registered_schemes():
        known = ", ".join(sorted(f"{name}://" for name in tf.io.gfile.get_registered_schemes() if name))
        raise EnvironmentFailure(
            f"{address}: TensorFlow {tf.__version__} has no file system for {scheme}:// here; it has "
            f"{known}. For s3://, az:// and hdfs:// "
            "pip install tensorflow-io (which works with TensorFlow up to 2.17), or mount the storage and "
            "give its path."
        )
    return tf.io.gfile
