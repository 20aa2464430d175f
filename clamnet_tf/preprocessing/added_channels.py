"""Store prepared slices with more channels in the cache, block by block, and open them again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.files import atomic_path, make_folder
from clamnet_tf.preprocessing.cache import Prepared, default_cache
from clamnet_tf.preprocessing.npy_files import GrowingArray

_BLOCK = 64  # slices at a time


def images_with_channels(
    prepared: Prepared, name: str, channels: int, with_channels: Callable[[slice], np.ndarray], cache=None
) -> np.ndarray:
    """Return the images of prepared slices with more channels, from the cache or computed and stored there.

    Args:
        prepared: the prepared slices.
        name: name of the folder in the cache, which holds the key of everything that affects the result.
        channels: how many channels are added.
        with_channels: gives a block of rows, a slice of (N,), as (n, side, side, C + channels) float16.
        cache: folder of the cache; None: the default one.

    Returns:
        (N, side, side, C + channels) float16, a read-only memory map.

    Raises:
        EnvironmentFailure: the cache is full or read-only.
    """
    folder = make_folder(Path(cache or default_cache())) / name
    shape = (*prepared.images.shape[:3], prepared.images.shape[3] + channels)
    images = _opened(folder, shape)
    if images is not None:
        return images
    shutil.rmtree(folder, ignore_errors=True)  # of another size, or damaged
    try:
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            with GrowingArray(temporary / "images.npy", shape[1:], np.float16) as written:
                for start in range(0, shape[0], _BLOCK):
                    written.append(with_channels(slice(start, start + _BLOCK)))
    except EnvironmentFailure:
        if not folder.exists():  # else another process was faster
            raise
    images = _opened(folder, shape)
    if images is None:
        raise EnvironmentFailure(
            f"{folder}: was written but cannot be read back; check the disk, delete the folder and try again."
        )
    return images


def _opened(folder: Path, shape: tuple) -> np.ndarray | None:
    try:
        images = np.load(folder / "images.npy", mmap_mode="r")
    except (OSError, ValueError):
        return None
    return images if images.shape == shape else None
