"""Receive images by C-STORE and send results by C-STORE (PS3.4 Annex B) with pynetdicom."""

import re
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clamnet_tf.errors import DataError, EnvironmentFailure, ServerFailure, UserInputError
from clamnet_tf.files import atomic_path
from clamnet_tf.pacs.address import is_uid
from clamnet_tf.serving.retrying import WAITS_SECONDS, Busy, attempt

EXAMPLE = "dicom://AETITLE@HOST:104"
_PEER = re.compile(
    r"dicom://(?P<title>(?! *@)[ -.0-?A-[\]-~]{1,16})"  # PS3.5 6.2: no backslash, not blank
    r"@(?P<host>[^@/:]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]{1,5})/?"
)
_LARGEST_PORT = 65535
_SUCCESS, _WARNINGS = 0x0000, range(0xB000, 0xC000)  # status codes, PS3.4 B.2.3
_NOT_UNDERSTOOD, _NO_SPACE = 0xC000, 0xA700
_OWN = "clamnet-tf"  # Manufacturer of results
_TIMEOUT_SECONDS = 60.0
#: What decoding a damaged data set raises.
_DAMAGED: tuple[type[Exception], ...] = (
    *(AttributeError, LookupError, TypeError, ValueError, ArithmeticError, EOFError, struct.error),
    *(NotImplementedError, RecursionError, MemoryError),
)


def require_pynetdicom():
    """Return the module pynetdicom. Raises EnvironmentFailure when it is not installed."""
    try:
        import pynetdicom
    except ImportError:
        raise EnvironmentFailure(
            "Receiving and sending images needs the package pynetdicom, which is not installed. Run: pip "
            "install 'clamnet-tf[pacs]'"
        ) from None
    return pynetdicom


@dataclass(frozen=True)
class PeerAddress:
    """Hold the address of a DICOM application entity.

    Attributes:
        text: The address as it was given.
        title: AE title.
        host: Host.
        port: TCP port.
    """

    text: str
    title: str
    host: str
    port: int


def parse_peer(text: str) -> PeerAddress:
    """Parse dicom://AETITLE@HOST:PORT. Raises UserInputError for another form."""
    match = _PEER.fullmatch(text)
    if not match or not 0 < int(match["port"]) <= _LARGEST_PORT:
        raise UserInputError(f"--send {text}: expected {EXAMPLE}, or dicomweb://HOST/PATH.")
    return PeerAddress(text, match["title"], match["host"].strip("[]"), int(match["port"]))


class Peer:
    """Send objects to an application entity.

    Args:
        address: Address of the peer.
        title: AE title of this program.
        waits: Seconds to wait before each further attempt.
    """

    def __init__(self, address: PeerAddress, title: str, waits=WAITS_SECONDS):
        require_pynetdicom()
        self.address, self._title, self._waits = address, title, waits

    def store(self, path: Path) -> None:
        """Send the DICOM object of a file.

        Raises:
            DataError: The peer refuses this object.
            ServerFailure: The peer cannot be reached or refuses the connection.
        """
        attempt(lambda: self._send(path), self.address.text, self._waits)

    def _send(self, path: Path) -> None:
        import pydicom

        dataset = pydicom.dcmread(path)
        entity = require_pynetdicom().AE(ae_title=self._title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_SECONDS
        entity.connection_timeout = _TIMEOUT_SECONDS
        entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        association = entity.associate(self.address.host, self.address.port, ae_title=self.address.title)
        if association.is_rejected:
            raise ServerFailure(
                f"{self.address.text}: the peer rejects the association. Check both AE titles "
                f"({self._title} calls {self.address.title}) in its configuration."
            )
        if not association.is_established:
            raise Busy("no association")
        try:
            if not association.accepted_contexts:
                raise DataError(
                    f"{self.address.text}: the peer takes no {dataset.SOPClassUID.name}, such as {path.name}."
                )
            status = association.send_c_store(dataset).get("Status")
        finally:
            association.release()
        if status is None:
            raise Busy("no answer to C-STORE")
        if status != _SUCCESS and status not in _WARNINGS:
            raise DataError(
                f"{self.address.text}: the peer refuses the result {path.name} (status {status:04X}H). Look "
                f"into its log."
            )


class Receiver:
    """Receive images by C-STORE and keep them in a folder per study.

    Results of this program, which an archive may forward, are accepted and not kept: they would make a study
    grow without an end.

    An image is on disk when the sender is told that it arrived. A study counts as complete when nothing of it
    has arrived for some time.

    Args:
        folder: Folder for <StudyInstanceUID>/<SOPInstanceUID>.dcm. What lies there from an earlier process
            counts as having arrived when this begins to listen.
        title: AE title of this program.
        callers: AE titles that may send; (): all.

    Attributes:
        on_image: Called without arguments for every image that was stored.
        on_refusal: Called with the reason for every image that was refused.
    """

    def __init__(self, folder: Path, title: str, callers: tuple[str, ...] = ()):
        self.folder, self._title, self._callers = folder, title, callers
        self.on_image: Callable[[], None] = lambda: None
        self.on_refusal: Callable[[str], Any] = lambda reason: None
        self._lock = threading.Lock()
        self._arrived: dict[str, float] = {}
        self._server: Any = None

    def start(self, host: str, port: int) -> None:
        """Begin to listen. Raises EnvironmentFailure when the port cannot be used."""
        with self._lock:
            for path in self.folder.glob("*"):
                if is_uid(path.name):
                    self._arrived[path.name] = time.monotonic()
        pynetdicom = require_pynetdicom()
        entity = pynetdicom.AE(ae_title=self._title)
        entity.require_calling_aet = list(self._callers)
        entity.require_called_aet = True
        for context in pynetdicom.AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, pynetdicom.ALL_TRANSFER_SYNTAXES)
        entity.add_supported_context("1.2.840.10008.1.1")  # verification, C-ECHO
        try:
            self._server = entity.start_server(
                (host, port), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, self._store)]
            )
        except OSError as error:
            raise EnvironmentFailure(
                f"port {port} of {host}: cannot listen there ({error.strerror or error}). Choose another "
                f"--port or --host."
            ) from error

    def stop(self) -> None:
        """Stop to listen."""
        if self._server is not None:
            self._server.shutdown()

    def waiting(self) -> int:
        """Return the number of studies that have arrived and are not taken yet."""
        with self._lock:
            return len(self._arrived)

    def is_waiting(self, study: str) -> bool:
        """Return whether images of a study have arrived since it was taken."""
        with self._lock:
            return study in self._arrived

    def complete(self, quiet_seconds: float) -> list[str]:
        """Return the studies of which nothing has arrived for `quiet_seconds`, the oldest first, and forget
        them until more of them arrives.
        """
        with self._lock:
            now = time.monotonic()
            found = sorted(
                (arrived, study) for study, arrived in self._arrived.items() if now - arrived >= quiet_seconds
            )
            for _, study in found:
                del self._arrived[study]
        return [study for _, study in found]

    def _store(self, event) -> int:
        """Keep one image; the result is the status that the sender gets."""
        sender = str(event.assoc.requestor.ae_title).strip()
        try:
            study = str(event.dataset.StudyInstanceUID)
            instance = str(event.request.AffectedSOPInstanceUID)
            content = event.encoded_dataset()
            maker = str(event.dataset.get("Manufacturer", ""))
        except _DAMAGED as error:  # InvalidDicomError is none of these, and is of files alone
            return self._refuse(
                _NOT_UNDERSTOOD, f"an image from {sender} that cannot be decoded ({type(error).__name__})"
            )
        if not is_uid(study) or not is_uid(instance):
            return self._refuse(
                _NOT_UNDERSTOOD,
                f"an image from {sender}: expected UIDs of study and image, received {study[:70]!r} and "
                f"{instance[:70]!r}",
            )
        if maker == _OWN:
            return _SUCCESS
        try:
            with atomic_path(self.folder / study / f"{instance}.dcm") as temporary:
                temporary.write_bytes(content)
        except (EnvironmentFailure, OSError) as error:
            return self._refuse(_NO_SPACE, f"an image of study {study} that cannot be stored ({error})")
        with self._lock:
            self._arrived[study] = time.monotonic()
        self.on_image()
        return _SUCCESS

    def _refuse(self, status: int, reason: str) -> int:
        """Tell the reason why an image is refused, and return the status for its sender."""
        self.on_refusal(reason)
        return status
