"""Read NumPy arrays (.npy)."""

from pathlib import Path

import numpy as np

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.volume import SMALLEST_SIDE, Grid, SliceReference, Volume, check_size, finite_float32


def read_npy(path: Path) -> Volume:
    """Read an array of numbers or booleans, without pickles.

    Two dimensions are (rows, columns), four (slices, rows, columns, channels). Three are ambiguous: a last
    axis shorter than 8 are channels, (rows, columns, channels), because columns have at least 8; otherwise
    they are (slices, rows, columns). Eight channels or more need four dimensions.

    Raises:
        ImageError: the array holds objects or other types, has other dimensions, or is damaged.
    """
    path = Path(path)
    sniff.require(path, "npy")
    with decoding(lambda reason: _unusable(path, reason)):
        # mmap_mode makes NumPy check the announced shape against the file's size.
        stored = np.load(path, allow_pickle=False, mmap_mode="r")
    if stored.dtype.kind not in "buif":
        raise ImageError(f"{path}: an array of type {stored.dtype}; needed are integers, floats or booleans.")
    return volume_of_array(stored, path)


def volume_of_array(stored: np.ndarray, path: Path, spacing_mm=None) -> Volume:
    """Return an array of numbers as a Volume of kind npy, with axes as `read_npy` describes them.

    Args:
        stored: Two to four dimensions, integers, floats or booleans.
        path: The array's file, or a name that stands for one in messages.
        spacing_mm: Distance between slices, rows and columns in mm; None: not known.

    Raises:
        ImageError: The array has other dimensions, is too small or too large, or holds values that are not
            finite.
    """
    if stored.ndim not in (2, 3, 4):
        raise ImageError(
            f"{path}: an array of shape {stored.shape}; needed are 2, 3 or 4 axes: slices, rows, columns, "
            f"channels."
        )
    if stored.ndim == 2:
        full, shape = stored[np.newaxis, ..., np.newaxis], stored.shape
    elif stored.ndim == 4:
        full, shape = stored, stored.shape[:3]
    elif stored.shape[-1] < SMALLEST_SIDE:
        full, shape = stored[np.newaxis], stored.shape[:2]
    else:
        full, shape = stored[..., np.newaxis], stored.shape
    check_size(path, full.shape, bytes_each=stored.dtype.itemsize + 4, file_bytes=stored.nbytes)
    grid = Grid(
        "npy",
        shape,
        references=tuple(SliceReference(path, index, number=index) for index in range(len(full))),
    )
    return Volume(finite_float32(path, full), spacing_mm, None, (path,), grid)


def _unusable(path, reason: str) -> ImageError:
    why = "it holds Python objects, which could run code" if "bject" in reason else reason
    return ImageError(f"{path}: not a usable array: {why}. Save it with numpy.save from an array of numbers.")
