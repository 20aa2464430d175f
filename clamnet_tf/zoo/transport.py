"""Download files over https, for pooch.

An interrupted download continues (HTTP Range), a server that stalls is given up, sizes are limited. pooch
compares the sha256 and moves the file into place. The part that was already received lies in `parts`; its
name is the sha256 of the complete file, so it is never continued with another file's bytes.
"""

import ipaddress
import os
import time
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pooch
import requests
import urllib3

from clamnet_tf.decoding import reason_of
from clamnet_tf.errors import ZooError
from clamnet_tf.files import make_folder, writing

OFFLINE_VARIABLE = "CLAMNET_TF_OFFLINE"
TIMEOUT_SECONDS = 20.0  # without a byte
MOST_REDIRECTS = 5
ATTEMPTS = 4  # in a row that get nowhere
MOST_ATTEMPTS = 100  # of a server that sends a little each time
SLOWEST = 1000  # bytes per second, after the first TIMEOUT_SECONDS
CHUNK = 1 << 16
CUT = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)


class Interrupted(Exception):
    """Report that the connection broke or stalled, or that the server had a passing fault: worth another
    attempt.
    """


def is_offline() -> bool:
    """Return whether $CLAMNET_TF_OFFLINE forbids the network."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


def check_online(purpose: str) -> None:
    """Raise ZooError when the network is forbidden."""
    if is_offline():
        raise ZooError(
            f"{purpose}: {OFFLINE_VARIABLE} is set, so nothing is downloaded. Unset it, or name an entry "
            f"that is on this machine."
        )


def check_address(url: str, came_from: str | None = None) -> str:
    """Return `url` if it may be requested: https, or http on this machine; never a step down from https to
    http.

    Args:
        url: Address.
        came_from: Address that redirected to it, or None.

    Raises:
        ZooError: Any other address, also one with a user name or password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ZooError(f"{url!r}: not an address ({error}).") from error
    via = f" (redirected from {came_from})" if came_from else ""
    if parts.username or parts.password:
        raise ZooError(
            f"{parts.scheme}://...@{host}{via}: expected an address without user name and password."
        )
    secure = parts.scheme == "https" and host
    local = (
        parts.scheme == "http"
        and _is_loopback(host)
        and not (came_from and urlsplit(came_from).scheme == "https")
    )
    if not (secure or local):
        raise ZooError(
            f"{url!r}{via}: expected an address that begins with https://; no other is used for downloads."
        )
    return url


def _is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Transport:
    """Request files under these rules.

    Args:
        parts: Folder of unfinished downloads.
        timeout_seconds: Seconds without a byte before a connection is given up.
    """

    def __init__(self, parts: Path, timeout_seconds: float = TIMEOUT_SECONDS):
        self.parts, self.timeout_seconds = Path(parts), timeout_seconds
        self.session = requests.Session()

    def text(self, url: str, largest: int) -> bytes:
        """Return the content of a small file.

        Raises:
            ZooError: The file has more than `largest` bytes, or cannot be downloaded.
        """
        check_online(url)
        content = bytearray()

        def attempt():
            content.clear()
            with self._open(url) as response:
                for piece in self._pieces(response, url):
                    content.extend(piece)
                    if len(content) > largest:
                        raise ZooError(f"{url}: expected at most {largest} bytes; the server sends more.")

        self._persist(url, attempt, lambda: 0)
        return bytes(content)

    def file(self, url: str, target: Path, *, size: int, sha256: str, progress=lambda done: None) -> None:
        """Download a file to `target`.

        Args:
            url: Address of the file.
            target: Path to write.
            size: Declared size in bytes.
            sha256: Declared sha256.
            progress: Called with the number of bytes received so far.

        Raises:
            ZooError: The server sends other bytes than declared, or cannot be reached; what was received is
                kept.
        """
        check_online(url)
        part = make_folder(self.parts) / f"{sha256}.part"
        for again in (part.exists(), False):  # a part that was continued may be at fault
            try:
                pooch.get_logger().setLevel("ERROR")
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{sha256}",
                    fname=target.name,
                    path=target.parent,
                    downloader=lambda _, output, __: self._receive(url, part, Path(output), size, progress),
                )
                return
            except ValueError as error:
                part.unlink(missing_ok=True)
                if not again:
                    raise ZooError(
                        f"{url}: expected a file with sha256 {sha256}; the server sent other bytes. The "
                        f"registry's index and files do not agree."
                    ) from error

    def _receive(self, url: str, part: Path, output: Path, size: int, progress) -> None:
        """Continue `part` until it has `size` bytes, then move it to `output`."""

        def length():
            return part.stat().st_size if part.exists() else 0

        def attempt():
            start = length()
            if start > size:
                part.unlink()
                start = 0
            if start == size:
                return
            with self._open(url, start) as response, writing(part), open(part, "ab", buffering=0) as stream:
                if start and not _continues(response, start, size):
                    stream.truncate(0)
                    start = 0
                for piece in self._pieces(response, url):
                    if start + len(piece) > size:
                        raise ZooError(
                            f"{url}: expected {size} bytes, as the index declares; the server sends more."
                        )
                    stream.write(piece)
                    start += len(piece)
                    progress(start)
            if start < size:
                raise Interrupted(f"the connection was cut after {start} of {size} bytes")

        self._persist(url, attempt, length)
        with writing(output):
            os.replace(part, output)

    def _persist(self, url: str, attempt, length) -> None:
        """Repeat `attempt` until it succeeds; an attempt that advances by less than CHUNK counts as a
        failure.
        """
        failures, reached = 0, length()
        for attempt_count in range(1, MOST_ATTEMPTS + 1):  # noqa: B007 - the message names it
            try:
                return attempt()
            except Interrupted as error:
                reason = str(error)
            failures = 1 if length() >= reached + CHUNK else failures + 1
            reached = length()
            if failures >= ATTEMPTS:
                break
            time.sleep(min(0.2 * 2**failures, 5))
        raise ZooError(
            f"{url}: cannot be downloaded: {reason} ({attempt_count} attempts). What was received is kept; "
            f"the same command continues."
        )

    def _open(self, url: str, start: int = 0):
        """Return an open response, status 200 or 206, after redirects that keep to the rules."""
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        came_from = None
        for _ in range(MOST_REDIRECTS + 1):
            check_address(url, came_from)
            try:
                response = self.session.get(
                    url, headers=headers, stream=True, timeout=self.timeout_seconds, allow_redirects=False
                )
            except requests.exceptions.SSLError as error:
                raise ZooError(f"{url}: the server's certificate cannot be trusted ({error}).") from error
            except CUT as error:
                raise Interrupted(_words(error)) from error
            except (ValueError, UnicodeError) as error:  # of names that are no host names
                raise ZooError(f"{url[:200]!a}: not an address ({reason_of(error)}).") from error
            if response.is_redirect:
                response.close()
                came_from, url = url, join(url, response.headers["Location"])
                continue
            if response.status_code in (200, 206):
                return response
            response.close()
            if response.status_code == 429 or response.status_code >= 500:
                raise Interrupted(f"the server answers {response.status_code} {response.reason}")
            raise ZooError(
                f"{url}: cannot be downloaded: the server answers {response.status_code} {response.reason}. "
                f"Check the registry's address."
            )
        raise ZooError(f"{url}: redirected more than {MOST_REDIRECTS} times.")

    def _pieces(self, response, url):
        """Yield bytes as they arrive.

        Raises:
            Interrupted: No more bytes arrive, or on average fewer than SLOWEST bytes per second.
        """
        began, received = time.monotonic(), 0
        while True:
            try:
                piece = response.raw.read1(CHUNK, decode_content=False)
            except CUT as error:
                raise Interrupted(_words(error)) from error
            if not piece:
                return
            yield piece
            received += len(piece)
            if time.monotonic() - began > self.timeout_seconds + received / SLOWEST:
                raise Interrupted(f"the server sends less than {SLOWEST} bytes per second")


def join(url: str, location: str) -> str:
    """Return the address that `location` means on the page `url`. Raises ZooError when it is none."""
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise ZooError(
            f"{url}: leads to {location[:200]!a}, which is no address ({reason_of(error)})."
        ) from error


def _continues(response, start: int, size: int) -> bool:
    """Return whether the answer begins at byte `start` of a file of `size` bytes."""
    return (
        response.status_code == 206
        and response.headers.get("Content-Range", "") == f"bytes {start}-{size - 1}/{size}"
    )


def _words(error: Exception) -> str:
    """Say what happened, without the library's internal names."""
    if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        return "the server did not answer in time"
    return f"the connection failed ({type(error).__name__})"
