"""Answers of a model server that are no probabilities, sent by a real socket: refused by name, in bounded
time and memory.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from clamnet_tf.errors import ClamnetError, ServerFailure, UserInputError
from clamnet_tf.serving.address import parse_address
from clamnet_tf.serving.identity import Identity
from clamnet_tf.serving.rest_model import RestModel
from clamnet_tf.serving.served_probability import ServedProbability

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from fuzzing.seeds import http
from fuzzing.targets import _Server

IDENTITY = Identity("0" * 64, "1" * 64, "mean")
MAP = [[0.25] * 8 for _ in range(8)]


def ask(content, slices=2):
    """What the client makes of these bytes on the wire."""
    with _Server(content) as server:
        model = RestModel(
            parse_address(f"http://127.0.0.1:{server.port}/v1/models/m"), timeout=(2.0, 3.0), waits=()
        )
        return ServedProbability(model, IDENTITY, side=8)(np.zeros((slices, 8, 8, 1), np.float32))


def body(*maps, identity=IDENTITY.text):
    return json.dumps({"predictions": [{"probability": one, "identity": identity} for one in maps]}).encode()


def with_value(text):
    return body(MAP, MAP).replace(b"0.25", text.encode(), 1)


def test_a_right_answer_is_taken():
    assert np.array_equal(ask(http(200, body(MAP, MAP))), np.full((2, 8, 8, 1), 0.25, np.float32))


def test_rounding_is_not_an_error():
    assert ask(http(200, with_value("1.00001"))).max() == 1.0


@pytest.mark.parametrize(
    "value, told",
    [
        ("NaN", "the number NaN"),
        ("Infinity", "the number Infinity"),
        ("1e400", "a number beyond the range of a 64-bit float"),
        ("1.5", "values from 0.25 to 1.5 as probability; expected 0 to 1"),
        ("-0.5", "values from -0.5 to 0.25"),
        ('"x"', "the answer is no prediction"),
        ("null", "values from nan to nan|the answer is no prediction"),
        ("[0.25]", "the answer is no prediction"),
        ("9" * 5000, "a number of 5000 characters"),
    ],
)
def test_values_that_are_no_probabilities(value, told):
    with pytest.raises(ClamnetError, match=told):
        ask(http(200, with_value(value)))


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"predictions": ' + b"[" * 5000,
        b"{}",
        b"[]",
        b"null",
        b'{"predictions": 3}',
        b'{"predictions": [1, 2]}',
        b'{"predictions": [{}, {}]}',
        b'{"predictions": [{"probability": [[0.25]]}, {"other": 1}]}',
        b"\xff\xfe",
        b"",
    ],
)
def test_json_that_is_no_prediction(content):
    with pytest.raises((ServerFailure, UserInputError), match="is no prediction|the model gives"):
        ask(http(200, content))


@pytest.mark.parametrize(
    "identity", [3, None, ["a"], {"a": 1}, "", "x" * 100_000, "recipe=0 model=1 head=2 flip_views=no more=1"]
)
def test_identities_of_a_wrong_type(identity):
    with pytest.raises(
        (ServerFailure, UserInputError), match="identifies itself as|is no prediction"
    ) as caught:
        ask(http(200, body(MAP, MAP, identity=identity)))
    assert len(str(caught.value)) < 2000


def test_too_few_maps():
    with pytest.raises(ServerFailure, match="1 predictions for 2 slices"):
        ask(http(200, body(MAP)))


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:1/", "https://elsewhere.example/", "http://[::1", "\xff", "/v1/other"]
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status, location):
    """Slices of patients go where they were sent, and nowhere else."""
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\n"
    answer = f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode("latin-1")
    with pytest.raises(
        ServerFailure, match="the server redirects to .*, which is not followed|the request failed: "
    ):
        ask(answer)


def test_answers_are_bounded():
    with pytest.raises(ServerFailure, match="expected an answer of at most 1,000,000 bytes"):
        ask(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * 3_000_000)


def test_compressed_answers_do_not_grow():
    import gzip

    packed = gzip.compress(bytes(200_000_000), 1)
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\nConnection: "
        f"close\r\n\r\n"
    )
    with pytest.raises(ServerFailure, match="expected an answer of at most"):
        ask(head.encode() + packed)


@pytest.mark.parametrize("shape", [[2, 8, 8], [10**6, 10**6], [2], [], [-1, 8, 8], [3, 8, 8]])
def test_grpc_shapes_are_checked_before_they_are_filled(shape):
    """A message of one number may announce terabytes of it."""
    pytest.importorskip("tensorflow_serving")
    from tensorflow.core.framework import tensor_pb2

    from clamnet_tf.serving.grpc_model import _values

    proto = tensor_pb2.TensorProto(dtype=1, float_val=[0.5])
    for side in shape:
        proto.tensor_shape.dim.add(size=side)
    images = np.zeros((2, 8, 8, 1), np.float32)
    if shape in ([2, 8, 8], [2]):
        assert _values(proto, images).shape == tuple(shape)
    else:
        with pytest.raises(ValueError, match="an output of shape|predictions for 2 slices"):
            _values(proto, images)
