"""Intensity views from keras-cv, the only module that touches it: keras-cv 0.9 is frozen upstream and slow to
import.

Its layers do not honour their seeds, so that a resumed run draws other views; geometry stays with `views.py`,
whose warp must be known exactly.
"""

import tensorflow as tf

_RANGE = 5.0  # normalised intensities are clipped to +-5, see imaging.windows.normalize


def build_rand_augment(strength: float):
    """A function of views (B, H, W, C) float32, normalised, for use inside tf.data: RandAugment on
    intensities alone.

    strength: 0..1, keras-cv's magnitude. One to two operations per slice (autocontrast, equalise, solarise,
    colour, contrast, brightness); shape and geometry are kept, and pixels that are 0 in all channels
    (outside) stay 0.
    """
    from keras_cv.layers import RandAugment

    layer = RandAugment(
        value_range=(0.0, 1.0), augmentations_per_image=2, magnitude=strength, geometric=False
    )

    def augment(views):
        visible = tf.cast(tf.reduce_any(views != 0, axis=-1, keepdims=True), views.dtype)
        scaled = tf.clip_by_value((views + _RANGE) / (2 * _RANGE), 0.0, 1.0)
        if views.shape[-1] == 3:
            changed = layer(scaled, training=True)
        else:  # keras-cv knows colour pictures only: each channel as a grey one
            grey = [
                layer(tf.repeat(scaled[..., c : c + 1], 3, axis=-1), training=True)
                for c in range(views.shape[-1])
            ]
            changed = tf.concat([tf.reduce_mean(one, axis=-1, keepdims=True) for one in grey], axis=-1)
        return tf.ensure_shape(changed * (2 * _RANGE) - _RANGE, views.shape) * visible

    return augment
