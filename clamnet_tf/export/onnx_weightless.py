"""Write the layers without weights of a network as ONNX nodes, channels first.

Each writer takes the graph (onnx_graph.OnnxGraph), the name of the layer, its configuration and the names of
the layers before it.
"""

from collections.abc import Callable

import numpy as np

from clamnet_tf.errors import ExportFailure


def require(name: str, what: str, holds) -> None:
    """Raise ExportFailure when a setting of a layer is one that is not written here."""
    if not holds:
        raise ExportFailure(f"layer {name}: expected {what}, to write it as ONNX. Please report this.")


def _activation(graph, name: str, config: dict, before) -> None:
    kind, x = config["activation"], graph.tensors[before[0]]
    if kind == "linear":
        output = x
    elif kind == "relu6":
        limits = [graph.constant(f"{name}:{end}", np.float32(end)) for end in (0, 6)]
        output = graph.node("Clip", [x, *limits], name)
    elif kind in ("silu", "swish"):
        output = graph.node("Mul", [x, graph.node("Sigmoid", [x], f"{name}:gate")], name)
    elif kind == "gelu":  # x (1 + erf(x / sqrt 2)) / 2
        root, one, half = (
            graph.constant(f"{name}:{part}", np.float32(value))
            for part, value in (("root", np.sqrt(2)), ("one", 1), ("half", 0.5))
        )
        error = graph.node("Erf", [graph.node("Div", [x, root], f"{name}:divided")], f"{name}:error")
        share = graph.node("Mul", [graph.node("Add", [error, one], f"{name}:sum"), half], f"{name}:share")
        output = graph.node("Mul", [x, share], name)
    elif kind == "softmax":
        output = graph.node("Softmax", [x], name, axis=1)
    else:
        require(name, f"one of {', '.join(_SIMPLE)}, relu6, silu, gelu, softmax, linear", kind in _SIMPLE)
        operator, attributes = _SIMPLE[kind]
        output = graph.node(operator, [x], name, **attributes)
    graph.set(name, output, graph.shapes[before[0]])


def _pooling(graph, name: str, config: dict, before) -> None:
    channels, height, width = graph.shapes[before[0]]
    size, stride = config["pool_size"], config["strides"]
    fits = config["data_format"] == "channels_last" and height % stride[0] == width % stride[1] == 0
    require(
        name, "sides that the stride divides, and pools no larger than it", fits and max(size) <= min(stride)
    )
    output = graph.node(
        "MaxPool", [graph.tensors[before[0]]], name, kernel_shape=list(size), strides=list(stride)
    )
    graph.set(name, output, (channels, height // stride[0], width // stride[1]))


def _average_pooling(graph, name: str, config: dict, before) -> None:
    size, shape = config["pool_size"], graph.shapes[before[0]]
    plain = config["data_format"] == "channels_last" and config["padding"] == "same"
    centred = list(config["strides"]) == [1, 1] and all(side % 2 for side in size)
    require(name, "channels_last, odd pools of stride 1 and padding same", plain and centred)
    pads = [side // 2 for side in size]
    output = graph.node(
        "AveragePool",
        [graph.tensors[before[0]]],
        name,
        kernel_shape=list(size),
        pads=[*pads, *pads],
        count_include_pad=0,  # TensorFlow averages what lies inside of the map
    )
    graph.set(name, output, shape)


def _highest(graph, name: str, config: dict, before) -> None:
    fits = config["data_format"] == "channels_last" and config["keepdims"]
    require(name, "channels_last and keepdims", fits)
    output = graph.node("GlobalMaxPool", [graph.tensors[before[0]]], name)
    graph.set(name, output, (graph.shapes[before[0]][0], 1, 1))


def _enlarged(graph, name: str, config: dict, before) -> None:
    rows, columns = config["size"]
    channels, height, width = graph.shapes[before[0]]
    require(name, "bilinear or nearest", config["interpolation"] in ("bilinear", "nearest"))
    how = (
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        if config["interpolation"] == "bilinear"
        else {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    )
    scales = graph.constant(f"{name}:scales", [1, 1, rows, columns])
    output = graph.node("Resize", [graph.tensors[before[0]], "", scales], name, **how)
    graph.set(name, output, (channels, height * rows, width * columns))


def _joined(graph, name: str, config: dict, before) -> None:
    require(name, "the last axis", config["axis"] in (-1, 3))
    shapes = [graph.shapes[each] for each in before]
    output = graph.node("Concat", [graph.tensors[each] for each in before], name, axis=1)
    graph.set(name, output, (sum(shape[0] for shape in shapes), *shapes[0][1:]))


def _added(graph, name: str, config: dict, before) -> None:
    graph.set(
        name, graph.node("Sum", [graph.tensors[each] for each in before], name), graph.shapes[before[0]]
    )


def _subtracted(graph, name: str, config: dict, before) -> None:
    output = graph.node("Sub", [graph.tensors[each] for each in before], name)
    graph.set(name, output, graph.shapes[before[0]])


def _multiplied(graph, name: str, config: dict, before) -> None:
    require(name, "two factors", len(before) == 2)
    output = graph.node("Mul", [graph.tensors[each] for each in before], name)
    graph.set(name, output, graph.shapes[before[0]])


def _rescaled(graph, name: str, config: dict, before) -> None:
    parts = {part: np.reshape(config[part], (-1, 1, 1)) for part in ("scale", "offset")}
    scaled = graph.node(
        "Mul", [graph.tensors[before[0]], graph.constant(f"{name}:scale", parts["scale"])], f"{name}:scaled"
    )
    output = graph.node("Add", [scaled, graph.constant(f"{name}:offset", parts["offset"])], name)
    graph.set(name, output, graph.shapes[before[0]])


def _unchanged(graph, name: str, config: dict, before) -> None:
    graph.set(name, graph.tensors[before[0]], graph.shapes[before[0]])


#: Activation of Keras -> operator and its attributes.
_SIMPLE: dict[str, tuple[str, dict]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "elu": ("Elu", {"alpha": 1.0}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "softplus": ("Softplus", {}),
}
#: Class of a layer without weights -> what writes it.
WEIGHTLESS: dict[str, Callable] = {
    "Activation": _activation,
    "MaxPooling2D": _pooling,
    "UpSampling2D": _enlarged,
    "Concatenate": _joined,
    "Add": _added,
    "Subtract": _subtracted,
    "Multiply": _multiplied,
    "AveragePooling2D": _average_pooling,
    "GlobalMaxPooling2D": _highest,
    "Rescaling": _rescaled,
    "SpatialDropout2D": _unchanged,
    "Dropout": _unchanged,
}
