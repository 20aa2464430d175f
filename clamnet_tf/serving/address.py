"""Where a model is served: http://HOST:PORT/v1/models/NAME, or grpc://HOST:PORT/NAME."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from clamnet_tf.errors import UserInputError

EXAMPLES = "http://HOST:8501/v1/models/NAME, or grpc://HOST:8500/NAME"
_REST_PATH = re.compile(r"(?P<before>.*)/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>[0-9]+))?/?")
_GRPC_PATH = re.compile(r"/(?P<name>[^/:]+)(/(versions/)?(?P<version>[0-9]+))?/?")


@dataclass(frozen=True)
class Address:
    """text: as it was given; scheme: http, https or grpc; host: with port; path: what stands between host and
    /v1 (http).
    """

    text: str
    scheme: str
    host: str
    name: str
    version: int | None = None
    path: str = ""

    @property
    def url(self) -> str:
        """Of the model, for http and https."""
        return f"{self.scheme}://{self.host}{self.path}/v1/models/{self.name}" + (
            "" if self.version is None else f"/versions/{self.version}"
        )


def parse_address(text: str) -> Address:
    """UserInputError for anything but the two forms above, with /versions/N behind the name for one
    version.
    """
    parts = urlsplit(text)
    pattern = {"http": _REST_PATH, "https": _REST_PATH, "grpc": _GRPC_PATH}.get(parts.scheme)
    found = pattern.fullmatch(parts.path) if pattern else None
    if not found or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise UserInputError(f"--server {text}: expected {EXAMPLES}.")
    try:
        port = parts.port
    except ValueError as error:
        raise UserInputError(f"--server {text}: {error}; expected {EXAMPLES}.") from error
    if port is None and parts.scheme == "grpc":
        raise UserInputError(f"--server {text}: the port is missing; expected {EXAMPLES}.")
    version = found["version"]
    return Address(
        text,
        parts.scheme,
        parts.netloc,
        found["name"],
        None if version is None else int(version),
        found.groupdict().get("before") or "",
    )
