"""Estimate the negative-unlabelled risk with the non-negative correction: nnPU (Kiryo et al. 2017), classes
exchanged.

See docs/method.md, section "Hybrid loss", on negative-unlabelled learning. Pixels of normal slices are sure
negatives (N), those of abnormal slices are unlabelled (U): a share `prior` of them is lesion, the rest is
background like N. Hence E_U = prior E_lesion + (1 - prior) E_N, and the errors of both classes can be
estimated:

    on background    E_N[l(background)]
    on lesion        (E_U[l(lesion)] - (1 - prior) E_N[l(lesion)]) / prior

with the sigmoid loss of Kiryo et al., l(background) = P(lesion) and l(lesion) = 1 - P(lesion), which is
bounded. The risk is their mean, as if there were as much lesion as background (Su, Chen and Xu 2021, on
imbalanced data): weighted by the prior, as in Kiryo's eq. (6), P(lesion) = 0 everywhere costs no more than
`prior`, is flat, and is where every training on lesions ended (recipes/EXPERIMENTS.md). The second part
cannot truly be negative; a flexible network makes it so by memorising.
"""

from keras import ops

from clamnet_tf.losses.hybrid import organ_mean

BALANCE = 0.5  # weight of the error on lesion pixels; the rest is that of background


def partial_risks(lesion, organ, abnormal, prior: float):
    """Return the two parts of the risk on one batch.

    Args:
        lesion: P(lesion), (B, H, W) float32 in 0..1.
        organ: (B, H, W) in 0..1; pixels outside do not count.
        abnormal: (B,) float32, 1 = the slice is abnormal, hence unlabelled; 0 = normal.
        prior: share of lesion pixels in the organ of abnormal slices, in 0..1.

    Returns:
        Scalars, each half of its class's error (see the module): of background, in 0..0.5, and of lesion,
        which may be negative. Every slice counts alike.
    """
    as_background, as_lesion = organ_mean(lesion, organ), organ_mean(1.0 - lesion, organ)
    normal = 1.0 - abnormal
    missed = (_mean(as_lesion, abnormal) - (1.0 - prior) * _mean(as_lesion, normal)) / prior
    return (1.0 - BALANCE) * _mean(as_background, normal), BALANCE * missed


def non_negative(background, lesion, observed=None):
    """Return the corrected risk of the two parts, with the gradient rule of Kiryo et al. 2017, algorithm 1.

    (In their terms, beta is 0 and gamma 1.) While the lesion part is at least 0, the gradient is that of the
    whole risk. Below 0 the value is the background part alone, and the gradient is that of MINUS the lesion
    part: the step goes up there, to undo what was memorised.

    Args:
        background: scalar, the first part.
        lesion: scalar, the second part.
        observed: scalar whose sign decides, when it is not `lesion` itself: its mean over all replicas.

    Returns:
        A scalar.
    """
    observed = lesion if observed is None else observed
    undoing = ops.stop_gradient(background + lesion) - lesion
    return ops.where(ops.stop_gradient(observed) >= 0, background + lesion, undoing)


def _mean(values, weights):
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)
