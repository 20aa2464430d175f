"""What the twins owe each other: agreement on positive pairs, a margin on negative pairs (METHOD section
3).
"""

from keras import ops

from clamnet_tf.losses.hybrid import hybrid_per_pixel, share_of_shown
from clamnet_tf.losses.pooling import generalised_mean


def squared_agreement(probabilities_a, probabilities_b):
    """Squared distance of two aligned probability maps (Hadsell 2006): (B, H, W, C) twice -> (B, H, W)."""
    return ops.sum(ops.square(probabilities_a - probabilities_b), axis=-1)


def hybrid_agreement(probabilities_a, log_probabilities_b, k: int = 1):
    """h(sg(p_a), p_b): the hybrid loss against the other's stopped prediction, (B, H, W, C) twice -> (B, H,
    W).
    """
    return hybrid_per_pixel(ops.stop_gradient(probabilities_a), log_probabilities_b, k)


def margin_contrast(score_abnormal, score_normal, margin: float):
    """0.5 max(0, margin - (u_abnormal - u_normal))^2 of each negative pair: (P,), (P,) in 0..1 -> (P,).

    Image scores, never pixels: two patients must not be pushed apart pixel by pixel, which asks for the whole
    organ.
    """
    return 0.5 * ops.square(ops.maximum(margin - (score_abnormal - score_normal), 0.0))


def contrast_of_labels(log_probabilities, organ, eta, margin: float, power: float):
    """Return the margin of each negative pair, averaged over the classes that the abnormal slice shows.

    Args:
        log_probabilities: (B, H, W, 1 + M) float32; rows 2i are abnormal, rows 2i + 1 normal.
        organ: (B, H, W) in 0..1.
        eta: (B, M), above 0 of the lesion classes that a slice shows.
        margin: as in `margin_contrast`, of the pooled P(c). power: of the generalised mean that pools.

    Returns:
        (B / 2,) float32.
    """
    shown, _ = share_of_shown(eta[::2])
    total = 0.0
    for index in range(eta.shape[1]):
        score = generalised_mean(ops.exp(log_probabilities[..., index + 1]), organ, power)
        pairs = ops.reshape(score, (-1, 2))
        total += shown[:, index] * margin_contrast(pairs[:, 0], pairs[:, 1], margin)
    return total


def ramp(step, steps: int, fraction: float):
    """0 to 1 linearly over the first `fraction` of `steps`, then 1; a constant map satisfies agreement, so it
    must wait.
    """
    if fraction <= 0:
        return ops.ones((), "float32")
    return ops.minimum(ops.cast(step, "float32") / max(1.0, fraction * steps), 1.0)
