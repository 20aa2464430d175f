"""Pool a probability map into one score per image."""

from keras import ops

_LARGEST_LOGIT = 12.0
_TINY = 6e-6  # the logit of it is -12


def generalised_mean(probability, organ, power: float):
    """Return (mean over the organ of p^power)^(1/power), which lies between the mean (power 1) and the
    maximum.

    Args:
        probability: (B, H, W) float32 in 0..1.
        organ: (B, H, W) in 0..1; pixels outside do not count.
        power: at least 1.

    Returns:
        (B,) float32 in 0..1; 0 for an empty organ. Gradients stay finite at p = 0.
    """
    organ = ops.cast(organ, probability.dtype)
    pixels = ops.maximum(ops.sum(organ, axis=(1, 2)), 1.0)
    # Scaled by the maximum, so that p^power does not underflow in float32.
    peak = ops.stop_gradient(ops.maximum(ops.max(probability * organ, axis=(1, 2)), 1e-6))
    relative = probability / peak[:, None, None]
    mean = ops.sum(ops.power(ops.maximum(relative, 1e-6), power) * organ, axis=(1, 2)) / pixels
    return peak * ops.power(mean + 1e-12, 1.0 / power)


def log_sum_exp(probability, organ, sharpness: float):
    """Return (1/r) log(mean over the organ of exp(r p)) (Pinheiro and Collobert 2015).

    Args:
        probability: (B, H, W) float32 in 0..1.
        organ: (B, H, W) in 0..1; pixels outside do not count.
        sharpness: r, above 0.

    Returns:
        (B,) float32 in 0..1.
    """
    organ = ops.cast(organ, probability.dtype)
    pixels = ops.maximum(ops.sum(organ, axis=(1, 2)), 1.0)
    return (
        ops.log(ops.maximum(ops.sum(ops.exp(sharpness * probability) * organ, axis=(1, 2)) / pixels, 1.0))
        / sharpness
    )


def evidence_log_sum_exp(probability, organ, sharpness: float):
    """Return sigmoid((1/r) log mean over the organ of exp(r logit p)), the log-sum-exp of the evidence.

    Where `log_sum_exp` pools probabilities, this pools their logits, which have no bounds: a single place can
    make the slice abnormal, and gradients do not vanish where p is small.

    Args:
        probability: (B, H, W) float32 in 0..1.
        organ: (B, H, W) in 0..1; pixels outside do not count.
        sharpness: r, above 0; the larger, the nearer to the maximum.

    Returns:
        (B,) float32 in 0..1; 0.5 for an empty organ.
    """
    organ, evidence = ops.cast(organ, probability.dtype), _logit(probability)
    peak = ops.stop_gradient(ops.max(evidence * organ - _LARGEST_LOGIT * (1.0 - organ), axis=(1, 2)))
    total = ops.sum(ops.exp(sharpness * (evidence - peak[:, None, None])) * organ, axis=(1, 2))
    pixels = ops.maximum(ops.sum(organ, axis=(1, 2)), 1.0)
    pooled = peak + ops.log(ops.maximum(total / pixels, 1e-30)) / sharpness
    return ops.sigmoid(ops.where(ops.sum(organ, axis=(1, 2)) > 0, pooled, 0.0))


def probabilistic_cam(probability, organ, sharpness: float):
    """Return sigmoid(sum p logit p / sum p) over the organ, probabilistic-CAM pooling (Ye et al. 2020).

    Each pixel's share is its own probability: what the map calls lesion decides, however small it is. In the
    paper features are averaged with these weights before the linear layer that gives the logit; since that
    layer is linear, the weighted mean of the pixels' logits is the same number.

    Args:
        probability: (B, H, W) float32 in 0..1.
        organ: (B, H, W) in 0..1; pixels outside do not count.
        sharpness: not used, as the weights have no setting.

    Returns:
        (B,) float32 in 0..1; 0.5 for an empty organ.
    """
    organ, evidence = ops.cast(organ, probability.dtype), _logit(probability)
    weight = ops.clip(probability, _TINY, 1.0) * organ
    total = ops.sum(weight, axis=(1, 2))
    return ops.sigmoid(ops.sum(weight * evidence, axis=(1, 2)) / ops.maximum(total, _TINY))


def _logit(probability):
    """Return log p / (1 - p), kept within _LARGEST_LOGIT on both sides."""
    inside = ops.clip(probability, _TINY, 1.0 - _TINY)
    return ops.clip(ops.log(inside) - ops.log(1.0 - inside), -_LARGEST_LOGIT, _LARGEST_LOGIT)
