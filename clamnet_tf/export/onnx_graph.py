"""Write a network of stock layers as an ONNX graph, layer by layer from its Keras configuration and weights.

Channels come first inside, as ONNX Runtime wants them, and a group norm is one InstanceNormalization. A
converter of TensorFlow's graph (tf2onnx) sees a group norm as a dozen operations on five axes. Inputs and
outputs are those of the Keras network, channels last.
"""

from collections.abc import Callable

import numpy as np

from clamnet_tf.errors import ExportFailure
from clamnet_tf.export.onnx_weightless import WEIGHTLESS, require
from clamnet_tf.networks.member_names import PREFIX, member_head
from clamnet_tf.serving.signatures import IMAGES

#: The version of ONNX's operators, and of its file format, which ONNX Runtime reads since 1.14.
OPSET, FORMAT = 18, 8
_TO_FIRST, _TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def onnx_graph(config: dict, weights: Callable[[str], list[np.ndarray]], metadata: dict[str, str]) -> bytes:
    """Return an ONNX file of a network; with its outputs, the heads of the members of an average.

    Args:
        config: Its configuration, as Keras writes it (`layers`, `output_layers`).
        weights: Name of a layer -> its weights, in the order of `layer.get_weights()`.
        metadata: Written into the file.

    Raises:
        ExportFailure: The network has a layer, or a setting of one, that is not written here.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = OnnxGraph(weights)
    open_layers, outputs = list(config["layers"]), config["output_layers"]
    while open_layers:
        later = [layer for layer in open_layers if not graph.add(layer)]
        if len(later) == len(open_layers):
            raise ExportFailure(f"layer {later[0]['name']}: its inputs are missing. Please report this.")
        open_layers = later
    heads = {name: history[0] for name, history in outputs.items()}
    heads |= {layer["name"]: layer["name"] for layer in config["layers"] if _is_member_head(layer["name"])}
    infos = []
    for head, layer in heads.items():
        channels, height, width = graph.shapes[layer]
        graph.nodes.append(
            helper.make_node(
                "Transpose", [graph.tensors[layer]], [head], name=f"outputs/{head}", perm=_TO_LAST
            )
        )
        infos.append(
            helper.make_tensor_value_info(head, TensorProto.FLOAT, ["batch", height, width, channels])
        )
    proto = helper.make_graph(
        graph.nodes,
        "network",
        [helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, ["batch", *graph.input_shape])],
        infos,
        graph.constants,
    )
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT, producer_name="clamnet-tf"
    )
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _is_member_head(name: str) -> bool:
    """Return whether a layer is the head of a member of an average."""
    if not name.startswith(PREFIX):
        return False
    try:
        member_head(name)
    except ValueError:
        return False
    return True


class OnnxGraph:
    """Collect the nodes and stored numbers of a graph.

    Attributes:
        tensors: Name of a layer -> name of the tensor that it gives, channels first.
        shapes: Name of a layer -> (channels, height, width) of it.
    """

    def __init__(self, weights):
        self.weights = weights
        self.nodes: list = []
        self.constants: list = []
        self.tensors: dict[str, str] = {}
        self.shapes: dict[str, tuple[int, int, int]] = {}
        self.input_shape: list[int] = []

    def node(self, operator: str, inputs: list[str], output: str, **attributes) -> str:
        """Add a node and return the name of its output, `output` with a prefix that no head has."""
        from onnx import helper

        name = f"layers/{output}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value, dtype=np.float32) -> str:
        """Store numbers and return their name."""
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def add(self, layer: dict) -> bool:
        """Add a layer; return False, adding nothing, when its inputs are not there yet."""
        name, kind, config = layer["name"], layer["class_name"], layer["config"]
        before = _inputs(layer)
        if any(each not in self.tensors for each in before):
            return False
        if kind not in _WRITERS:
            raise ExportFailure(f"layer {name}: {kind} cannot be written as ONNX. Please report this.")
        _WRITERS[kind](self, name, config, before)
        return True

    def set(self, name: str, tensor: str, shape) -> None:
        """Remember what a layer gives."""
        self.tensors[name], self.shapes[name] = tensor, tuple(shape)


def _inputs(layer: dict) -> list[str]:
    """Return the names of the layers whose outputs a layer takes."""
    if not layer["inbound_nodes"]:
        return []
    [node] = layer["inbound_nodes"]
    tensors = node["args"][0]
    return [
        each["config"]["keras_history"][0] for each in (tensors if isinstance(tensors, list) else [tensors])
    ]


def _input(graph: OnnxGraph, name: str, config: dict, before) -> None:
    _, height, width, channels = config["batch_shape"]
    require(name, "a single input of fixed size", not graph.tensors and height and width)
    graph.input_shape = [height, width, channels]
    graph.set(
        name, graph.node("Transpose", [IMAGES], f"{name}:first", perm=_TO_FIRST), (channels, height, width)
    )


def _convolution(graph: OnnxGraph, name: str, config: dict, before) -> None:
    depthwise, stride = "depth_multiplier" in config, config["strides"]
    plain = config["data_format"] == "channels_last" and config["activation"] == "linear"
    require(name, "channels_last and no activation", plain and config["padding"] in ("same", "valid"))
    kernel, *bias = graph.weights(name)
    channels, height, width = graph.shapes[before[0]]
    if depthwise:
        rows, columns, _, multiplier = kernel.shape
        kernel = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, rows, columns)
    else:
        kernel = kernel.transpose(3, 2, 0, 1)
    sizes, pads = [], []
    for size, taps, dilation, step in zip((height, width), kernel.shape[2:], config["dilation_rate"], stride):
        reach = (taps - 1) * dilation + 1
        made = -(-size // step) if config["padding"] == "same" else (size - reach) // step + 1
        missing = max((made - 1) * step + reach - size, 0)  # TensorFlow pads the end more than the beginning
        sizes.append(made)
        pads.append((missing // 2, missing - missing // 2))
    inputs = [graph.tensors[before[0]], graph.constant(f"{name}:kernel", kernel)]
    inputs += [graph.constant(f"{name}:bias", each) for each in bias]
    output = graph.node(
        "Conv",
        inputs,
        name,
        kernel_shape=list(kernel.shape[2:]),
        strides=list(stride),
        dilations=list(config["dilation_rate"]),
        group=channels if depthwise else config.get("groups", 1),
        pads=[before_it for before_it, _ in pads] + [after_it for _, after_it in pads],
    )
    graph.set(name, output, (kernel.shape[0], *sizes))


def _transposed(graph: OnnxGraph, name: str, config: dict, before) -> None:
    stride = config["strides"]
    require(name, "kernels of the size of the stride", list(config["kernel_size"]) == list(stride))
    require(
        name,
        "channels_last and no activation",
        config["data_format"] == "channels_last" and config["activation"] == "linear",
    )
    kernel, *bias = graph.weights(name)  # (rows, columns, filters, channels)
    _, height, width = graph.shapes[before[0]]
    inputs = [graph.tensors[before[0]], graph.constant(f"{name}:kernel", kernel.transpose(3, 2, 0, 1))]
    inputs += [graph.constant(f"{name}:bias", each) for each in bias]
    output = graph.node(
        "ConvTranspose", inputs, name, kernel_shape=list(kernel.shape[:2]), strides=list(stride)
    )
    graph.set(name, output, (kernel.shape[2], height * stride[0], width * stride[1]))


def _group_norm(graph: OnnxGraph, name: str, config: dict, before) -> None:
    require(
        name,
        "the last axis, scale and center",
        config["axis"] in (-1, 3) and config["scale"] and config["center"],
    )
    channels, height, width = shape = graph.shapes[before[0]]
    groups = channels if config["groups"] == -1 else config["groups"]
    gamma, beta = (weight.reshape(-1, 1, 1) for weight in graph.weights(name))
    grouped = graph.constant(f"{name}:grouped", [0, groups, -1], np.int64)
    rows = graph.node("Reshape", [graph.tensors[before[0]], grouped], f"{name}:rows")
    ones, zeros = (
        graph.constant(f"{name}:ones", np.ones(groups)),
        graph.constant(f"{name}:zeros", np.zeros(groups)),
    )
    normal = graph.node(
        "InstanceNormalization", [rows, ones, zeros], f"{name}:normal", epsilon=config["epsilon"]
    )
    back = graph.constant(f"{name}:shape", [0, channels, height, width], np.int64)
    maps = graph.node("Reshape", [normal, back], f"{name}:maps")
    scaled = graph.node("Mul", [maps, graph.constant(f"{name}:gamma", gamma)], f"{name}:scaled")
    graph.set(name, graph.node("Add", [scaled, graph.constant(f"{name}:beta", beta)], name), shape)


def _batch_norm(graph: OnnxGraph, name: str, config: dict, before) -> None:
    require(name, "the last axis", config["axis"] in (-1, 3))
    channels, _, _ = shape = graph.shapes[before[0]]
    values = list(graph.weights(name))
    gamma = values.pop(0) if config["scale"] else np.ones(channels)
    beta = values.pop(0) if config["center"] else np.zeros(channels)
    mean, variance = values
    parts = {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    inputs = [graph.constant(f"{name}:{part}", value) for part, value in parts.items()]
    output = graph.node(
        "BatchNormalization", [graph.tensors[before[0]], *inputs], name, epsilon=config["epsilon"]
    )
    graph.set(name, output, shape)


#: Class of a layer -> what writes it.
_WRITERS = {
    "InputLayer": _input,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "Conv2DTranspose": _transposed,
    "GroupNormalization": _group_norm,
    "BatchNormalization": _batch_norm,
    **WEIGHTLESS,
}
