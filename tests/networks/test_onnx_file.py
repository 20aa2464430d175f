"""What an ONNX file contains is read as the package `onnx` reads it, and what no network needs is refused."""

import hashlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.onnx_file import MODEL_SHA256, read_onnx


def tensor_info(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 4])


def model(nodes=None, initializers=None, **more):
    """A small model; nodes: those between the input x and the output y."""
    nodes = nodes or [helper.make_node("Add", ["x", "bias"], ["y"])]
    if initializers is None:
        initializers = [numpy_helper.from_array(np.arange(4, dtype=np.float32), "bias")]
    graph = helper.make_graph(nodes, "network", [tensor_info("x")], [tensor_info("y")], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], **more)


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return path


def test_metadata_and_bytes_are_those_of_the_file(tmp_path):
    content = model()
    content.metadata_props.add(key=MODEL_SHA256, value="ab" * 32)
    content.metadata_props.add(key="author", value="Müller")
    found = read_onnx(written(tmp_path / "model.onnx", content))
    assert found.metadata == {MODEL_SHA256: "ab" * 32, "author": "Müller"}
    assert found.sha256 == hashlib.sha256(content.SerializeToString()).hexdigest()
    assert onnx.load_model_from_string(found.data) == content


def loop():
    body = helper.make_graph(
        [helper.make_node("Relu", ["go"], ["still"])],
        "body",
        [
            helper.make_tensor_value_info("count", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, [])],
    )
    return helper.make_node("Loop", ["", ""], ["y"], body=body)


def in_another_file():
    tensor = numpy_helper.from_array(np.arange(4, dtype=np.float32), "bias")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def with_a_function():
    inner = helper.make_function(
        "own",
        "Twice",
        ["x"],
        ["y"],
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [helper.make_opsetid("", 18)],
    )
    return model(functions=[inner])


HOSTILE = {
    "a program inside an operator": lambda: model([loop()]),
    "the operator Expand": lambda: model([helper.make_node("Expand", ["x", "bias"], ["y"])]),
    "the operator com.microsoft:Gelu": lambda: model(
        [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")]
    ),
    "the operator own:Add": lambda: model([helper.make_node("Add", ["x", "x"], ["y"], domain="own")]),
    "numbers that lie in another file": lambda: model(initializers=[in_another_file()]),
    "functions": with_a_function,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_no_network_needs_is_refused(what, tmp_path):
    path = written(tmp_path / "model.onnx", HOSTILE[what]())
    with pytest.raises(NetworkError, match=f"has {what}.*was not loaded"):
        read_onnx(path)


def test_numbers_of_an_attribute_in_another_file_are_refused(tmp_path):
    node = helper.make_node("Relu", ["x"], ["y"], value=in_another_file())
    with pytest.raises(NetworkError, match="numbers that lie in another file"):
        read_onnx(written(tmp_path / "model.onnx", model([node])))


def test_damaged_files_are_explained(tmp_path, rng):
    """Cut anywhere, or with bytes changed, a file is read or refused, and never anything else."""
    content, refused = model().SerializeToString(), 0
    damaged = [content[:length] for length in range(len(content))]
    for _ in range(300):
        changed = bytearray(content)
        for position in rng.integers(0, len(content), 3):
            changed[position] = rng.integers(0, 256)
        damaged.append(bytes(changed))
    for each in damaged:
        try:
            read_onnx(written(tmp_path / "model.onnx", each))
        except NetworkError as error:
            refused += 1
            assert str(tmp_path / "model.onnx") in str(error)
    assert refused > len(content) // 2


def test_a_number_in_place_of_a_text_takes_no_memory(tmp_path):
    """Graph with a node whose operator (field 4) is the number 2**40, as a varint instead of a text."""
    node = bytes([4 << 3 | 0, *[0x80] * 5, 0x20])
    graph = bytes([1 << 3 | 2, len(node)]) + node
    content = bytes([7 << 3 | 2, len(graph)]) + graph
    with pytest.raises(NetworkError, match="a number where a text is expected"):
        read_onnx(written(tmp_path / "model.onnx", content))


def test_a_file_that_is_not_there_and_one_of_another_kind(tmp_path):
    with pytest.raises(NetworkError, match=r"missing\.onnx: cannot be read: No such file"):
        read_onnx(tmp_path / "missing.onnx")
    with pytest.raises(NetworkError, match="cannot be read as an ONNX file"):
        read_onnx(written(tmp_path / "model.onnx", b"\x89PNG\r\n\x1a\n" * 10))
    with pytest.raises(NetworkError, match="has 0 graphs, expected 1"):
        read_onnx(written(tmp_path / "model.onnx", b""))
