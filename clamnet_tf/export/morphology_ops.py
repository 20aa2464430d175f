"""Compute binary morphology of one slice with TensorFlow's operations, so that a served graph needs no SciPy.

Every function takes and gives (rows, columns) bool of any size and equals its counterpart in scipy.ndimage
with the cross of four neighbours (tested). Outside the image counts as False unless stated otherwise.
"""

import tensorflow as tf

_CROSS = ((1, 0), (-1, 0), (0, 1), (0, -1))


def _neighbours(x, outside, steps=_CROSS) -> list:
    """Return x shifted by each of `steps` (rows, columns), at most one pixel; `outside` fills the border."""
    padded = tf.pad(x, [[1, 1], [1, 1]], constant_values=outside)
    return [tf.slice(padded, [1 - rows, 1 - columns], tf.shape(x)) for rows, columns in steps]


def _any_of(parts):
    """Return the logical or of masks."""
    return tf.reduce_any(tf.stack(parts), axis=0)


def _all_of(parts):
    """Return the logical and of masks."""
    return tf.reduce_all(tf.stack(parts), axis=0)


def dilate(mask, times: int, within=None):
    """Dilate a mask `times` times.

    Args:
        mask: (rows, columns) bool.
        times: Number of dilations.
        within: (rows, columns) bool: dilate only there, as binary_dilation(mask=within); what lies outside
            stays. None: everywhere.
    """
    unchanged = mask if within is None else tf.logical_and(mask, tf.logical_not(within))
    for _ in range(times):
        grown = _any_of([mask, *_neighbours(mask, False)])
        mask = grown if within is None else tf.logical_or(unchanged, tf.logical_and(grown, within))
    return mask


def erode(mask, times: int, outside: bool = False):
    """Erode a mask `times` times; `outside` is the value of the image's surroundings."""
    for _ in range(times):
        mask = _all_of([mask, *_neighbours(mask, outside)])
    return mask


def fill_holes(mask):
    """Return everything that cannot be reached from outside through the background."""
    free = tf.pad(tf.logical_not(mask), [[1, 1], [1, 1]], constant_values=True)
    outside = tf.pad(tf.zeros_like(mask, tf.int32), [[1, 1], [1, 1]], constant_values=1)
    return (_spread(outside, free) == 0)[1:-1, 1:-1]


def largest_component(mask):
    """Return (largest 4-connected component, number of its pixels).

    Of several equally large ones it is the first in reading order; without any it is (all False, 0).
    """
    count = tf.size(mask)
    # Numbers fall in reading order, so that the highest one in a component is that of its first pixel.
    labels = _spread(tf.where(mask, tf.reshape(count - tf.range(count), tf.shape(mask)), 0), mask)
    sizes = tf.math.bincount(tf.reshape(labels, [-1]), minlength=count + 1, maxlength=count + 1)
    sizes = tf.concat([[0], sizes[1:]], axis=0)
    best = tf.reduce_max(sizes)
    label = tf.reduce_max(tf.where(sizes == best, tf.range(count + 1), 0))
    return tf.logical_and(mask, labels == label), best


def deeper_than(mask, distance):
    """Return the pixels whose Euclidean distance to the nearest False pixel, or to the outside, exceeds
    `distance`.

    Args:
        mask: (rows, columns) bool.
        distance: Scalar float32, at least 0, in pixels.
    """
    reach = tf.cast(tf.math.ceil(distance), tf.int32)
    vertical = ((1, 0), (-1, 0))

    def deepen(step, depth, inside):
        return (
            step + 1,
            depth + tf.cast(inside, tf.int32),
            _all_of([inside, *_neighbours(inside, False, vertical)]),
        )

    _, depth, _ = tf.while_loop(
        lambda step, *_: step <= reach, deepen, [0, tf.zeros_like(mask, tf.int32), mask]
    )
    columns = tf.shape(mask)[1]
    padded = tf.pad(depth, [[0, 0], [reach, reach]])

    def nearest(offset, squared):
        beside = padded[:, reach + offset : reach + offset + columns]
        return offset + 1, tf.minimum(squared, beside * beside + offset * offset)

    largest = tf.fill(tf.shape(mask), tf.int32.max)
    _, squared = tf.while_loop(lambda offset, _: offset <= reach, nearest, [-reach, largest])
    return tf.cast(squared, tf.float64) > tf.square(tf.cast(distance, tf.float64))


def _spread(values, mask):
    """Give every pixel the highest value of its 4-connected component of `mask`.

    A value spreads through its whole run of a row, then of a column, at once, so few rounds are needed until
    nothing changes.

    Args:
        values: (rows, columns) int32, at least 0, 0 outside `mask`.
        mask: (rows, columns) bool.
    """
    rows, columns = _runs(mask), tf.transpose(_runs(tf.transpose(mask)))
    run_count = 2 * tf.size(mask) + tf.reduce_sum(tf.shape(mask))

    def along(current, runs):
        highest = tf.math.unsorted_segment_max(tf.reshape(current, [-1]), tf.reshape(runs, [-1]), run_count)
        return tf.where(mask, tf.gather(highest, runs), 0)

    def round_of(_, current):
        after = along(along(current, rows), columns)
        return tf.reduce_any(after != current), after

    return tf.while_loop(lambda changed, _: changed, round_of, [True, values])[1]


def _runs(mask):
    """Number the runs of True along each row; False pixels share the number of the run after them."""
    height, width = tf.unstack(tf.shape(mask))
    return (
        tf.cumsum(tf.cast(tf.logical_not(mask), tf.int32), axis=1) + (width + 1) * tf.range(height)[:, None]
    )
