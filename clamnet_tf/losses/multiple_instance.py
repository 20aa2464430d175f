"""Learn from multiple instances: a slice is a bag of pixels, and the pooled P(lesion) alone predicts its
label.

See Pinheiro and Collobert 2015.
"""

from keras import ops

from clamnet_tf.losses.pooling import (
    evidence_log_sum_exp,
    generalised_mean,
    log_sum_exp,
    probabilistic_cam,
)

#: recipe name -> (probability, organ, sharpness) -> score per slice
POOLINGS = {
    "generalised_mean": generalised_mean,
    "log_sum_exp": log_sum_exp,
    "evidence_log_sum_exp": evidence_log_sum_exp,
    "probabilistic_cam": probabilistic_cam,
}
_TINY = 1e-6


def bag_cross_entropy(score, abnormal):
    """Return -y log u - (1 - y) log(1 - u) of each slice, at most 13.8.

    Args:
        score: u, (B,) in 0..1.
        abnormal: y, (B,) 0 or 1.

    Returns:
        (B,) float32.
    """
    return -abnormal * ops.log(score + _TINY) - (1.0 - abnormal) * ops.log(1.0 - score + _TINY)
