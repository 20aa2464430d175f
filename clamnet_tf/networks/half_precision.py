"""Store the weights of a saved network in half precision: 2 bytes each in place of 4."""

import io
import os
import zipfile

import h5py
import numpy as np

from clamnet_tf.errors import NetworkError
from clamnet_tf.files import atomic_path
from clamnet_tf.networks.declared import WEIGHTS

LARGEST_HALF = 65_504.0
"""Largest number in half precision."""


def rounded_to_half(weights: list[np.ndarray], name: str) -> list[np.ndarray]:
    """Return float32 weights with the values that they have in half precision (float16).

    Arrays with a value beyond the range of half precision keep single precision: variances of images in
    Hounsfield units, for example.

    Args:
        weights: arrays of any shape, float32.
        name: of their network, for the message.

    Raises:
        NetworkError: a weight is not a finite number.
    """
    for weight in weights:
        if not np.isfinite(weight).all():
            raise NetworkError(f"{name}: expected finite weights, received infinite ones or NaN.")
    return [_in_half(weight).astype(np.float32) for weight in weights]


def store_in_half(path) -> int:
    """Rewrite a .keras file with its float32 weights as float16, and return its new size in bytes.

    Arrays with a value beyond the range of half precision stay as they are.

    The network is loaded as before, with float32 variables. Nothing is lost when the weights were rounded to
    half precision before (`rounded_to_half`); otherwise they are rounded here.

    Args:
        path: .keras file.
    """
    with zipfile.ZipFile(path) as archive, atomic_path(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as rewritten:
            for member in archive.infolist():
                content = archive.read(member)
                rewritten.writestr(member, _halved(content) if member.filename == WEIGHTS else content)
    return os.path.getsize(path)


def _halved(content: bytes) -> bytes:
    """Return an HDF5 file with its float32 arrays as float16."""
    result = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as source, h5py.File(result, "w") as target:
        _copy(source, target)
    return result.getvalue()


def _in_half(values: np.ndarray) -> np.ndarray:
    """Return an array as float16; unchanged when a value is beyond the range of float16."""
    fits = not values.size or float(np.abs(values).max()) <= LARGEST_HALF
    return values.astype(np.float16) if fits else values


def _copy(source, target) -> None:
    """Copy a group of an HDF5 file with all that is in it."""
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy(item, target.create_group(name))
            continue
        values = item[()]
        halved = _in_half(values) if values.dtype == np.float32 else values
        copied = target.create_dataset(name, data=halved)
        for key, value in item.attrs.items():
            copied.attrs[key] = value
