"""Compute the hybrid loss of the paper, eq. (1), per pixel and per example.

See docs/method.md, section "Hybrid loss".
"""

import keras
from keras import ops

_TINY = 1e-6


def hybrid_terms(targets, log_probabilities, k: int = 1):
    """Return the term of every class in h_k: -[ y_c log p_c + k y_c p_c / (y_c^2 + p_c^2 + 1e-6) ].

    Args:
        targets: (..., C) float32 in 0..1; 1.0 gives the term of each class against its own one-hot target.
        log_probabilities: (..., C) float32 log of the softmax over the classes (log-softmax of the logits).
        k: factor of the overlap term; 1 is the paper's eq. (1), 2 the form of UNet++.

    Returns:
        (..., C) float32; y = p = 0 contributes 0. The gradient with respect to the logits is bounded.
    """
    probabilities = ops.exp(log_probabilities)
    overlap = targets * probabilities / (ops.square(targets) + ops.square(probabilities) + _TINY)
    return -(targets * log_probabilities + k * overlap)


def hybrid_per_pixel(targets, log_probabilities, k: int = 1):
    """Return h_k(y, p), the sum of `hybrid_terms` over the classes, pixel by pixel.

    Args:
        targets: (..., C) float32 that sums to 1 over the classes; soft targets are allowed.
        log_probabilities: (..., C) float32, see `hybrid_terms`.
        k: see `hybrid_terms`.

    Returns:
        (...) float32, at least -k*C/2.

    Examples:
        >>> import numpy as np
        >>> target, probability = np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]])
        >>> hybrid_per_pixel(target, np.log(probability)).numpy().round(3)  # -(log 0.5 + 0.5 / 1.25)
        array([0.293])
    """
    return ops.sum(hybrid_terms(targets, log_probabilities, k), axis=-1)


def organ_mean(per_pixel, organ):
    """Return the mean over the organ of each example; an empty organ gives 0.

    Args:
        per_pixel: (B, H, W).
        organ: (B, H, W) in 0..1.

    Returns:
        (B,).
    """
    organ = ops.cast(organ, per_pixel.dtype)
    return ops.sum(per_pixel * organ, axis=(1, 2)) / ops.maximum(ops.sum(organ, axis=(1, 2)), 1.0)


def hybrid_of_labels(log_probabilities, organ, eta, k: int = 1):
    """Return the hybrid loss of slices whose labels name the lesion classes that they show.

    With background as class 0, lesion classes 1 .. M and H_c = mean over the organ of h_k(one-hot of class c,
    p):

        slice that shows no class (normal):   H_0
        slice that shows the classes S:       (1 / |S|) sum over c in S of eta_c H_c

    A class that the label excludes is not among the targets: the softmax pushes its probability down, like
    the background's, through log p_c of the classes that are there. In a normal slice every lesion class is
    pushed down.

    Args:
        log_probabilities: (B, H, W, 1 + M) float32.
        organ: (B, H, W) in 0..1.
        eta: (B, M) float32: eta_c of the classes that a slice shows, 0 for the other classes.
        k: see `hybrid_terms`.

    Returns:
        The loss without eta and the loss with eta, (B,) float32 each.
    """
    shares, normal = class_shares(eta)
    terms = hybrid_terms(1.0, log_probabilities, k)
    background = normal * organ_mean(terms[..., 0], organ)
    raw = weighted = background
    for index in range(eta.shape[1]):
        share = shares[:, index] * organ_mean(terms[..., index + 1], organ)
        raw, weighted = raw + share, weighted + ops.cast(eta[:, index], "float32") * share
    return raw, weighted


def class_shares(eta):
    """Return the weight of each class in a slice, and which slices are normal.

    Args:
        eta: (B, M), above 0 for the classes S that a slice shows.

    Returns:
        (B, M) float32, 1 / |S| for each class in S and 0 for the others; (B,) float32, 1 where S is empty,
        else 0.
    """
    present = ops.cast(eta > 0, "float32")
    count = ops.sum(present, axis=-1)
    return present / ops.maximum(count, 1.0)[:, None], ops.cast(count == 0, "float32")


@keras.saving.register_keras_serializable(package="clamnet_tf")
class HybridLoss(keras.losses.Loss):
    """Compute the hybrid loss as a Keras loss: one value per example, reduced by Keras (paper eq. (1)).

    `y_true` is (B, H, W, C) in 0..1, `y_pred` (B, H, W, C) logits. `sample_weight` takes eta per example.

    Args:
        k: see `hybrid_terms`.
        reduction: Keras' reduction over the examples.
        name: name of the loss.

    Examples:
        >>> import numpy as np
        >>> mask = np.eye(2, dtype="float32")[np.array([[[0, 1], [0, 1]]])]  # (1, 2, 2, 2), one-hot
        >>> logits = 4.0 * mask
        >>> float(HybridLoss()(mask, logits)) < float(HybridLoss()(mask, -logits))
        True
    """

    def __init__(self, k: int = 1, reduction="sum_over_batch_size", name="hybrid", **kwargs):
        super().__init__(reduction=reduction, name=name, **kwargs)
        self.k = k

    def call(self, y_true, y_pred):
        per_pixel = hybrid_per_pixel(y_true, ops.log_softmax(y_pred, axis=-1), self.k)
        return ops.mean(per_pixel, axis=(1, 2))

    def get_config(self):
        return {**super().get_config(), "k": self.k}
