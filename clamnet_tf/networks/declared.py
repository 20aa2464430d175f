"""Work out the size that a saved network declares from its configuration alone, before Keras allocates
memory.

A .keras file of 2 kB can ask for a layer of 10^8 filters. Here its layers are followed as plain JSON:
channels from layer to layer, and the weights of each layer. They must not be more than the file contains.
"""

import math
import zipfile
from pathlib import Path

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import NetworkError
from clamnet_tf.plain_json import plain_json

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
LARGEST_CONFIG = 4_000_000  # bytes; the largest network of the zoo has 107 kB
LARGEST_WEIGHTS = 300_000_000  # bytes, unpacked
LARGEST_RATIO = 4  # of unpacked to packed bytes: Keras does not compress
MOST_LAYERS = 3000
LARGEST_SIDE = 8192  # pixels, of an input or of what layers make of it
MOST_CHANNELS = 65_536
_SAME_CHANNELS = {
    "Activation",
    "GlobalAveragePooling2D",
    "MaxPooling2D",
    "Rescaling",
    "SpatialDropout2D",
    "UpSampling2D",
}


def read_config(path) -> dict:
    """Read the configuration inside a .keras file.

    Raises:
        NetworkError: the file is not a Keras 3 file, has other files in it, or sizes that no network has.
    """
    with decoding(lambda reason: not_a_model(path, reason)), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if sorted(names) != sorted({CONFIG, METADATA, WEIGHTS}):
            contents = ", ".join(map(ascii, (name[:60] for name in names[:10])))
            raise NetworkError(
                f"{path}: expected the files {CONFIG}, {METADATA} and {WEIGHTS} inside, each once; found "
                f"{contents}."
            )
        sizes = {member.filename: member.file_size for member in members}
        packed = sum(member.compress_size for member in members)
        if max(sizes[CONFIG], sizes[METADATA]) > LARGEST_CONFIG or sizes[WEIGHTS] > min(
            LARGEST_WEIGHTS, LARGEST_RATIO * packed + 10**6
        ):
            raise NetworkError(
                f"{path}: unpacks to {sum(sizes.values()):,} bytes from {packed:,}, more than a network of "
                f"its size needs (at most {LARGEST_RATIO} times, {LARGEST_WEIGHTS:,} bytes). Do not use this "
                f"file."
            )
        config = plain_json(archive.read(CONFIG), lambda reason: not_a_model(path, f"{CONFIG}: {reason}"))
        if not isinstance(config, dict):
            raise not_a_model(path, f"{CONFIG} holds a {type(config).__name__}")
        return config


def not_a_model(path, reason: str) -> NetworkError:
    """Return the error for a file that Keras cannot read."""
    summary = (reason.splitlines() or ["damaged"])[0][:200].rstrip(". ")
    return NetworkError(f"{path}: cannot be loaded as a Keras model ({summary}).")


def check_contract(path, *, side: int, channels: int, heads) -> None:
    """Check that a network takes and returns what its entry declares, by its configuration alone.

    Args:
        path: the .keras file.
        side: declared side of the input, in pixels.
        channels: declared channels of the input.
        heads: declared names of the outputs.

    Raises:
        NetworkError: the network takes other slices or has other heads.
    """
    config = read_config(path)
    with decoding(lambda reason: not_a_model(path, f"its configuration is damaged: {reason}")):
        shapes = [
            layer["config"]["batch_shape"]
            for layer in config["config"]["layers"]
            if layer["class_name"] == "InputLayer"
        ]
        declared = _outputs(config)
    if shapes != [[None, side, side, channels]] or declared != sorted(heads):
        raise NetworkError(
            f"{path}: takes {str(shapes)[:100]} and gives {str(declared)[:100]}; its entry declares one "
            f"input of {side} x {side} pixels and {channels} channel(s), and {', '.join(heads)}. It was not "
            f"loaded; get the entry again."
        )


def declared_outputs(path) -> list[str]:
    """Return the names of the outputs of a .keras file, sorted, by its configuration alone.

    Raises:
        NetworkError: the file cannot be read, or names none.
    """
    config = read_config(path)
    with decoding(lambda reason: not_a_model(path, f"its configuration is damaged: {reason}")):
        return [str(name) for name in _outputs(config)]


def _outputs(config: dict):
    """Return the names of the outputs, sorted; of a network with a single unnamed output, its layers."""
    outputs = config["config"]["output_layers"]
    return sorted(outputs) if isinstance(outputs, dict) else outputs


def declared_weights(path, config: dict) -> int:
    """Return how many weights the layers of a configuration have.

    Raises:
        NetworkError: there are no layers, more than MOST_LAYERS, layers whose inputs are missing, or sizes
            beyond the limits of this module; the message names the layer.
    """
    with decoding(lambda reason: not_a_model(path, f"its configuration is damaged: {reason}")):
        layers = config["config"]["layers"]
        if not isinstance(layers, list) or not layers or not config["config"]["output_layers"]:
            raise not_a_model(path, "it has no layers")
        if len(layers) > MOST_LAYERS:
            raise not_a_model(path, f"it declares {len(layers):,} layers, at most {MOST_LAYERS:,} are built")
        made, open_layers, weights = {}, list(layers), 0
        while open_layers:
            later = []
            for layer in open_layers:
                name = str(layer["config"]["name"])
                if any(before not in made for before in _inputs(layer)):
                    later.append(layer)
                    continue
                try:
                    made[name], count = _Layer(layer).measure([made[before] for before in _inputs(layer)])
                except ValueError as error:
                    raise not_a_model(path, f"layer {ascii(name)[1:-1][:60]} {error}") from error
                weights += count
            if len(later) == len(open_layers):
                raise not_a_model(
                    path,
                    f"layer {ascii(str(later[0]['config']['name']))[1:-1][:60]} has inputs that no layer "
                    f"makes",
                )
            open_layers = later
        return weights


def _inputs(layer: dict) -> list[str]:
    """Return the names of the layers whose outputs a layer takes."""
    names, open_parts = [], [layer.get("inbound_nodes") or []]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, dict):
            history = part.get("keras_history")
            if history is not None:
                names.append(str(history[0]))
            else:
                open_parts.extend(reversed(list(part.values())))
        elif isinstance(part, list):
            open_parts.extend(reversed(part))
    return names


class _Layer:
    """One layer of a configuration; a shape is (side or None, side or None, channels).

    ValueError is raised for what cannot be.
    """

    def __init__(self, layer: dict):
        self.kind, self.config, self.build = layer["class_name"], layer["config"], layer.get("build_config")

    def measure(self, inputs: list[tuple]) -> tuple[tuple, int]:
        """Return (shape of the output, number of weights)."""
        self._check_build_sizes()
        if self.kind == "InputLayer":
            return self._input(), 0
        if not inputs:
            raise ValueError("has no input")
        rows, columns, channels = inputs[0]
        if self.kind == "Concatenate":
            return (
                rows,
                columns,
                self._bounded("channels", sum(shape[2] for shape in inputs), MOST_CHANNELS),
            ), 0
        if self.kind == "Add":
            if any(shape[2] != channels for shape in inputs):
                raise ValueError(
                    f"adds {str([shape[2] for shape in inputs])[:60]} channels; expected as many of each"
                )
            return (rows, columns, channels), 0
        self._check_build(channels)
        if self.kind in _SAME_CHANNELS:
            factor = self._pair("size", 64) if self.kind == "UpSampling2D" else (1, 1)
            if self.kind == "MaxPooling2D":
                self._pair("pool_size", LARGEST_SIDE)
            return (self._larger(rows, factor[0]), self._larger(columns, factor[1]), channels), 0
        if self.kind in ("GroupNormalization", "BatchNormalization"):
            moving = 0 if self.kind == "GroupNormalization" else 2
            learned = sum(bool(self.config.get(key, True)) for key in ("scale", "center"))
            return (rows, columns, channels), (moving + learned) * channels
        if self.kind == "Dense":
            units = self._count("units", MOST_CHANNELS)
            return (rows, columns, units), channels * units + units
        if self.kind == "DepthwiseConv2D":
            (high, wide), factor = self._pair("kernel_size", 64), self._count("depth_multiplier", 64)
            made = self._bounded("channels", channels * factor, MOST_CHANNELS)
            return (rows, columns, made), high * wide * made + made * bool(self.config.get("use_bias", True))
        if self.kind in ("Conv2D", "Conv2DTranspose"):
            return self._convolution(rows, columns, channels)
        raise ValueError(f"is a {ascii(str(self.kind))[1:-1][:60]}, which has no place inside of a network")

    def _input(self) -> tuple:
        shape = self.config["batch_shape"]
        if len(shape) != 4 or shape[0] is not None:
            raise ValueError(f"takes {str(shape)[:60]}; expected (None, side, side, channels)")
        rows, columns = (
            None if side is None else self._bounded("side", side, LARGEST_SIDE) for side in shape[1:3]
        )
        return rows, columns, self._bounded("channels", shape[3], MOST_CHANNELS)

    def _convolution(self, rows, columns, channels) -> tuple[tuple, int]:
        filters, (high, wide), strides = (
            self._count("filters", MOST_CHANNELS),
            self._pair("kernel_size", 64),
            self._pair("strides", 64),
        )
        groups = self._count("groups", MOST_CHANNELS) if self.kind == "Conv2D" else 1
        weights = high * wide * max(1, channels // groups) * filters + filters * bool(
            self.config.get("use_bias", True)
        )
        if self.kind == "Conv2DTranspose":
            rows, columns = self._larger(rows, strides[0]), self._larger(columns, strides[1])
        return (rows, columns, filters), weights

    def _larger(self, side, factor: int):
        return None if side is None else self._bounded("side", side * factor, LARGEST_SIDE * 16)

    def _count(self, key: str, most: int) -> int:
        return self._bounded(key, self.config.get(key, 1), most)

    def _pair(self, key: str, most: int) -> tuple[int, int]:
        value = self.config.get(key, 1)
        pair = value if isinstance(value, list) else [value, value]
        if len(pair) != 2:
            raise ValueError(f"has {key} {str(value)[:60]}; expected two numbers")
        return tuple(self._bounded(key, side, most) for side in pair)

    @staticmethod
    def _bounded(key: str, value, most: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ValueError(f"has {key} {str(value)[:60]}; expected 1 to {most:,}")
        return value

    def _check_build(self, channels: int) -> None:
        """Check the input_shape of the build_config: Keras builds a layer for it, whatever the layers
        before it make.
        """
        shape = self.build.get("input_shape") if isinstance(self.build, dict) else None
        if shape is not None and (not isinstance(shape, list) or not shape or shape[-1] != channels):
            raise ValueError(f"is to be built for {str(shape)[:60]}, and gets {channels} channels")

    def _check_build_sizes(self) -> None:
        open_parts = [self.build]
        while open_parts:
            part = open_parts.pop()
            if isinstance(part, (dict, list)):
                open_parts.extend(part.values() if isinstance(part, dict) else part)
            elif isinstance(part, (int, float)) and not abs(part) <= MOST_CHANNELS:
                raise ValueError(f"is to be built with {str(part)[:60]}")


def values_of(shape) -> int:
    """Return how many numbers an array of a shape holds."""
    return math.prod(int(side) for side in shape)


def file_of(path) -> Path:
    """Return `path` when it is a regular file.

    Raises:
        NetworkError: it is a folder, pipe or device, or there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise NetworkError(
            f"{path}: cannot be loaded as a Keras model "
            f"({'it is no regular file' if path.exists() else 'there is no such file'})."
        )
    return path
