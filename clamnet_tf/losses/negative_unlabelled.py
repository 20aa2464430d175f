"""Negative-unlabelled risk with the non-negative correction: nnPU (Kiryo et al. 2017) with the classes
exchanged (METHOD section 2).

Pixels of normal slices are sure negatives (N), those of abnormal slices are unlabelled (U): a share `prior`
of them is marker, the rest is background like N. Hence E_U = prior E_marker + (1 - prior) E_N, and both
classes' errors can be estimated:

    on background    E_N[l(background)]
    on marker        (E_U[l(marker)] - (1 - prior) E_N[l(marker)]) / prior

with the sigmoid loss of the paper, l(background) = P(marker) and l(marker) = 1 - P(marker), which is bounded.
The risk is their mean, as if there were as much marker as background (Su, Chen and Xu 2021, on imbalanced
data): weighted by the prior, as in Kiryo's eq. (6), P(marker) = 0 everywhere costs no more than `prior`, is
flat, and is where every training on lesions ended (EXPERIMENTS). The second part cannot truly be negative; a
flexible network makes it so by memorising.
"""

from keras import ops

from clamnet_tf.losses.hybrid import organ_mean

BALANCE = 0.5  # weight of the error on marker pixels; the rest is that of background


def partial_risks(marker, organ, abnormal, prior: float):
    """The two parts of the risk on one batch.

    Args:
        marker: P(marker), (B, H, W) float32 in 0..1. organ: (B, H, W) in 0..1; pixels outside count nothing.
        abnormal: (B,) float32, 1 = the slice is abnormal, hence unlabelled; 0 = normal.
        prior: share of marker pixels in the organ of abnormal slices, in 0..1.

    Returns:
        Scalars, each half of its class's error as above: of background, in 0..0.5, and of marker, which may
        be negative. Every slice counts alike.
    """
    as_background, as_marker = organ_mean(marker, organ), organ_mean(1.0 - marker, organ)
    normal = 1.0 - abnormal
    missed = (_mean(as_marker, abnormal) - (1.0 - prior) * _mean(as_marker, normal)) / prior
    return (1.0 - BALANCE) * _mean(as_background, normal), BALANCE * missed


def non_negative(background, marker, observed=None):
    """The corrected risk of the two parts, a scalar, with the gradient rule of Kiryo et al. 2017, algorithm 1
    (beta 0, gamma 1).

    While the marker part is at least 0, the gradient is that of the whole risk. Below 0 the value is the
    background part alone, and the gradient is that of MINUS the marker part: the step goes up there, to undo
    what was memorised.

    observed: the number whose sign decides, when it is not `marker` itself: its mean over all replicas.
    """
    observed = marker if observed is None else observed
    undoing = ops.stop_gradient(background + marker) - marker
    return ops.where(ops.stop_gradient(observed) >= 0, background + marker, undoing)


def _mean(values, weights):
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)
