"""Resize one slice: bilinear with antialiasing for images, nearest neighbour for labels.

Both count from pixel edges. Pixel i covers [i, i+1) and its centre is i + 0.5 (half-pixel convention, like
`tf.image.resize` and PyTorch with align_corners=False). Pillow's triangle filter widens with the shrink
factor, so that nothing is skipped.
"""

import numpy as np
from PIL import Image

from clamnet_tf.threads import in_threads


def resize_bilinear(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize (rows, columns) of any real dtype to `shape`, float32; antialiased when shrinking, else plain
    bilinear.
    """
    source = np.ascontiguousarray(image, dtype=np.float32)
    if source.shape == tuple(shape):
        return source.copy()
    return np.asarray(Image.fromarray(source).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def resize_slices(volume: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize each slice of (slices, rows, columns) as `resize_bilinear` does, float32 (slices, *shape)."""
    return np.stack(in_threads(lambda image: resize_bilinear(image, shape), volume))


def resize_nearest(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize (rows, columns) of any dtype to `shape`, same dtype: take the value of the pixel under each new
    centre.
    """
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.intp), old - 1)
        for new, old in zip(shape, image.shape)
    )
    return image[np.ix_(rows, columns)]
