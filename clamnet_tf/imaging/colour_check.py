"""Find gray pictures that are stored in colour, as three equal channels."""

import numpy as np

from clamnet_tf.imaging.volume import Grid

TOLERANCE = 4.0 / 255.0  # share of the picture's range that JPEG's colour conversion may change


def gray_of(array: np.ndarray) -> np.ndarray | None:
    """Return the first channel when all channels are equal up to changes by JPEG, else None.

    Args:
        array: (slices, rows, columns, channels).

    Returns:
        (slices, rows, columns, 1) of the same dtype, or None.
    """
    if (array == array[..., :1]).all():
        return np.ascontiguousarray(array[..., :1])
    if array.shape[-1] != 3:
        return None
    largest = max(float(array.max()), 255.0 if array.max() > 1 else 1.0)
    spread = array.max(axis=-1) - array.min(axis=-1)
    if float(spread.max()) > TOLERANCE * largest:
        return None
    return np.ascontiguousarray(array[..., :1])


def is_colour(grid: Grid, channels: int) -> bool:
    """Return whether the channels of an image are red, green and blue, and not separate images."""
    return channels == 3 and grid.kind in ("picture", "dicom")
