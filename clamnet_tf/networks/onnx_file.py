"""Read what an ONNX file contains before it is loaded: metadata, operators, and where its numbers lie.

An ONNX file can name operators of other libraries, hold programs (Loop, If, functions), and point to other
files for its numbers. The network of a run needs none of that, so a file that has any of it is refused. The
file is a protobuf message (onnx.proto of the ONNX standard); the few fields that matter are read here,
because importing the package `onnx` takes longer than everything else that `predict` loads for the network.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import NetworkError
from clamnet_tf.files import open_regular

#: Keys of the file's metadata.
MODEL_SHA256 = "clamnet_tf.model_sha256"
LARGEST = 300_000_000  # bytes, as the unpacked weights of a .keras file
#: Operators that export.onnx_graph writes.
OPERATORS = frozenset(
    """Add AveragePool BatchNormalization Clip Concat Conv ConvTranspose Div Elu Erf GlobalMaxPool
    InstanceNormalization LeakyRelu MaxPool Mul Relu Reshape Resize Sigmoid Softmax Softplus Sub Sum Tanh
    Transpose""".split()
)
_STANDARD = ("", "ai.onnx")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class OnnxContent(NamedTuple):
    """Hold a checked file: its bytes, its metadata, and its sha256."""

    data: bytes
    metadata: dict[str, str]
    sha256: str


def read_onnx(path) -> OnnxContent:
    """Read and check an ONNX file; nothing of it is run.

    Raises:
        NetworkError: it cannot be read, is no ONNX file, or has operators, programs or references to other
        files
            that the network of a run does not need.
    """
    path = Path(path)
    try:
        with open_regular(path) as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise NetworkError(f"{path}: cannot be read: {error.strerror}.") from error
    if len(data) > LARGEST:
        raise NetworkError(f"{path}: expected at most {LARGEST:,} bytes; it is larger.")
    with decoding(lambda reason: _not_onnx(path, reason)):
        metadata = _checked_model(path, memoryview(data))
    return OnnxContent(data, metadata, hashlib.sha256(data).hexdigest())


def _not_onnx(path, reason: str) -> NetworkError:
    return NetworkError(
        f"{path}: cannot be read as an ONNX file ({reason.splitlines()[0][:200] if reason else 'damaged'}). "
        f"Make it again with clamnet-tf zoo onnx, or delete it and use --engine tensorflow."
    )


def _refused(path, what: str) -> NetworkError:
    return NetworkError(
        f"{path}: has {ascii(what)[1:-1][:120]}, which the network of a run does not need. It was not "
        f"loaded. Only use files whose source you trust."
    )


def _checked_model(path, message: memoryview) -> dict[str, str]:
    """Check a ModelProto and return its metadata."""
    metadata: dict[str, str] = {}
    graphs = 0
    for field, value in _fields(message):
        if field == 7:
            graphs += 1
            _check_graph(path, value)
        elif field == 14:
            entry = {number: _text(text) for number, text in _fields(value)}
            metadata[entry.get(1, "")] = entry.get(2, "")
        elif field in (20, 25):
            raise _refused(path, "functions" if field == 25 else "training information")
    if graphs != 1:
        raise _not_onnx(path, f"it has {graphs} graphs, expected 1")
    return metadata


def _check_graph(path, message: "memoryview | int") -> None:
    """Check the nodes and stored tensors of a GraphProto."""
    for field, value in _fields(message):
        if field == 1:
            _check_node(path, value)
        elif field == 5:
            _check_tensor(path, value)
        elif field == 15:
            raise _refused(path, "sparse tensors")


def _check_node(path, message: "memoryview | int") -> None:
    """Check the operator of a NodeProto and its attributes."""
    operator, domain = "", ""
    for field, value in _fields(message):
        if field == 4:
            operator = _text(value)
        elif field == 7:
            domain = _text(value)
        elif field == 5:
            for attribute, content in _fields(value):
                if attribute in (6, 11):
                    raise _refused(path, "a program inside an operator")
                if attribute in (5, 10):
                    _check_tensor(path, content)
                elif attribute in (22, 23):
                    raise _refused(path, "sparse tensors")
    if domain not in _STANDARD or operator not in OPERATORS:
        raise _refused(path, f"the operator {domain}{':' if domain else ''}{operator}")


def _check_tensor(path, message: "memoryview | int") -> None:
    """Check that the numbers of a TensorProto lie in the file itself."""
    for field, value in _fields(message):
        if field == 13 or (field == 14 and value != 0):
            raise _refused(path, "numbers that lie in another file")


def _fields(message: "memoryview | int") -> Iterator[tuple[int, "memoryview | int"]]:
    """Yield (number, value) of the fields of a protobuf message; groups, which ONNX lacks, are an error."""
    if isinstance(message, int):
        raise ValueError("a number where a message is expected")
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(message, position)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"field {number} of kind {kind} at byte {position}")
        if number == 0 or position + size > len(message):
            raise ValueError(f"field {number} at byte {position} reaches beyond its end")
        yield number, message[position : position + size]
        position += size


def _text(value: "memoryview | int") -> str:
    """Return a field's text. Raises ValueError for a number, which `bytes` would take as a size."""
    if isinstance(value, int):
        raise ValueError("a number where a text is expected")
    return bytes(value).decode("utf-8")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the number that begins at `position`, of at most 10 bytes, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("it ends inside a number")
        byte = message[position]
        value |= (byte & 127) << shift
        position += 1
        if byte < 128:
            return value, position
    raise ValueError(f"a number of more than 10 bytes before byte {position}")
