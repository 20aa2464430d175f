"""The hybrid loss of the paper, eq. (1), per pixel and per example (METHOD section 2)."""

import keras
from keras import ops

_TINY = 1e-6


def hybrid_per_pixel(targets, log_probabilities, k: int = 1):
    """h_k(y, p) = -sum_c [ y_c log p_c + k y_c p_c / (y_c^2 + p_c^2 + 1e-6) ], pixel by pixel.

    Args:
        targets: (..., C) float32 in 0..1, summing to 1 over the classes; soft targets are allowed.
        log_probabilities: (..., C) float32 log of the softmax over the classes (log-softmax of the logits).
        k: factor of the overlap term; 1 is the paper's eq. (1), 2 the form of UNet++.

    Returns:
        (...) float32, at least -k*C/2; y = p = 0 contributes 0. Its gradient with respect to logits is bounded.
    """
    probabilities = ops.exp(log_probabilities)
    overlap = targets * probabilities / (ops.square(targets) + ops.square(probabilities) + _TINY)
    return -ops.sum(targets * log_probabilities + k * overlap, axis=-1)


def class_hybrid(log_probabilities, k: int = 1):
    """h_k against the one-hot target of every class in turn: -[ log p_c + k p_c / (1 + p_c^2 + 1e-6) ], (..., C) -> (..., C)."""
    probabilities = ops.exp(log_probabilities)
    return -(log_probabilities + k * probabilities / (1.0 + ops.square(probabilities) + _TINY))


def organ_mean(per_pixel, organ):
    """Mean over the organ of each example: (B, H, W), (B, H, W) in 0..1 -> (B,). An empty organ gives 0."""
    organ = ops.cast(organ, per_pixel.dtype)
    return ops.sum(per_pixel * organ, axis=(1, 2)) / ops.maximum(ops.sum(organ, axis=(1, 2)), 1.0)


@keras.saving.register_keras_serializable(package="clamnet_tf")
class HybridLoss(keras.losses.Loss):
    """The hybrid loss as a Keras loss: one value per example, reduced by Keras (paper eq. (1)).

    `y_true` is (B, H, W, C) in 0..1, `y_pred` (B, H, W, C) logits. `sample_weight` takes eta per example.
    """

    def __init__(self, k: int = 1, reduction="sum_over_batch_size", name="hybrid", **kwargs):
        super().__init__(reduction=reduction, name=name, **kwargs)
        self.k = k

    def call(self, y_true, y_pred):
        per_pixel = hybrid_per_pixel(y_true, ops.log_softmax(y_pred, axis=-1), self.k)
        return ops.mean(per_pixel, axis=(1, 2))

    def get_config(self):
        return {**super().get_config(), "k": self.k}
