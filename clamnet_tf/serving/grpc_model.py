"""Call a model through TensorFlow Serving's gRPC interface. Numbers are transferred exactly."""

import functools
import math

import numpy as np

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import EnvironmentFailure, ServerFailure
from clamnet_tf.serving.address import Address
from clamnet_tf.serving.refusals import too_slow, unfit_slices, unknown_model
from clamnet_tf.serving.retrying import WAITS_SECONDS, Busy, attempt

LARGEST_ANSWER = 128_000_000  # bytes; the maps of 16 MB of slices take 16 MB
_MOST_OUTPUTS = 64  # values of an output per value of a slice
_OPTIONS = [("grpc.max_receive_message_length", LARGEST_ANSWER), ("grpc.max_send_message_length", -1)]


class GrpcModel:
    """Request predictions of one signature with one input.

    Args:
        address: Address of the model.
        timeout: Seconds to wait for an answer.
        waits: Seconds to wait before each further attempt.
    """

    def __init__(self, address: Address, *, timeout: float = 300.0, waits=WAITS_SECONDS):
        try:
            import grpc
            from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
        except ImportError as error:
            raise EnvironmentFailure(
                f"grpc:// needs tensorflow-serving-api, which cannot be loaded ({error}). Install it: pip "
                f"install 'clamnet-tf[serving]'."
            ) from error
        self.address, self.timeout, self.waits = address, timeout, waits
        self._grpc, self._messages = grpc, predict_pb2
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(
            grpc.insecure_channel(address.host, options=_OPTIONS)
        )

    def predict(self, signature: str, name: str, images: np.ndarray, most_bytes: int):
        """Yield the outputs of slices, part by part, like RestModel.predict."""
        rows = max(1, most_bytes // max(1, images[0].nbytes if len(images) else 1))
        for start in range(0, len(images), rows):
            part = images[start : start + rows]
            request = self._request(signature, name, part)
            answer = attempt(functools.partial(self._ask, request), self.address.text, self.waits)
            with decoding(self._no_prediction):
                outputs = {key: _values(value, part) for key, value in answer.outputs.items()}
            yield outputs

    def _no_prediction(self, reason: str) -> ServerFailure:
        """Return the error for an answer that is no prediction."""
        return ServerFailure(
            f"{self.address.text}: the answer is no prediction ({reason}). Check that the address is that "
            f"of a model server."
        )

    def _request(self, signature: str, name: str, images: np.ndarray):
        """Build the request for some slices."""
        import tensorflow as tf

        request = self._messages.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self.address.name, signature
        if self.address.version is not None:
            request.model_spec.version.value = self.address.version
        request.inputs[name].CopyFrom(tf.make_tensor_proto(images, dtype=tf.float32))
        return request

    def _ask(self, request):
        """Send a request and return the answer."""
        try:
            return self._stub.Predict(request, timeout=self.timeout)
        except self._grpc.RpcError as error:
            raise self._translated(error) from error

    def _translated(self, error) -> Exception:
        """Turn a gRPC error into an error of this package."""
        code, codes, where = error.code(), self._grpc.StatusCode, self.address.text
        reason = (error.details() or "no reason given")[:300]
        if code == codes.RESOURCE_EXHAUSTED and "larger than max" in reason:
            return ServerFailure(
                f"{where}: expected an answer of at most {LARGEST_ANSWER:,} bytes, enough for predictions "
                f"of these slices; received more."
            )
        if code in (codes.UNAVAILABLE, codes.RESOURCE_EXHAUSTED):
            return Busy(f"{code.name}: {reason}")
        if code == codes.NOT_FOUND:
            return unknown_model(where, reason)
        if code in (codes.INVALID_ARGUMENT, codes.FAILED_PRECONDITION):
            return unfit_slices(where, reason)
        if code == codes.DEADLINE_EXCEEDED:
            return too_slow(where, self.timeout)
        return ServerFailure(f"{where}: the server fails with {code.name} ({reason}).")


def _values(proto, images: np.ndarray):
    """Return an output as an array, or as a list of texts.

    Raises:
        ValueError: It has more values than slices of that size can have, or not one row per slice.
    """
    import tensorflow as tf

    shape = [item.size for item in proto.tensor_shape.dim]
    if (
        proto.tensor_shape.unknown_rank
        or min(shape, default=0) < 0
        or math.prod(shape) > max(images.size, len(images)) * _MOST_OUTPUTS
    ):
        raise ValueError(f"an output of shape {str(shape)[:100]} for slices of shape {images.shape}")
    if shape[:1] != [len(images)]:
        raise ValueError(f"{shape[0] if shape else 'one'} predictions for {len(images)} slices")
    array = tf.make_ndarray(proto)
    return (
        [bytes(item).decode("utf-8", "replace") for item in array.ravel()] if array.dtype == object else array
    )
