"""The hybrid loss when a slice's label names which of several markers it shows (paper eq. (1), its sum over the classes; METHOD section 2).

With background as class 0, markers as classes 1 .. M and H_c = mean over the organ of h_k(one-hot of class c, p):

    normal slice, or one that shows no marker:   H_0
    slice that shows the markers S:              (1 / |S|) sum over c in S of eta_c H_c

A marker that the label excludes is not among the targets, so that its probability is pushed down like the background's: by the softmax,
through log p_c of the markers that are there. In a normal slice every marker is pushed down.
"""

from keras import ops

from clamnet_tf.losses.contrastive import margin_contrast
from clamnet_tf.losses.hybrid import class_hybrid
from clamnet_tf.losses.pooling import generalised_mean


def markers_hybrid(log_probabilities, organ, marker_eta, k: int = 1):
    """The terms above, one value per slice.

    Args:
        log_probabilities: (B, H, W, 1 + M) float32. organ: (B, H, W) in 0..1.
        marker_eta: (B, M) float32: eta_c of the markers that a slice shows, 0 of the others.

    Returns:
        raw, weighted: (B,) float32 without and with eta.
    """
    organ = ops.cast(organ, log_probabilities.dtype)[..., None]
    sums = ops.sum(class_hybrid(log_probabilities, k) * organ, axis=(1, 2))
    per_class = sums / ops.maximum(ops.sum(organ, axis=(1, 2)), 1.0)  # (B, 1 + M)
    shown, background = share_of_shown(marker_eta)
    raw = background * per_class[:, 0] + ops.sum(shown * per_class[:, 1:], axis=-1)
    return raw, background * per_class[:, 0] + ops.sum(shown * marker_eta * per_class[:, 1:], axis=-1)


def share_of_shown(marker_eta):
    """1 / |S| of each marker in S, 0 of the others, (B, M); 1 where nothing is shown, else 0, (B,)."""
    shown = ops.cast(marker_eta > 0, "float32")
    count = ops.sum(shown, axis=-1)
    return shown / ops.maximum(count, 1.0)[:, None], ops.cast(count == 0, "float32")


def markers_contrast(log_probabilities, organ, marker_eta, margin: float, power: float):
    """Margin of each negative pair (rows 2i abnormal, 2i + 1 normal): of the pooled P(c), mean over the markers that the abnormal slice shows, (B / 2,)."""
    shown, _ = share_of_shown(marker_eta[::2])
    total = 0.0
    for number in range(marker_eta.shape[1]):
        pairs = ops.reshape(generalised_mean(ops.exp(log_probabilities[..., number + 1]), organ, power), (-1, 2))
        total += shown[:, number] * margin_contrast(pairs[:, 0], pairs[:, 1], margin)
    return total
