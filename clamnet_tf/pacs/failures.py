"""Say in words what went wrong between this program and an archive."""

import contextlib

from clamnet_tf.errors import ClamnetError, DataError, ServerFailure
from clamnet_tf.pacs.address import ArchiveAddress
from clamnet_tf.serving.retrying import Busy

_AGAIN = (408, 429, 502, 503, 504)
_UNAUTHORISED, _FORBIDDEN, _MISSING, _TOO_LARGE = 401, 403, 404, 413
_CREDENTIALS = "CLAMNET_TF_DICOMWEB_TOKEN, or ..._USER and ..._PASSWORD, or the file netrc"


@contextlib.contextmanager
def translated(address: ArchiveAddress, what: str):
    """Turn errors of requests and dicomweb-client inside the block into named ones.

    Args:
        address: Address of the archive.
        what: What was asked for, for messages.

    Raises:
        Busy: The request may be sent again.
        DataError: This study, series or image cannot be had; others may.
        ServerFailure: The archive cannot be used.
    """
    from pydicom.errors import InvalidDicomError
    from requests import exceptions

    wrong: tuple[type[Exception], ...] = (exceptions.RequestException, InvalidDicomError, EOFError)
    wrong += (ValueError, LookupError, TypeError, AttributeError)
    where = address.text
    try:
        yield
    except (ClamnetError, Busy):
        raise
    except exceptions.HTTPError as error:
        raise _of_status(where, what, error.response) from error
    except exceptions.TooManyRedirects as error:
        target = (
            error.response.headers.get("Location", "nowhere") if error.response is not None else "nowhere"
        )
        raise ServerFailure(
            f"{where}: the archive redirects to {ascii(target)[:200]}, which is not followed. If that "
            f"address is right, use it."
        ) from error
    except exceptions.SSLError as error:
        raise ServerFailure(
            f"{where}: TLS fails ({innermost(error)}). For a certificate of your hospital's own "
            f"authority, set REQUESTS_CA_BUNDLE to the file of that authority."
        ) from error
    except exceptions.Timeout as error:
        raise Busy("no answer in time") from error
    except (exceptions.ConnectionError, exceptions.ChunkedEncodingError) as error:
        raise Busy(f"cannot connect: {innermost(error)}") from error
    except wrong as error:
        raise ServerFailure(
            f"{where}: {what}: the answer is not what DICOMweb defines ({innermost(error)}). Check that the "
            f"address is that of a DICOMweb service."
        ) from error
    except OSError as error:  # of requests without a class of its own, such as a missing CA bundle
        raise ServerFailure(f"{where}: {what}: {innermost(error)}.") from error


def innermost(error) -> str:
    """Return the message of the innermost cause, as printable text."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return "".join(sign if sign.isprintable() else " " for sign in str(error))[:200]


def _of_status(where: str, what: str, response) -> Exception:
    """Return the error for an answer with an HTTP status that says failure."""
    status = response.status_code
    if status in _AGAIN:
        asked = response.headers.get("Retry-After", "")
        return Busy(f"HTTP {status}", float(asked) if asked.isdecimal() and len(asked) < 10 else None)
    if status == _UNAUTHORISED:
        return ServerFailure(
            f"{where}: the archive asks for credentials, or does not accept those given (HTTP 401). Give "
            f"them by {_CREDENTIALS}."
        )
    if status == _FORBIDDEN:
        return ServerFailure(
            f"{where}: {what}: this user may not do that (HTTP 403). Ask the administrator of the archive."
        )
    if status == _MISSING and what == "search":
        return ServerFailure(
            f"{where}: there is no DICOMweb service at this address (HTTP 404). Check the path."
        )
    if status == _TOO_LARGE:
        return DataError(f"{where}: {what}: too large for the archive (HTTP 413).")
    return DataError(f"{where}: {what}: the archive fails with HTTP {status}.")
