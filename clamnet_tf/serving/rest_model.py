"""Call a model through TensorFlow Serving's REST interface, or one with the same protocol (KServe's v1).

Numbers are transferred as decimal text: exactly on the way there; an answer has as many digits as the server
prints.
"""

import contextlib
import json
import time

import numpy as np
import urllib3

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ServerFailure
from clamnet_tf.plain_json import plain_json
from clamnet_tf.serving.address import Address
from clamnet_tf.serving.refusals import too_slow, unfit_slices, unknown_model
from clamnet_tf.serving.retrying import WAITS_SECONDS, Busy, attempt

#: Bytes of an answer that are read: at least LEAST_ANSWER, or ANSWER_RATIO times the size of the request.
LEAST_ANSWER, ANSWER_RATIO = 1_000_000, 4
_AGAIN = (429, 503)
_PIECE, _LONGEST_REASON = 1 << 16, 10_000


class RestModel:
    """Request predictions of one signature with one input.

    Args:
        address: Address of the model.
        timeout: Seconds to connect, and to wait for an answer.
        waits: Seconds to wait before each further attempt.
    """

    def __init__(self, address: Address, *, timeout=(10.0, 300.0), waits=WAITS_SECONDS):
        import requests

        self.address, self.timeout, self.waits = address, timeout, waits
        self._requests, self._session = requests, requests.Session()

    def predict(self, signature: str, name: str, images: np.ndarray, most_bytes: int):
        """Yield the outputs of slices, part by part, in order.

        Args:
            signature: Name of the signature.
            name: Name of its input.
            images: (N, ...) float32.
            most_bytes: Largest size of a request.

        Yields:
            {name of an output: array or list of str} of each request.

        Raises:
            UserInputError: The server has no such model, version or signature, or the slices do not fit it.
            ServerFailure: It cannot be reached, fails, or its answer is no prediction.
        """
        head, tail = f'{{"signature_name":{json.dumps(signature)},"instances":[', "]}"
        rows, size = [], len(head) + len(tail)
        for image in images:
            row = f'{{"{name}":{json.dumps(image.tolist(), separators=(",", ":"), allow_nan=False)}}}'
            if rows and size + len(row) + 1 > most_bytes:
                yield self._answer(head + ",".join(rows) + tail, len(rows))
                rows, size = [], len(head) + len(tail)
            rows.append(row)
            size += len(row) + 1
        if rows:
            yield self._answer(head + ",".join(rows) + tail, len(rows))

    def _answer(self, body: str, count: int) -> dict:
        """Send a request and return its outputs."""
        content = attempt(lambda: self._post(body.encode()), self.address.text, self.waits)
        with decoding(self._no_prediction):
            predictions = plain_json(content, self._no_prediction)["predictions"]
            if not isinstance(predictions, list) or not all(
                isinstance(prediction, dict) for prediction in predictions
            ):
                raise ValueError("predictions are expected as a list of named outputs")
            if len(predictions) != count:
                raise ValueError(f"{len(predictions)} predictions for {count} slices")
            return {
                str(key): _column([prediction[key] for prediction in predictions]) for key in predictions[0]
            }

    def _no_prediction(self, reason: str) -> ServerFailure:
        """Return the error for an answer that is no prediction."""
        return ServerFailure(
            f"{self.address.text}: the answer is no prediction ({reason}). Check that the address is that "
            f"of a model server."
        )

    def _post(self, body: bytes) -> bytes:
        """Return the content of the answer.

        Redirects are not followed: slices of patients go to the given address and nowhere else.
        """
        errors = self._requests.exceptions
        try:
            response = self._session.post(
                f"{self.address.url}:predict",
                data=body,
                headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
                timeout=self.timeout,
                allow_redirects=False,
                stream=True,
            )
            with response:
                content = self._content(response, max(LEAST_ANSWER, ANSWER_RATIO * len(body)))
        except errors.ReadTimeout as error:
            raise too_slow(self.address.text, self.timeout[1]) from error
        except errors.ConnectionError as error:
            raise Busy(f"cannot connect: {_innermost(error)}") from error
        except (errors.RequestException, urllib3.exceptions.HTTPError, UnicodeError, ValueError) as error:
            raise ServerFailure(f"{self.address.text}: the request failed: {_innermost(error)}.") from error
        if response.status_code in _AGAIN:
            asked = response.headers.get("Retry-After", "")
            raise Busy(
                f"HTTP {response.status_code}",
                float(asked) if asked.isdecimal() and len(asked) < 10 else None,
            )
        if 300 <= response.status_code < 400:
            raise ServerFailure(
                f"{self.address.text}: the server redirects to "
                f"{ascii(response.headers.get('Location', 'nowhere'))[:200]}, which is not followed. "
                f"If that address is right, give it to --server."
            )
        if response.status_code != 200:
            raise self._refusal(response, content)
        return content

    def _content(self, response, most: int) -> bytes:
        """Return the body of an answer as it was sent, at most `most` bytes, within the time allowed for an
        answer.
        """
        content, ends = bytearray(), time.monotonic() + self._longest()
        for piece in response.iter_content(_PIECE):
            content += piece
            if len(content) > most:
                raise ServerFailure(
                    f"{self.address.text}: expected an answer of at most {most:,} bytes, enough for "
                    f"predictions of these slices; received more."
                )
            if time.monotonic() > ends:
                raise too_slow(self.address.text, self._longest())
        return bytes(content)

    def _longest(self) -> float:
        """Return the seconds allowed for an answer."""
        return self.timeout[1] if isinstance(self.timeout, tuple) else self.timeout

    def _refusal(self, response, content: bytes) -> Exception:
        """Return the error for an answer with another status than 200."""
        reason = _reason(content)
        if response.status_code == 404:
            return unknown_model(self.address.text, reason)
        if response.status_code == 400:
            return unfit_slices(self.address.text, reason)
        return ServerFailure(
            f"{self.address.text}: the server fails with HTTP {response.status_code} ({reason})."
        )


def _column(values: list):
    """Return texts as a list, anything else as float32. Raises ValueError for what is neither."""
    return values if all(isinstance(value, str) for value in values) else np.asarray(values, np.float32)


def _reason(content: bytes) -> str:
    """Return the reason that a server gives, as printable text."""
    text = content[:_LONGEST_REASON].decode("utf-8", "replace")
    with contextlib.suppress(ServerFailure):
        error = plain_json(content[:_LONGEST_REASON], ServerFailure)
        text = (error.get("error") or error.get("detail") or text) if isinstance(error, dict) else text
    text = "".join(sign if sign.isprintable() else " " for sign in str(text)).strip()
    return text[:300] or "no reason given"


def _innermost(error) -> str:
    """Return the message of the innermost cause."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return str(error)[:200]
