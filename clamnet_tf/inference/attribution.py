"""Compute attribution maps of an image classifier: the contribution of each pixel to the score.

All are pure functions on tensors. `score` is a callable, images (B, H, W, C) float32 -> (B,) float32 (a
logit), and the result is (B, H, W) float32, at least 0: more is more evidence for "abnormal". Nothing is
scaled from slice to slice.

    gradient_input         relu(sum_c g_c (x_c - b_c)), mean over noisy copies   Shrikumar 2017, Smilkov 2017
    integrated_gradients   relu(sum_c (x_c - b_c) mean_t g_c(b + t (x - b)))     Sundararajan 2017, eq. (1)
    occlusion              relu(score - score with a window replaced), mean      Zeiler and Fergus 2014
    grad_cam, layer_cam    from the activations of one level                     inference.activation_maps
"""

import numpy as np
import tensorflow as tf

_SURROUNDINGS = 1 / 8  # of the side: deviation of the Gaussian that makes the baseline `surroundings`
_NOISE_SEED = 20221


def gradient_of(score, images):
    """Return the gradient of each image's score with respect to its pixels, (B, H, W, C)."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        total = tf.reduce_sum(score(images))
    return tape.gradient(total, images)


def gradient_input(score, images, baseline, *, copies: int = 16, noise: float = 0.3):
    """Average the positive part of gradient x (input - baseline) over noisy copies of the images.

    Args:
        score: see the module.
        images: see the module.
        baseline: broadcastable to the images; what an image without a finding looks like.
        copies: number of copies; their noise is the same for every image and every call.
        noise: standard deviation of the noise, in the images' units.
    """
    total, shape = tf.zeros(tf.shape(images)[:3]), tf.concat([[1], tf.shape(images)[1:]], axis=0)
    for copy in tf.range(copies):  # a loop of the graph: traced once
        noisy = images + noise * tf.random.stateless_normal(shape, tf.stack([_NOISE_SEED, copy]))
        total += tf.nn.relu(tf.reduce_sum(gradient_of(score, noisy) * (noisy - baseline), axis=-1))
    return total / float(copies)


def integrated_gradients(score, images, baseline, *, steps: int = 16):
    """Integrate the gradient along the straight line from baseline to image, by the midpoint rule.

    Args:
        score: see the module.
        images: see the module.
        baseline: broadcastable to the images.
        steps: number of steps.
    """
    total = tf.zeros_like(images)
    for step in tf.range(steps):
        total += gradient_of(
            score, baseline + (tf.cast(step, tf.float32) + 0.5) / float(steps) * (images - baseline)
        )
    return tf.nn.relu(tf.reduce_sum((images - baseline) * total / float(steps), axis=-1))


def occlusion(score, images, baseline, *, windows=(7, 11, 15)):
    """Average how far the score falls when a window that covers the pixel is replaced by the baseline.

    Args:
        score: see the module.
        images: see the module.
        baseline: broadcastable to the images.
        windows: sides in pixels; each window moves by half of its side.
    """
    full_score, result = score(images), tf.zeros(tf.shape(images)[:3])
    height, width = images.shape[1:3]
    for window in windows:
        stride = max(1, window // 2)
        corners = tf.constant(
            [
                (top, left)
                for top in _starts(height, window, stride)
                for left in _starts(width, window, stride)
            ]
        )
        fall, covered = tf.zeros(tf.shape(images)[:3]), tf.zeros((height, width))
        for corner in corners:  # a loop of the graph: traced once
            inside = tf.cast(
                _within(height, window, corner[0])[:, None] & _within(width, window, corner[1]), tf.float32
            )
            hidden = images + (baseline - images) * inside[None, ..., None]
            fall += tf.nn.relu(full_score - score(hidden))[:, None, None] * inside
            covered += inside
        result += fall / covered
    return result / float(len(windows))


def _within(length: int, window: int, start):
    """Return which of the pixels 0..length-1 lie in a window, (length,) bool."""
    place = tf.range(length)
    return (place >= start) & (place < start + window)


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Return the first rows of windows that together cover 0..length-1."""
    last = max(0, length - window)
    return sorted({*range(0, last + 1, stride), last})


def smoothed(maps, deviation: float):
    """Smooth (B, H, W) by a Gaussian with a standard deviation of `deviation` pixels, 0 beyond the border.

    Rows and columns are multiplied by matrices: in a graph, oneDNN's convolution by a kernel longer than the
    image ends the process (TensorFlow 2.21).
    """
    if not deviation:
        return maps
    rows, columns = (_gaussian(tf.shape(maps)[axis], deviation) for axis in (1, 2))
    return tf.matmul(tf.matmul(rows, maps), columns)


def _gaussian(length, deviation: float):
    """Return the matrix (length, length) that smooths a column of pixels; it is symmetric."""
    radius = max(1, int(4 * deviation + 0.5))
    total = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2).sum()
    place = tf.range(length)
    distance = tf.cast(tf.abs(place[:, None] - place), tf.float32)
    weights = tf.exp(-0.5 * tf.square(distance / deviation)) / float(total)
    return tf.where(distance <= float(radius), weights, 0.0)


def surroundings(images):
    """Smooth the images so heavily that no finding is left.

    The weights ignore what lies beyond the border.
    """
    deviation = _SURROUNDINGS * images.shape[1]
    ones = smoothed(tf.ones_like(images[:1, ..., 0]), deviation)
    channels = [smoothed(images[..., channel], deviation) / ones for channel in range(images.shape[-1])]
    return tf.stack(channels, axis=-1)


#: Recipe value -> images (B, H, W, C) -> baseline, broadcastable to them. Prepared slices are 0 at the
#: organ's mean.
BASELINES = {
    "black": lambda images: tf.reduce_min(images, axis=(1, 2), keepdims=True),
    "mean": lambda images: tf.zeros_like(images[:, :1, :1]),
    "surroundings": surroundings,
}
