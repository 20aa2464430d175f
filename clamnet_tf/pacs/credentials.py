"""Find the credentials for an archive: in variables of the environment, or in the user's file netrc.

    CLAMNET_TF_DICOMWEB_TOKEN                bearer token
    CLAMNET_TF_DICOMWEB_USER, ..._PASSWORD   basic authentication
    CLAMNET_TF_DICOMWEB_CERTIFICATE          client's certificate with its key (PEM), for mutual TLS

The same names with CLAMNET_TF_DICOMWEB_SEND_ in front are those of the archive of `--send`, when that is on
another host; a token never goes to a host that it was not set for. REQUESTS_CA_BUNDLE names the certificates
of a hospital's own authority, as everywhere in Python's requests.
"""

import os
from pathlib import Path

from clamnet_tf.errors import UserInputError
from clamnet_tf.pacs.address import ArchiveAddress

SOURCE, DESTINATION = "CLAMNET_TF_DICOMWEB_", "CLAMNET_TF_DICOMWEB_SEND_"
_NAMES = ("TOKEN", "USER", "PASSWORD", "CERTIFICATE")


def open_session(address: ArchiveAddress, prefix: str = SOURCE):
    """Return a requests.Session with the credentials for an archive, which follows no redirects.

    Args:
        address: Address of the archive.
        prefix: SOURCE or DESTINATION, the beginning of the variables' names.

    Raises:
        UserInputError: The variables contradict each other, or a file that they name is missing.
    """
    import requests
    from requests.adapters import HTTPAdapter
    from requests.auth import HTTPBasicAuth

    class PlainWildcards(HTTPAdapter):
        """Send the wild cards * and ? of a search as they are, which RFC 3986 allows: not all archives decode
        %2A and %3F.
        """

        def send(self, request, *arguments, **options):
            path, mark, query = request.url.partition("?")
            request.url = path + mark + query.replace("%2A", "*").replace("%3F", "?")
            return super().send(request, *arguments, **options)

    values = {name: os.environ.get(prefix + name, "") for name in _NAMES}
    if values["TOKEN"] and values["USER"]:
        raise UserInputError(
            f"{prefix}TOKEN, {prefix}USER: expected one of them, a token or a user; received both."
        )
    if bool(values["USER"]) != bool(values["PASSWORD"]):
        raise UserInputError(f"{prefix}USER, {prefix}PASSWORD: expected both of them; received only one.")
    if any(not sign.isprintable() or sign == " " for sign in values["TOKEN"]):
        raise UserInputError(f"{prefix}TOKEN: expected a token without spaces and line breaks.")
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, PlainWildcards())
    session.max_redirects = 0  # images of patients go to the given address and nowhere else
    if values["TOKEN"]:
        session.auth = _Bearer(values["TOKEN"])
    elif values["USER"]:
        session.auth = HTTPBasicAuth(values["USER"].encode(), values["PASSWORD"].encode())
    if values["CERTIFICATE"]:
        if not Path(values["CERTIFICATE"]).is_file():
            raise UserInputError(f"{prefix}CERTIFICATE: {values['CERTIFICATE']}: there is no such file.")
        session.cert = values["CERTIFICATE"]
    return session


def unprotected(address: ArchiveAddress) -> str:
    """Return a warning when data would leave this machine without TLS, else ''."""
    if address.encrypted or address.host in ("localhost", "127.0.0.1", "::1"):
        return ""
    return (
        f"Warning: {address.text} is used without TLS: images, results and credentials can be read on the "
        f"way. Use dicomweb:// where the archive offers TLS."
    )


class _Bearer:
    """Add a bearer token to requests (RFC 6750). As `auth` of a session it also keeps netrc from replacing
    it.
    """

    def __init__(self, token: str):
        self._token = token

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
