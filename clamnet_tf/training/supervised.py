"""Train the same networks from masks: upper bounds and organ networks.

This is the only training module that may open masks.
"""

import numpy as np
from keras import ops

from clamnet_tf.errors import DataError
from clamnet_tf.losses.hybrid import hybrid_per_pixel, organ_mean
from clamnet_tf.networks.build import head_names
from clamnet_tf.preprocessing.mask_access import open_masks
from clamnet_tf.recipe.schema_loss import SoftDiceSection
from clamnet_tf.training.pseudo_labels import IGNORED
from clamnet_tf.training.steps import StepTrainer, head_shares, log_probabilities

#: Factor of the soft Dice of slices with a lesion when the others do not count, which are half of a batch.
LESION_FACTOR = 2.0


def training_masks(manifest, prepared, rows, classes: int = 1, say=lambda line: None):
    """Return the masks of training rows on the prepared grid.

    Args:
        manifest: the cases.
        prepared: Prepared slices made from it.
        rows: row numbers of the table.
        classes: how many lesion classes the recipe has.
        say: callable that receives a line on what was assumed in reading the masks.

    Returns:
        kept: (n,) indices into `rows` of those that have a mask (an abnormal slice without one is left out; a
            normal one is empty).
        masks: (n, H, W) uint8 label maps: 0 background, 1 .. `classes`.

    Raises:
        DataError: no training slice has a mask.
    """
    notes: dict[str, str] = {}
    masks = open_masks(
        manifest, prepared, rows, purpose="supervision", grid="prepared", classes=classes, notes=notes
    )
    for note, file in notes.items():
        say(f"Note on masks (first {file}): {note}")
    indices = np.array([index for index, mask in enumerate(masks) if mask is not None], dtype=np.int64)
    if not len(indices):
        raise DataError(
            "training.supervision: masks needs masks of training slices; the manifest names none. Use "
            "supervision: labels."
        )
    return indices, np.stack([np.asarray(masks[index], np.uint8) for index in indices])


class SupervisedTrainer(StepTrainer):
    """Minimise the hybrid loss plus soft Dice of each head against masks, inside the organ, without IGNORED
    pixels.

    The soft Dice is the mean over the lesion classes that the mask holds, over all of them where it holds
    none: else a class would be rewarded for being empty in every slice of the others, many times for each
    slice that shows it.

    The data come from `pipeline.mask_dataset`; the masks are true ones (supervised mode) or a teacher's
    (self-training).

    Args:
        network: with outputs head_1.. (B, H, W, C).
        k: of the hybrid loss.
        head_weights: one per head, None: all equal.
        dice: recipe section `loss.soft_dice`: its smoothing in pixels, and whether slices without a lesion
            count.
    """

    def __init__(
        self, network, *, k: int = 1, head_weights=None, dice: SoftDiceSection = SoftDiceSection(), **kwargs
    ):
        super().__init__(network, ("hybrid", "soft_dice"), **kwargs)
        self.k, self.heads, self.dice = k, head_names(network.output), dice
        self.head_weights = head_shares(self.heads, head_weights)

    def loss_terms(self, batch, training=True) -> dict:
        """Return hybrid and soft Dice loss per example, (B,) each.

        Dice is smoothed, so that an empty mask rewards an empty prediction.
        """
        mask = batch["mask"]
        organ = batch["organ_a"] * ops.cast(mask != IGNORED, "float32")
        terms = {"hybrid": 0.0, "soft_dice": 0.0}
        outputs = log_probabilities(self._student(batch["view_a"], training=training))
        for head, weight in zip(self.heads, self.head_weights):
            truth = ops.one_hot(ops.where(mask == IGNORED, 0, mask), outputs[head].shape[-1])
            terms["hybrid"] += weight * organ_mean(hybrid_per_pixel(truth, outputs[head], self.k), organ)
            loss = self._soft_dice(ops.exp(outputs[head][..., 1:]), truth[..., 1:], organ[..., None])
            terms["soft_dice"] += weight * _of_held(loss, truth, organ) * self._counted(mask, organ)
        return terms

    def _counted(self, mask, organ):
        """Return the factors of the soft Dice, (B,).

        They are 1; with `lesions_only` they are 0 for slices without a lesion and LESION_FACTOR for the
        others.
        """
        if not self.dice.lesions_only:
            return 1.0
        held = ops.cast(ops.any((mask > 0) & (organ > 0), axis=(1, 2)), "float32")
        return held * LESION_FACTOR

    def _soft_dice(self, probability, truth, organ):
        """Return 1 - smoothed Dice of (B, H, W, M) maps, (B, M)."""
        overlap = ops.sum(probability * truth * organ, axis=(1, 2))
        sizes = ops.sum((probability + truth) * organ, axis=(1, 2))
        return 1.0 - (2.0 * overlap + self.dice.smoothing) / (sizes + self.dice.smoothing)

    def minimised(self, batch) -> tuple:
        """Return the mean of both, weighted where labels of studies teach, and each of them."""
        terms = self.loss_terms(batch, training=True)
        loss = terms["hybrid"] + terms["soft_dice"]
        if "certainty" in batch:
            loss = loss * ops.max(batch["certainty"], axis=-1)
        return ops.mean(loss), {name: (value, None) for name, value in terms.items()}


def _of_held(values, truth, organ):
    """Return the mean of (B, M) over the lesion classes that each mask holds, over all where it holds
    none, (B,).
    """
    held = ops.cast(ops.sum(truth[..., 1:] * organ[..., None], axis=(1, 2)) > 0, "float32")
    share = ops.where(ops.sum(held, axis=-1, keepdims=True) > 0, held, 1.0)
    return ops.sum(values * share, axis=-1) / ops.sum(share, axis=-1)
