"""Parse the address of a served model: http://HOST:PORT/v1/models/NAME, or grpc://HOST:PORT/NAME."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from clamnet_tf.errors import UserInputError

EXAMPLES = "http://HOST:8501/v1/models/NAME, or grpc://HOST:8500/NAME"
_REST_PATH = re.compile(r"(?P<before>.*)/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>[0-9]+))?/?")
_GRPC_PATH = re.compile(r"/(?P<name>[^/:]+)(/(versions/)?(?P<version>[0-9]+))?/?")


@dataclass(frozen=True)
class Address:
    """Hold the address of a served model.

    Attributes:
        text: The address as it was given.
        scheme: "http", "https" or "grpc".
        host: Host with port.
        name: Name of the model.
        version: Version of the model; None: the newest.
        path: Path between host and /v1 (http and https).
    """

    text: str
    scheme: str
    host: str
    name: str
    version: int | None = None
    path: str = ""

    @property
    def url(self) -> str:
        """Return the URL of the model, for http and https."""
        return f"{self.scheme}://{self.host}{self.path}/v1/models/{self.name}" + (
            "" if self.version is None else f"/versions/{self.version}"
        )


def parse_address(text: str) -> Address:
    """Parse an address in one of the two forms above, with /versions/N after the name for one version.

    Raises:
        UserInputError: The address has another form.
    """
    parts = urlsplit(text)
    pattern = {"http": _REST_PATH, "https": _REST_PATH, "grpc": _GRPC_PATH}.get(parts.scheme)
    match = pattern.fullmatch(parts.path) if pattern else None
    if not match or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise UserInputError(f"--server {text}: expected {EXAMPLES}.")
    try:
        port = parts.port
    except ValueError as error:
        raise UserInputError(f"--server {text}: {error}; expected {EXAMPLES}.") from error
    if port is None and parts.scheme == "grpc":
        raise UserInputError(f"--server {text}: the port is missing; expected {EXAMPLES}.")
    version = match["version"]
    return Address(
        text,
        parts.scheme,
        parts.netloc,
        match["name"],
        None if version is None else int(version),
        match.groupdict().get("before") or "",
    )
