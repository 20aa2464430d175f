"""Compute what a mask teaches: the hybrid loss and a soft Dice loss, on the organ without ignored pixels."""

from keras import ops

from clamnet_tf.losses.hybrid import hybrid_per_pixel, organ_mean
from clamnet_tf.recipe.schema_loss import SoftDiceSection

#: Value of pixels that teach nothing.
IGNORED = 255
#: Factor of the soft Dice of slices with a lesion when the others do not count, which are half of a batch.
LESION_FACTOR = 2.0


def mask_terms(log_probabilities, mask, organ, k: int, dice: SoftDiceSection) -> tuple:
    """Return the hybrid loss and the soft Dice loss of each slice against its mask, (B,) float32 each.

    The soft Dice is the mean over the lesion classes that the mask holds, over all of them where it holds
    none: else a class would be rewarded for being empty in every slice of the others, many times for each
    slice that shows it. It is smoothed, so that an empty mask rewards an empty prediction. Pixels that are
    IGNORED in the mask, or outside of the organ, have no part in either, so that their gradient is 0.

    Args:
        log_probabilities: (B, H, W, 1 + M) float32 log-softmax of the network's logits.
        mask: (B, H, W) int: 0 background, 1 .. M lesion class, IGNORED.
        organ: (B, H, W) float32 in 0..1.
        k: factor of the overlap term of the hybrid loss, 1 or 2.
        dice: recipe section `loss.soft_dice`: smoothing in pixels, and whether slices without a lesion count.
    """
    organ = organ * ops.cast(mask != IGNORED, "float32")
    truth = ops.one_hot(ops.where(mask == IGNORED, 0, mask), log_probabilities.shape[-1])
    hybrid = organ_mean(hybrid_per_pixel(truth, log_probabilities, k), organ)
    loss = _soft_dice(ops.exp(log_probabilities[..., 1:]), truth[..., 1:], organ[..., None], dice.smoothing)
    return hybrid, _of_held(loss, truth, organ) * _counted(mask, organ, dice)


def _counted(mask, organ, dice):
    """Return the factors of the soft Dice, (B,).

    They are 1; with `lesions_only` they are 0 for slices without a lesion and LESION_FACTOR for the others.
    """
    if not dice.lesions_only:
        return 1.0
    return ops.cast(ops.any((mask > 0) & (organ > 0), axis=(1, 2)), "float32") * LESION_FACTOR


def _soft_dice(probability, truth, organ, smoothing: float):
    """Return 1 - smoothed Dice of (B, H, W, M) maps, (B, M)."""
    overlap = ops.sum(probability * truth * organ, axis=(1, 2))
    sizes = ops.sum((probability + truth) * organ, axis=(1, 2))
    return 1.0 - (2.0 * overlap + smoothing) / (sizes + smoothing)


def _of_held(values, truth, organ):
    """Return the mean of (B, M) over the lesion classes that each mask holds, over all where it holds
    none, (B,).
    """
    held = ops.cast(ops.sum(truth[..., 1:] * organ[..., None], axis=(1, 2)) > 0, "float32")
    share = ops.where(ops.sum(held, axis=-1, keepdims=True) > 0, held, 1.0)
    return ops.sum(values * share, axis=-1) / ops.sum(share, axis=-1)
