"""Count the operations of a network's model.onnx, and say which versions compute it.

python onnx_cost.py model.onnx
"""

import importlib.metadata
import json
import math
import sys

VERSIONS = ("onnxruntime", "numpy", "scipy", "pydicom", "nibabel")


def gflop_of(path) -> tuple[float, int]:
    """Return the operations of the convolutions for one slice in 1e9, and the side of the slice in pixels.

    A multiply-add counts as two operations, as in PyTorch's FlopCounterMode; biases, norms and activations
    are left out.

    Raises:
        ValueError: The shape of a convolution's input or result cannot be inferred.
    """
    import onnx

    model = onnx.load(path)
    [images] = model.graph.input
    images.type.tensor_type.shape.dim[0].dim_value = 1
    side = images.type.tensor_type.shape.dim[1].dim_value
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]
    }
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    operations = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        name = node.output[0] if node.op_type == "Conv" else node.input[0]
        pixels = math.prod(shapes.get(name, [0])[2:])
        if not pixels or node.input[1] not in weights:
            raise ValueError(f"{path}: the shapes of {node.op_type} {node.name} are not known")
        operations += 2 * pixels * math.prod(weights[node.input[1]])
    return operations / 1e9, side


def main() -> None:
    from clamnet_tf import __version__

    gflop, side = gflop_of(sys.argv[1])
    versions = {name: importlib.metadata.version(name) for name in VERSIONS}
    print(json.dumps({"gflop": gflop, "side": side, "versions": {"clamnet-tf": __version__} | versions}))


if __name__ == "__main__":
    main()
