"""Find the head or body in every slice; the crop around it is in `crop.py`.

`foreground` is `organ.method: foreground` of a recipe. It needs no training and no modality: it finds what is
clearly brighter than the dark surroundings, as in MRI, in CT in Hounsfield units or windowed, and in X-rays
with dark air (MONOCHROME1 is inverted by the readers).
"""

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from clamnet_tf.preprocessing.organs.region_shapes import fill_holes
from clamnet_tf.preprocessing.resize import resize_slices
from clamnet_tf.threads import in_threads

_AIR = -1024.0  # Hounsfield units; what lies below is padding outside of a CT's round field of view
_WORKING_SIDE = 256  # larger slices are worked on at this side: 9 ms a slice of 512 x 512 instead of 30
_SMOOTHING = 1.0  # deviation of the Gaussian, in pixels of the working side
_NOISE_LEFT = 0.25  # an image that loses more than three quarters of its variance to the Gaussian is noise
_DARKEST_TISSUE = (
    0.15  # of the robust range: no threshold lies above this, so that lungs and skull base stay in
)
_SMALLEST = 0.005  # of the slice: what is smaller is not an organ


def foreground(volume_array: np.ndarray) -> np.ndarray:
    """Find the head or body in each slice of a volume.

    Method: Gaussian smoothing; Otsu's threshold (IEEE Trans. SMC 9(1), 1979) over the whole volume, then Otsu
    again on the darker class, which separates background from dark tissue, bounded above by 15 % of the
    range; opening, largest component, closing, holes filled.

    Args:
        volume_array: (slices, rows, columns, channels), any real dtype and unit, finite. Channels are
            averaged, each over its own robust range (1st to 99.5th percentile of the volume).

    Returns:
        bool (slices, rows, columns): per slice one connected region without holes; all False in a slice that
        is blank (constant, or no brighter than the volume's background), that holds nothing but noise, or
        where the largest region is under 0.5 % of the slice. An image without any background is foreground
        throughout.

    Raises:
        ValueError: the volume does not have four axes.
    """
    array = np.asarray(volume_array)
    if array.ndim != 4:
        raise ValueError(f"foreground needs (slices, rows, columns, channels), got shape {array.shape}")
    slices, height, width, _ = array.shape
    brightness = _brightness(array)
    if brightness is None:
        return np.zeros((slices, height, width), bool)
    rows, columns = brightness.shape[1:]
    smooth = ndimage.gaussian_filter(brightness, (0, _SMOOTHING, _SMOOTHING), mode="nearest")
    if smooth.var() < _NOISE_LEFT * brightness.var():
        return np.zeros((slices, height, width), bool)
    bright = smooth > _threshold(smooth)
    mask = np.stack(in_threads(_largest_region, bright))
    if (rows, columns) == (height, width):
        return mask
    return resize_slices(mask, (height, width)) >= 0.5


def _brightness(array: np.ndarray) -> np.ndarray | None:
    """Return the mean brightness of the channels, (slices, rows, columns) float32 in 0..1, shrunk to the
    working side.

    It is None when every channel is constant.
    """
    slices, height, width, channels = array.shape
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    shape = (max(1, round(height * scale)), max(1, round(width * scale)))
    total, used = np.zeros((slices, *shape), np.float32), 0
    for channel in range(channels):
        values = np.maximum(array[..., channel], _AIR).astype(np.float32)
        if shape != (height, width):
            values = resize_slices(values, shape)
        low, high = np.percentile(values[:, ::3, ::3], (1.0, 99.5))
        if high <= low:  # a few bright pixels on a constant ground, or nothing at all
            low, high = values.min(), values.max()
        if high > low:
            total += np.clip((values - low) / (high - low), 0.0, 1.0)
            used += 1
    return total / used if used else None


def _threshold(smooth: np.ndarray) -> float:
    """Return the brightness that separates background from dark tissue."""
    threshold = threshold_otsu(smooth)
    darker = smooth[smooth <= threshold]
    if darker.max() > darker.min():
        threshold = threshold_otsu(darker)
    return min(threshold, _DARKEST_TISSUE)


def _largest_region(bright: np.ndarray) -> np.ndarray:
    """Return the largest region of one slice, freed of thin bridges, rounded off, holes filled; (rows,
    columns) bool.
    """
    disk = ndimage.generate_binary_structure(2, 1)
    core = ndimage.binary_opening(bright, disk, iterations=3)
    labels, count = ndimage.label(core)
    if count == 0:
        return np.zeros_like(bright)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    if sizes.max() < _SMALLEST * bright.size:
        return np.zeros_like(bright)
    region = ndimage.binary_dilation(labels == sizes.argmax(), disk, iterations=3, mask=bright)
    margin = 8  # so that closing does not eat the region where it touches the border of the image
    padded = np.pad(region, margin, mode="edge")
    closed = ndimage.binary_closing(padded, disk, iterations=6)[margin:-margin, margin:-margin]
    filled = fill_holes(closed | region)
    # A low threshold on a smoothed edge lies a pixel outside.
    return ndimage.binary_erosion(filled, disk, border_value=1)


def without_rim(organ: np.ndarray, rim: float) -> np.ndarray:
    """Remove the outermost layer of the organ slice by slice: scalp and skull of a head.

    Args:
        organ: bool (slices, rows, columns).
        rim: thickness as a fraction of the diameter of the circle that has the area of the slice's organ; 0
            changes nothing.
    """
    if rim == 0:
        return organ
    return np.stack(in_threads(lambda inside: _without_rim(inside, rim), organ)) if len(organ) else organ


def _without_rim(inside: np.ndarray, rim: float) -> np.ndarray:
    """Remove the outermost layer of the organ in one slice, (rows, columns) bool."""
    inner = np.zeros_like(inside)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if len(rows):
        # A frame of one pixel is enough: the nearest pixel that is no organ lies within it or on it.
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        diameter = 2.0 * np.sqrt(inside.sum() / np.pi)
        distance = ndimage.distance_transform_edt(np.pad(inside[part], 1))[1:-1, 1:-1]
        inner[part] = distance > rim * diameter
    return inner
