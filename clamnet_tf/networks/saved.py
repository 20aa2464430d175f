"""Loading a saved network without running anything that the file brings along.

A .keras file names the classes to build by module and name, and Keras imports what it is told to; its safe mode stops
Lambda layers, but several of its versions were talked into functions of Keras itself (CVE-2025-1550, CVE-2025-8747).
So the file's configuration is read first, as plain JSON, and every class must stand in the table below: what this
package's builders use. The weights must be plain HDF5 data: no links or data outside of the file (CVE-2026-1669).
"""

import io
import json
import warnings
import zipfile
from pathlib import Path

import h5py
import keras

from clamnet_tf.errors import NetworkError

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
LARGEST_CONFIG = 20_000_000  # bytes
#: module -> classes that a network may be built from.
ALLOWED = {
    "keras": {"DTypePolicy"},
    "keras.src.models.functional": {"Functional"},
    "keras.layers": {
        "InputLayer", "Conv2D", "Conv2DTranspose", "Dense", "GroupNormalization", "BatchNormalization", "Activation", "Concatenate",
        "MaxPooling2D", "UpSampling2D", "SpatialDropout2D", "GlobalAveragePooling2D",
    },
    "keras.initializers": {"Zeros", "Ones", "HeNormal", "GlorotUniform"},
    "keras.regularizers": {"L2"},
}  # fmt: skip
TENSOR = "__keras_tensor__"  # stands for a layer's input, holds numbers and names only


def load_network(path) -> keras.Model:
    """The network of a .keras file, not compiled, with all its layers trainable as they were saved.

    Raises:
        NetworkError: the file is no Keras 3 model, or asks for anything beyond the stock layers of `ALLOWED`; nothing of
            it was run.
    """
    check_saved(path)
    try:
        with warnings.catch_warnings():  # Keras only warns when layers find no weights in the file, and leaves them random
            warnings.filterwarnings("error", "Skipping nested container|A total of .* objects could not be loaded", UserWarning)
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, UserWarning) as error:
        raise not_a_model(path, str(error)) from error


def check_saved(path) -> None:
    """NetworkError unless the file can be loaded without running code of its own. Builds nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if sorted(names) != sorted({CONFIG, METADATA, WEIGHTS}):
                raise NetworkError(
                    f"{path}: expected the files {CONFIG}, {METADATA} and {WEIGHTS} inside, each once; found "
                    f"{', '.join(map(ascii, names[:10]))}."
                )
            sizes = {member.filename: member.file_size for member in members}
            if sizes[CONFIG] > LARGEST_CONFIG or sizes[WEIGHTS] > 100 * Path(path).stat().st_size:
                raise NetworkError(f"{path}: unpacks to far more than a network of its size needs. Do not use this file.")
            config = json.loads(archive.read(CONFIG))
            weights = archive.read(WEIGHTS)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise not_a_model(path, str(error)) from error
    foreign = sorted({_name(part) for part in _classes(config) if not _is_allowed(part)})
    if foreign:
        raise NetworkError(
            f"{path}: names {', '.join(foreign[:5])}, which is not among the stock Keras layers of a marking network. It was not loaded, since "
            "loading could run its code. Only use files whose source you trust."
        )
    _check_weights(path, weights)


def not_a_model(path, reason: str) -> NetworkError:
    """The error for a file that Keras cannot read."""
    first = (reason.splitlines() or ["damaged"])[0][:200]
    return NetworkError(f"{path}: cannot be loaded as a Keras model ({first}).")


def _classes(part):
    """Every part of a configuration that names something to build."""
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


def _check_weights(path, content: bytes) -> None:
    """NetworkError when a link or a dataset leads out of the HDF5 file."""
    outside = []

    def visit(group):
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, (h5py.ExternalLink, h5py.SoftLink)):
                outside.append(name)
                continue
            item = group[name]
            if isinstance(item, h5py.Group):
                visit(item)
            elif item.external or item.is_virtual:
                outside.append(name)

    try:
        with h5py.File(io.BytesIO(content), "r") as stored:
            visit(stored)
    except (OSError, KeyError, RuntimeError, RecursionError) as error:
        raise not_a_model(path, str(error)) from error
    if outside:
        raise NetworkError(
            f"{path}: its weights lead out of the file ({ascii(outside[0])}). It was not loaded. Only use files whose source you "
            "trust."
        )
