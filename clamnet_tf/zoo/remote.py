"""Find entries in registries by name, download and check them, and keep them in the cache.

$CLAMNET_TF_REGISTRY names the registries, separated by spaces.
"""

import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import filelock

from clamnet_tf.errors import ZooError
from clamnet_tf.files import atomic_path, make_folder, write_bytes, writing
from clamnet_tf.recipe.suggest import nearest
from clamnet_tf.zoo.downloads import progress_bar, registry_folder
from clamnet_tf.zoo.entry import is_entry
from clamnet_tf.zoo.hub import HubRegistry
from clamnet_tf.zoo.index import LARGEST_INDEX, IndexEntry, read_index
from clamnet_tf.zoo.read import check_weights, read_entry
from clamnet_tf.zoo.transport import TIMEOUT_SECONDS, Transport, check_address, check_online, is_offline, join
from clamnet_tf.zoo.unchanged import check_unchanged

_ENTRY_ADDRESS = re.compile(r"(hf://[^/@]+/[^/@]+)(?:/([a-z][a-z0-9_]*))?(@[\w./-]+)?")
REGISTRY_VARIABLE = "CLAMNET_TF_REGISTRY"
LOCK_SECONDS = 3600.0  # how long another process's download is waited for


class NotOffered(ZooError):
    """Report that no registry offers an entry of that name, or that none can be asked."""


@dataclass(frozen=True)
class HttpsRegistry:
    """Represent an index on an https server.

    Attributes:
        url: Address of the index.
        timeout_seconds: Seconds without data before a connection is given up.
    """

    url: str
    timeout_seconds: float = TIMEOUT_SECONDS

    @property
    def label(self) -> str:
        """Return its name for messages."""
        return self.url

    @property
    def folder(self) -> Path:
        """Return the folder of its entries, its last index and unfinished downloads."""
        return registry_folder(self.url, urlsplit(self.url).hostname)

    def listing(self) -> list[IndexEntry]:
        """Return what it offers; offline, what it offered when it was last asked.

        Raises:
            ZooError: The index cannot be downloaded, or is not valid.
        """
        stored = self.folder / "index.json"
        if is_offline():
            if not stored.is_file():
                check_online(self.url)
            return read_index(_stored_index(stored), str(stored)).entries
        content = self._transport().text(self.url, LARGEST_INDEX)
        index = read_index(content, self.url)
        write_bytes(stored, content)
        return index.entries

    def fetch(self, offer: IndexEntry, folder: Path, reporter) -> None:
        """Download the files of an offer into `folder`."""
        transport, before = self._transport(), 0
        addresses = [
            check_address(join(self.url, item.url), self.url) for item in offer.files
        ]  # all, before anything is downloaded
        with progress_bar(reporter, offer) as bar:
            for item, address in zip(offer.files, addresses):
                start = before
                transport.file(
                    address,
                    folder / item.file,
                    size=item.bytes,
                    sha256=item.sha256,
                    progress=lambda done, start=start: bar.update((start + done) // 1000),
                )
                before += item.bytes

    def _transport(self) -> Transport:
        """Return the transport that downloads its files."""
        return Transport(self.folder / "parts", self.timeout_seconds)


def _stored_index(path: Path) -> bytes:
    """Return the stored index of a registry. Raises ZooError when it is too large."""
    if path.stat().st_size > LARGEST_INDEX:
        raise ZooError(
            f"{path}: expected at most {LARGEST_INDEX} bytes; the file is larger. Remove it and ask the "
            f"registry again."
        )
    return path.read_bytes()


def open_registry(text: str, timeout_seconds: float = TIMEOUT_SECONDS):
    """Return the registry at an address.

    Raises:
        ZooError: The address is neither https:// nor hf://OWNER/REPOSITORY[@REVISION].
    """
    if text.startswith("hf://"):
        return HubRegistry.at(text, timeout_seconds)
    return HttpsRegistry(check_address(text), timeout_seconds)


def configured_registries(timeout_seconds: float = TIMEOUT_SECONDS) -> list:
    """Return the registries of $CLAMNET_TF_REGISTRY, in that order."""
    return [open_registry(text, timeout_seconds) for text in os.environ.get(REGISTRY_VARIABLE, "").split()]


def pull_first(registries, name: str, reporter=None) -> Path:
    """Pull the newest version of an entry from the first registry that offers it, and return its folder.

    Raises:
        NotOffered: No registry offers it; the message has the nearest name and why a registry could not be
            asked.
        ZooError: The download failed.
    """
    if not registries:
        raise ZooError(f"{name}: no registry to pull from. Set {REGISTRY_VARIABLE}, or give one with --from.")
    offered, failures = set(), []
    for registry in registries:
        try:
            listing = registry.listing()
        except ZooError as error:
            failures.append(str(error))
            continue
        offered |= {offer.name for offer in listing}
        offers = [offer for offer in listing if offer.name == name]
        if offers:
            return pull_entry(registry, max(offers, key=lambda offer: offer.version), reporter)
    if len(failures) == len(registries):
        raise NotOffered("\n".join(failures))
    nearest_name = nearest(name, offered)
    advice = (
        f"nearest name {nearest_name}"
        if nearest_name
        else f"offered are {', '.join(sorted(offered)) or 'none'}"
    )
    raise NotOffered(
        "\n".join(
            [
                f"{ascii(name)[1:-1]}: not offered by "
                f"{', '.join(registry.label for registry in registries)}; {advice}.",
                *failures,
            ]
        )
    )


def pull_address(address: str, reporter=None) -> Path:
    """Return the folder of the entry at hf://OWNER/REPOSITORY[/NAME][@REVISION], pulling its newest version.

    NAME may be left out when the repository holds one entry. With $CLAMNET_TF_OFFLINE the entry is one that
    was pulled before.

    Raises:
        ZooError: The address has another form, the repository holds no such entry, or several and no NAME is
            given; or the download failed.
    """
    match = _ENTRY_ADDRESS.fullmatch(address)
    if not match:
        raise ZooError(f"{address!r}: expected hf://OWNER/REPOSITORY, /NAME and @REVISION are optional.")
    registry, name = open_registry(match[1] + (match[3] or "")), match[2]
    offers = _pulled(registry.folder) if is_offline() else registry.listing()
    names = {offer.name for offer in offers}
    if name is None and len(names) == 1:
        (name,) = names
    if name not in names:
        received = "none" if name is None else name
        raise ZooError(
            f"{address}: expected the name of an entry there ({', '.join(sorted(names)) or 'it holds none'}"
            f"{', among those pulled before' if is_offline() else ''}); received {received}. Write "
            f"{registry.label}/NAME."
        )
    offer = max((offer for offer in offers if offer.name == name), key=lambda offer: offer.version)
    return pull_entry(registry, offer, reporter)


def _pulled(folder: Path) -> list:
    """Return the entries that were pulled from a registry before; they can stand for its offers."""
    return [read_entry(path) for path in folder.glob("*") if _is_whole(path)]


def pull_entry(registry, offer, reporter=None) -> Path:
    """Return the folder of an offer, downloading it unless it is there already.

    The folder is complete and checked, or it does not exist at all.

    Raises:
        ZooError: The download failed; or the registry has other files under the version that was pulled.
    """
    final = registry.folder / f"{offer.name}-{offer.version}"
    with _alone(make_folder(registry.folder) / f".{final.name}.lock", offer, reporter):
        if _is_whole(final):
            if not is_offline():
                check_unchanged(final, offer, registry)
            return final
        check_online(offer.name)
        if final.exists():  # damaged since it was pulled
            with writing(final):
                shutil.rmtree(final)
        with atomic_path(final) as folder:
            folder.mkdir()
            registry.fetch(offer, folder, reporter)
            _check_pulled(folder, offer, registry)
    return final


@contextlib.contextmanager
def _alone(path: Path, offer, reporter):
    """Hold the lock of an entry; wait for another process that downloads it."""
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if reporter is not None:
            reporter.line(f"Another process is pulling {offer.name}; waiting for it.")
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except filelock.Timeout as error:
            raise ZooError(
                f"{offer.name}: another process has been pulling it for {LOCK_SECONDS / 60:.0f} min "
                f"({path}). Stop that process, or try later."
            ) from error
    try:
        yield
    finally:
        lock.release()


def _is_whole(folder: Path) -> bool:
    """Return whether a folder is an entry with the weights it declares."""
    try:
        return is_entry(folder) and bool(check_weights(folder, read_entry(folder)))
    except ZooError:
        return False


def _check_pulled(folder: Path, offer, registry) -> None:
    """Raise ZooError unless the entry is the one that was offered and has the weights it declares."""
    entry = read_entry(folder)
    if (entry.name, entry.version) != (offer.name, offer.version):
        raise ZooError(
            f"{registry.label}: expected {offer.name} version {offer.version}, as offered; received "
            f"{entry.name} version {entry.version}. It was not kept."
        )
    check_weights(folder, entry)
