"""Load a saved network without running anything that the file contains.

A .keras file names the classes to build by module and name, and Keras imports what the file names; its safe
mode stops Lambda layers, but several of its versions could be made to call functions of Keras itself
(CVE-2025-1550, CVE-2025-8747). So the file's configuration is read first, as plain JSON, and every class must
be in the table below, which lists what this package's builders use. Sizes that it declares must not be more
than the weights it contains (declared.py), and these must be plain HDF5 data: no links or data outside of the
file (CVE-2026-1669).
"""

import warnings
import zipfile

import keras

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.declared import (
    CONFIG,
    METADATA,
    WEIGHTS,
    declared_weights,
    file_of,
    not_a_model,
    read_config,
)
from clamnet_tf.networks.saved_weights import stored_values

__all__ = ["ALLOWED", "CONFIG", "METADATA", "WEIGHTS", "check_saved", "load_network", "not_a_model"]

#: module -> classes that a network may be built from.
ALLOWED = {
    "keras": {"DTypePolicy"},
    "keras.src.models.functional": {"Functional"},
    "keras.layers": {
        "InputLayer",
        "Conv2D",
        "Conv2DTranspose",
        "Dense",
        "GroupNormalization",
        "BatchNormalization",
        "Activation",
        "Concatenate",
        "Add",
        "Subtract",
        "Multiply",
        "MaxPooling2D",
        "AveragePooling2D",
        "UpSampling2D",
        "SpatialDropout2D",
        "Dropout",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling2D",
        "DepthwiseConv2D",
        "Rescaling",
    },
    "keras.initializers": {"Zeros", "Ones", "HeNormal", "GlorotUniform"},
    "keras.regularizers": {"L2"},
}
TENSOR = "__keras_tensor__"  # a layer's input; holds numbers and names only


def load_network(path) -> keras.Model:
    """Return the network of a .keras file, not compiled, with its layers trainable as they were saved.

    Raises:
        NetworkError: the file is no Keras 3 model, or asks for anything beyond the stock layers of `ALLOWED`;
            nothing of it was run.
    """
    check_saved(path)
    with decoding(lambda reason: not_a_model(path, reason)), warnings.catch_warnings():
        # Keras only warns when layers find no weights in the file, and leaves them random
        warnings.filterwarnings(
            "error", "Skipping nested container|A total of .* objects could not be loaded", UserWarning
        )
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def check_saved(path) -> None:
    """Check that a file can be loaded without running its code and without more memory than its weights.

    Nothing is built.

    Raises:
        NetworkError: it cannot.
    """
    config = read_config(file_of(path))
    foreign = sorted({_name(part) for part in _classes(config) if not _is_allowed(part)})
    if foreign:
        raise NetworkError(
            f"{path}: names {', '.join(foreign[:5])}, which is not among the stock Keras layers of a "
            "segmentation network. It was not loaded, since loading could run its code. Only use files whose "
            "source you trust."
        )
    declared = declared_weights(path, config)
    with decoding(lambda reason: not_a_model(path, reason)), zipfile.ZipFile(path) as archive:
        weights = archive.read(WEIGHTS)
    stored = stored_values(path, weights)
    if declared > stored:
        raise NetworkError(
            f"{path}: its layers declare {declared:,} weights, the file holds {stored:,}. It was not "
            f"loaded: it is damaged, or made to fill the memory."
        )


def _classes(part):
    """Yield every part of a configuration that names something to build."""
    open_parts = [part]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, dict):
            if "class_name" in part or "registered_name" in part or "module" in part:
                yield part
            open_parts.extend(part.values())
        elif isinstance(part, list):
            open_parts.extend(part)


def _is_allowed(part: dict) -> bool:
    module, name, registered = (part.get(key) for key in ("module", "class_name", "registered_name"))
    if name == TENSOR:
        return module is None and registered is None
    known = isinstance(module, str) and isinstance(name, str) and name in ALLOWED.get(module, ())
    return known and registered in (None, name)


def _name(part: dict) -> str:
    module, name, registered = (part.get(key) for key in ("module", "class_name", "registered_name"))
    text = f"{module}.{name}" if module else str(name)
    return ascii(text if registered in (None, name) else f"{text} (registered as {registered})")[1:-1][:120]
