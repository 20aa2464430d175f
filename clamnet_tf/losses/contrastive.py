"""Compare the twins: a consistency loss on positive pairs, a margin on negative pairs.

See docs/method.md, section "Pairs".
"""

from keras import ops

from clamnet_tf.losses.hybrid import class_shares, hybrid_per_pixel
from clamnet_tf.losses.pooling import generalised_mean


def squared_consistency(probabilities_a, probabilities_b):
    """Return the squared distance of two aligned probability maps (Hadsell 2006).

    Args:
        probabilities_a: (B, H, W, C) in 0..1.
        probabilities_b: (B, H, W, C) in 0..1.

    Returns:
        (B, H, W), summed over the classes.
    """
    return ops.sum(ops.square(probabilities_a - probabilities_b), axis=-1)


def hybrid_consistency(probabilities_a, log_probabilities_b, k: int = 1):
    """Return h(sg(p_a), p_b), the hybrid loss against the other view's prediction without its gradient.

    Args:
        probabilities_a: (B, H, W, C) in 0..1; no gradient flows into it.
        log_probabilities_b: (B, H, W, C) log of the softmax over the classes.
        k: factor of the overlap term, see `hybrid_terms`.

    Returns:
        (B, H, W).
    """
    return hybrid_per_pixel(ops.stop_gradient(probabilities_a), log_probabilities_b, k)


def margin_contrast(score_abnormal, score_normal, margin: float):
    """Return 0.5 max(0, margin - (u_abnormal - u_normal))^2 of each negative pair.

    It compares image scores, never pixels: two patients must not be pushed apart pixel by pixel, since that
    asks for the whole organ.

    Args:
        score_abnormal: (P,) image scores in 0..1.
        score_normal: (P,) image scores in 0..1.
        margin: the difference from which on a pair costs nothing.

    Returns:
        (P,).
    """
    return 0.5 * ops.square(ops.maximum(margin - (score_abnormal - score_normal), 0.0))


def contrast_of_labels(log_probabilities, organ, eta, margin: float, power: float, certainty=None):
    """Return the margin loss of each negative pair, averaged over the classes that the abnormal slice shows.

    Args:
        log_probabilities: (B, H, W, 1 + M) float32; rows 2i are abnormal, rows 2i + 1 normal.
        organ: (B, H, W) in 0..1.
        eta: (B, M), above 0 for the lesion classes that a slice shows.
        margin: of `margin_contrast`, in units of the pooled P(class).
        power: of the generalised mean that pools.
        certainty: (B, M) in 0..1, weight of each slice and class where the label is that of a study; None: 1.

    Returns:
        (B / 2,) float32.
    """
    shares, _ = class_shares(eta[::2])
    if certainty is not None:
        shares = shares * certainty[::2]
    total = 0.0
    for index in range(eta.shape[1]):
        score = generalised_mean(ops.exp(log_probabilities[..., index + 1]), organ, power)
        pairs = ops.reshape(score, (-1, 2))
        total += shares[:, index] * margin_contrast(pairs[:, 0], pairs[:, 1], margin)
    return total


def ramp(step, steps: int, fraction: float):
    """Return a weight that rises linearly from 0 to 1 over the first `fraction` of `steps`, then stays 1.

    A constant map is consistent too, so the consistency loss must not dominate early.
    """
    if fraction <= 0:
        return ops.ones((), "float32")
    return ops.minimum(ops.cast(step, "float32") / max(1.0, fraction * steps), 1.0)
