"""A model behind TensorFlow Serving's REST interface, or one that speaks the same (KServe's protocol v1).

Numbers travel as decimal text: exact on the way there; an answer has as many digits as the server prints.
"""

import json

import numpy as np

from clamnet_tf.errors import ServerFailure
from clamnet_tf.serving.address import Address
from clamnet_tf.serving.refusals import too_slow, unfit_slices, unknown_model
from clamnet_tf.serving.retrying import WAITS_SECONDS, Busy, attempt

_AGAIN = (429, 503)


class RestModel:
    """Predictions of one signature with one input. timeout: seconds to connect, and to wait for an answer."""

    def __init__(self, address: Address, *, timeout=(10.0, 300.0), waits=WAITS_SECONDS):
        import requests

        self.address, self.timeout, self.waits = address, timeout, waits
        self._requests, self._session = requests, requests.Session()

    def predict(self, signature: str, name: str, images: np.ndarray, most_bytes: int):
        """(N, ...) float32 -> yields dicts of outputs {name: array or list of str}, in order, for at most `most_bytes` of request each.

        Raises:
            UserInputError: the server has no such model, version or signature, or the slices do not fit it.
            ServerFailure: it cannot be reached, fails, or its answer is no prediction.
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
        response = attempt(lambda: self._post(body.encode()), self.address.text, self.waits)
        try:
            predictions = response.json()["predictions"]
            if len(predictions) != count:
                raise ValueError(f"{len(predictions)} predictions for {count} slices")
            return {key: _column([one[key] for one in predictions]) for key in predictions[0]}
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ServerFailure(f"{self.address.text}: the answer is no prediction ({error}). Check that the address is that of a model server.") from error

    def _post(self, body: bytes):
        errors = self._requests.exceptions
        try:
            response = self._session.post(f"{self.address.url}:predict", data=body, headers={"Content-Type": "application/json"}, timeout=self.timeout)
        except errors.ReadTimeout as error:
            raise too_slow(self.address.text, self.timeout[1]) from error
        except errors.ConnectionError as error:
            raise Busy(f"cannot connect: {_innermost(error)}") from error
        except errors.RequestException as error:
            raise ServerFailure(f"{self.address.text}: the request failed: {_innermost(error)}.") from error
        if response.status_code in _AGAIN:
            asked = response.headers.get("Retry-After", "")
            raise Busy(f"HTTP {response.status_code}", float(asked) if asked.isdecimal() else None)
        if response.status_code != 200:
            raise self._refusal(response)
        return response

    def _refusal(self, response) -> Exception:
        reason = _reason(response)
        if response.status_code == 404:
            return unknown_model(self.address.text, reason)
        if response.status_code == 400:
            return unfit_slices(self.address.text, reason)
        return ServerFailure(f"{self.address.text}: the server fails with HTTP {response.status_code} ({reason}).")


def _column(values: list):
    return values if isinstance(values[0], str) else np.asarray(values, np.float32)


def _reason(response) -> str:
    try:
        content = response.json()
        text = content.get("error") or content.get("detail") or response.text
    except (ValueError, AttributeError):
        text = response.text
    return str(text).strip()[:300] or "no reason given"


def _innermost(error) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return str(error)[:200]
