"""Find the organ of one slice and crop around it with TensorFlow's operations, inside a served graph.

`foreground`, `without_rim` and `crop_box` follow clamnet_tf.preprocessing.organs.foreground and .crop step by
step for a volume of one slice and give the same pixels (tested on images; a value that lies exactly on a
histogram's edge may fall on the other side).
"""

import numpy as np
import tensorflow as tf

from clamnet_tf.export.morphology_ops import deeper_than, dilate, erode, fill_holes, largest_component
from clamnet_tf.preprocessing.organs import foreground as reference

_BINS = 256
_RADIUS = 4  # of the Gaussian of deviation 1, cut off at 4 deviations


def foreground(image):
    """Find the organ of a slice like `preprocessing.organs.foreground.foreground`.

    Args:
        image: (rows, columns, channels) float32 in any unit.

    Returns:
        (rows, columns) bool.
    """
    brightness, known = _brightness(image)
    smooth = _gaussian(brightness)
    noisy = _variance(smooth) < reference._NOISE_LEFT * _variance(brightness)
    bright = tf.logical_and(smooth > _threshold(smooth), tf.logical_and(known, tf.logical_not(noisy)))
    region = _largest_region(bright)
    full = tf.shape(image)[:2]
    enlarged = resize(tf.cast(region, tf.float32)[..., None], full)[..., 0] >= 0.5
    return tf.cond(tf.reduce_all(full == tf.shape(region)), lambda: region, lambda: enlarged)


def without_rim(region, rim: float):
    """Remove the outermost layer of a region, like `preprocessing.organs.foreground.without_rim`."""
    if rim == 0:
        return region
    area = tf.reduce_sum(tf.cast(region, tf.float64))
    return deeper_than(region, rim * 2.0 * tf.sqrt(area / np.pi))


def crop_box(region, margin: float):
    """Return [top, left, size] int32 of the square around a region, like `preprocessing.crop.crop_box`."""
    shape = tf.shape(region)
    any_organ = tf.reduce_any(region)
    top, bottom = _extent(tf.reduce_any(region, axis=1))
    left, right = _extent(tf.reduce_any(region, axis=0))
    top, left = tf.where(any_organ, top, 0), tf.where(any_organ, left, 0)
    bottom, right = tf.where(any_organ, bottom, shape[0]), tf.where(any_organ, right, shape[1])
    longest = tf.maximum(bottom - top, right - left)
    border = tf.cast(tf.math.ceil(margin * tf.cast(longest, tf.float64)), tf.int32)
    size = longest + 2 * tf.where(any_organ, border, 0)
    return tf.stack([(top + bottom - size) // 2, (left + right - size) // 2, size])


def crop(image, box):
    """Crop an image (rows, columns, channels) to [top, left, size]; it is 0 where the box leaves the
    image.
    """
    top, left, size = tf.unstack(box)
    shape = tf.shape(image)
    before = [tf.maximum(-top, 0), tf.maximum(-left, 0)]
    after = [tf.maximum(top + size - shape[0], 0), tf.maximum(left + size - shape[1], 0)]
    padded = tf.pad(image, [[before[0], after[0]], [before[1], after[1]], [0, 0]])
    return tf.slice(padded, [tf.maximum(top, 0), tf.maximum(left, 0), 0], [size, size, -1])


def resize(image, shape):
    """Resize an image to (*shape, channels) float32: bilinear, antialiased when shrinking, as in
    `preprocessing.resize`.
    """
    return tf.image.resize(image, shape, method="bilinear", antialias=True)


def resize_nearest(image, side: int):
    """Resize a square image to (side, side, channels): the value under each new pixel's centre."""
    size = tf.shape(image)[0]
    indices = tf.cast((np.arange(side) + 0.5) * tf.cast(size, tf.float64) / side, tf.int32)
    indices = tf.minimum(indices, size - 1)
    return tf.gather(tf.gather(image, indices, axis=0), indices, axis=1)


def percentile(values, percent: float):
    """Compute a percentile of a flat float32 tensor, interpolated linearly like NumPy; 0 when it is empty."""
    ordered = tf.sort(tf.reshape(values, [-1]))
    last = tf.maximum(tf.size(ordered) - 1, 0)
    position = tf.cast(last, tf.float64) * (percent / 100.0)
    below = tf.cast(tf.floor(position), tf.int32)
    share = tf.cast(position - tf.floor(position), ordered.dtype)
    ordered = tf.cond(tf.size(ordered) > 0, lambda: ordered, lambda: tf.zeros([1], ordered.dtype))
    low, high = ordered[below], ordered[tf.minimum(below + 1, last)]
    return low + (high - low) * share


def _brightness(image):
    """Return (brightness (rows, columns) float32 in 0..1 at the working size, whether any channel varies)."""
    sides = tf.shape(image)[:2]
    scale = tf.minimum(
        tf.constant(1.0, tf.float64), reference._WORKING_SIDE / tf.cast(tf.reduce_max(sides), tf.float64)
    )
    shape = tf.maximum(1, tf.cast(tf.round(tf.cast(sides, tf.float64) * scale), tf.int32))
    values = tf.maximum(image, reference._AIR)
    values = tf.cond(tf.reduce_all(shape == sides), lambda: values, lambda: resize(values, shape))
    total, used = tf.zeros(shape, tf.float32), tf.constant(0.0)
    for channel in range(image.shape[-1]):
        channel_values = values[..., channel]
        low, high = percentile(channel_values[::3, ::3], 1.0), percentile(channel_values[::3, ::3], 99.5)
        narrow = high <= low
        low, high = (
            tf.where(narrow, tf.reduce_min(channel_values), low),
            tf.where(narrow, tf.reduce_max(channel_values), high),
        )
        varies = high > low
        width = tf.where(varies, high - low, 1.0)
        total += tf.where(varies, tf.clip_by_value((channel_values - low) / width, 0.0, 1.0), 0.0)
        used += tf.cast(varies, tf.float32)
    return total / tf.maximum(used, 1.0), used > 0


def _gaussian(image):
    """Smooth with a Gaussian of standard deviation 1; edges are repeated."""
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    weights = np.exp(-0.5 * offsets**2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        length = tf.shape(image)[axis]
        shifted_images = [
            tf.gather(image, tf.clip_by_value(tf.range(length) + int(offset), 0, length - 1), axis=axis)
            for offset in offsets
        ]
        image = tf.add_n([float(weight) * shifted for weight, shifted in zip(weights, shifted_images)])
    return image


def _variance(values):
    """Compute the variance in float64."""
    return tf.math.reduce_variance(tf.cast(values, tf.float64))


def _threshold(smooth):
    """Apply Otsu, then Otsu again to the darker class, with an upper bound."""
    values = tf.reshape(smooth, [-1])
    upper_threshold = _otsu(values)
    darker = tf.boolean_mask(values, values <= upper_threshold)
    varies = tf.reduce_max(darker) > tf.reduce_min(darker)
    threshold = tf.cond(varies, lambda: _otsu(darker), lambda: upper_threshold)
    return tf.cast(tf.minimum(threshold, reference._DARKEST_TISSUE), tf.float32)


def _otsu(values):
    """Compute skimage.filters.threshold_otsu of a flat float32 tensor, float32."""
    low, high = tf.reduce_min(values), tf.reduce_max(values)
    width = tf.cast(tf.where(high > low, high - low, 1.0), tf.float64)
    exact = (tf.cast(values, tf.float64) - tf.cast(low, tf.float64)) * _BINS / width
    bins = tf.minimum(tf.cast(exact, tf.int32), _BINS - 1)
    counts = tf.cast(tf.math.bincount(bins, minlength=_BINS, maxlength=_BINS), tf.float64)
    centres = tf.cast(low, tf.float64) + (np.arange(_BINS) + 0.5) * width / _BINS
    weight_below, weight_above = tf.cumsum(counts), tf.cumsum(counts, reverse=True)
    mean_below = tf.cumsum(counts * centres) / weight_below
    mean_above = tf.cumsum(counts * centres, reverse=True) / weight_above
    between = weight_below[:-1] * weight_above[1:] * tf.square(mean_below[:-1] - mean_above[1:])
    return tf.where(high > low, tf.cast(centres[tf.argmax(between)], tf.float32), low)


def _largest_region(bright):
    """Return the largest bright region with its holes filled; all False when it is too small."""
    core = dilate(erode(bright, 3), 3)
    largest, size = largest_component(core)
    enough = tf.cast(size, tf.float64) >= reference._SMALLEST * tf.cast(tf.size(bright), tf.float64)
    region = dilate(tf.logical_and(largest, enough), 3, within=bright)
    margin = 8
    rows, columns = (
        tf.clip_by_value(tf.range(-margin, length + margin), 0, length - 1)
        for length in tf.unstack(tf.shape(region))
    )
    padded = tf.gather(tf.gather(region, rows, axis=0), columns, axis=1)
    closed = erode(dilate(padded, 6), 6)[margin:-margin, margin:-margin]
    region = erode(fill_holes(tf.logical_or(closed, region)), 1, outside=True)
    return tf.logical_and(region, tf.logical_and(enough, size > 0))


def _extent(line):
    """Return (index of the first True, index after the last True) of (n,) bool; (0, 0) without any."""
    indices = tf.cast(tf.where(line)[:, 0], tf.int32)
    return tf.cond(tf.size(indices) > 0, lambda: (indices[0], indices[-1] + 1), lambda: (0, 0))
