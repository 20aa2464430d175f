"""Shrink the slices of a volume to small pictures, from which the kind of image is recognised."""

import numpy as np

from clamnet_tf.preprocessing.resize import resize_bilinear

SIDE = 32
"""Height and width of a thumbnail in pixels."""
MOST_SLICES = 8
_SAMPLE = 100_000  # pixels that percentiles are taken of
_PERCENTILES = (1.0, 99.0)  # of a channel of one slice: they become 0 and 1


def thumbnails(array: np.ndarray) -> np.ndarray:
    """Return thumbnails of at most 8 slices of a volume, evenly spaced; slices of one value are left out.

    Each channel of each slice is scaled by its own 1st and 99th percentile, so that units, windows and
    exposure do not matter, and whole slices are resized to a square, so that the size of pixels does not.

    Args:
        array: (slices, rows, columns, channels), values of any unit.

    Returns:
        (n, 32, 32, channels) float32, 0 to 1; n is 0 when every slice looked at has one value.
    """
    wanted = np.unique(np.linspace(0, len(array) - 1, min(len(array), MOST_SLICES)).round().astype(int))
    small = [_thumbnail(array[index]) for index in wanted]
    shown = [each for each in small if each.any()]
    return np.stack(shown) if shown else np.empty((0, SIDE, SIDE, array.shape[-1]), np.float32)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """Return (32, 32, channels) of one slice (rows, columns, channels); a channel of one value becomes 0."""
    channels = []
    for channel in np.moveaxis(np.asarray(image, np.float32), -1, 0):
        every = max(1, int(np.sqrt(channel.size / _SAMPLE)))  # of the rows and columns of large films
        low, high = np.percentile(channel[::every, ::every], _PERCENTILES)
        if high <= low:  # less than 2 % of the pixels differ from the others
            low, high = channel.min(), channel.max()
        scaled = np.clip((channel - low) / (high - low), 0, 1) if high > low else np.zeros_like(channel)
        channels.append(np.clip(resize_bilinear(scaled, (SIDE, SIDE)), 0, 1))
    return np.stack(channels, axis=-1)
