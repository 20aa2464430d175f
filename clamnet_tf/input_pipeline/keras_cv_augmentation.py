"""Draw intensity views with keras-cv.

Only this module imports it, since keras-cv 0.9 is frozen upstream and slow.

Its layers ignore their seeds, so a resumed run draws other views; geometry stays with `augmentation.py`,
whose warp must be known exactly.
"""

import tensorflow as tf

_RANGE = 5.0  # normalised intensities are clipped to +-5, see imaging.windows.normalize


def build_rand_augment(strength: float):
    """Return a function of views for use inside tf.data: RandAugment on intensities alone.

    The function takes and returns (B, H, W, C) float32, normalised. It applies one to two operations per
    slice (autocontrast, equalise, solarise, colour, contrast, brightness); shape and geometry are kept, and
    pixels that are 0 in all channels (outside) stay 0.

    Args:
        strength: keras-cv's magnitude, in 0..1.
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
        else:  # keras-cv accepts colour pictures only: each channel becomes a grey one
            grey = [
                layer(tf.repeat(scaled[..., c : c + 1], 3, axis=-1), training=True)
                for c in range(views.shape[-1])
            ]
            changed = tf.concat([tf.reduce_mean(copy, axis=-1, keepdims=True) for copy in grey], axis=-1)
        return tf.ensure_shape(changed * (2 * _RANGE) - _RANGE, views.shape) * visible

    return augment
