"""Negative-unlabelled risk with the non-negative correction: nnPU (Kiryo et al. 2017) with the classes exchanged (METHOD section 2).

Pixels of normal slices are sure negatives (N), those of abnormal slices are unlabelled (U): a share `prior` of them is
marker, the rest is background like N. Hence E_U = prior E_marker + (1 - prior) E_N, and

    risk = (1 - prior) E_N[l(background)] + max(0, E_U[l(marker)] - (1 - prior) E_N[l(marker)])

with the sigmoid loss of the paper, l(background) = P(marker) and l(marker) = 1 - P(marker), which is bounded. The second
part estimates prior * E_marker[l(marker)] and cannot truly be negative; a flexible network makes it so by memorising.

The sigmoid loss is flat where P(marker) is 0 everywhere, which has the risk `prior`: a learning rate that is too high for
the first steps ends there and stays. The logistic loss has no such place, but found less on toy slices: it is clipped most of the time.
"""

from keras import ops

from clamnet_tf.losses.hybrid import organ_mean


def partial_risks(marker, organ, abnormal, prior: float):
    """The two parts of the risk on one batch.

    Args:
        marker: P(marker), (B, H, W) float32 in 0..1. organ: (B, H, W) in 0..1; pixels outside count nothing.
        abnormal: (B,) float32, 1 = the slice is abnormal, hence unlabelled; 0 = normal.
        prior: share of marker pixels in the organ of abnormal slices, in 0..1.

    Returns:
        Scalars (1 - prior) E_N[l(background)], in 0..1, and E_U[l(marker)] - (1 - prior) E_N[l(marker)], which may be
        negative. Every slice counts alike.
    """
    as_background, as_marker = organ_mean(marker, organ), organ_mean(1.0 - marker, organ)
    normal = 1.0 - abnormal
    background = (1.0 - prior) * _mean(as_background, normal)
    return background, _mean(as_marker, abnormal) - (1.0 - prior) * _mean(as_marker, normal)


def non_negative(background, marker, observed=None):
    """The corrected risk of the two parts, a scalar, with the gradient rule of Kiryo et al. 2017, algorithm 1 (beta 0, gamma 1).

    While the marker part is at least 0, the gradient is that of the whole risk. Below 0 the value is the background part
    alone, and the gradient is that of MINUS the marker part: the step goes up there, to undo what was memorised.

    observed: the number whose sign decides, when it is not `marker` itself: its mean over all replicas.
    """
    observed = marker if observed is None else observed
    undoing = ops.stop_gradient(background + marker) - marker
    return ops.where(ops.stop_gradient(observed) >= 0, background + marker, undoing)


def _mean(values, weights):
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)
