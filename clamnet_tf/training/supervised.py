"""Training from masks with the same networks: ceilings and organ networks. The one training module that may
open masks.
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

#: Factor of the soft Dice of slices with a lesion when the others do not count: half of a batch of pairs has
#: none.
LESION_FACTOR = 2.0


def training_masks(manifest, prepared, rows, classes: int = 1, say=lambda line: None):
    """Return the masks of training rows on the prepared grid.

    classes: how many lesion classes the recipe has. say: gets a line on what was assumed in reading them.

    Returns:
        kept: positions in `rows` that have a mask (an abnormal slice without one is left out; a normal one is
            empty).
        masks: (len(kept), H, W) uint8 label maps: 0 background, 1 .. `classes`.
    """
    notes: dict[str, str] = {}
    masks = open_masks(
        manifest, prepared, rows, purpose="supervision", grid="prepared", classes=classes, notes=notes
    )
    for note, first in notes.items():
        say(f"Note on masks (first {first}): {note}")
    kept = np.array([place for place, mask in enumerate(masks) if mask is not None], dtype=np.int64)
    if not len(kept):
        raise DataError(
            "training.supervision: masks needs masks of training slices; the manifest names none. Use "
            "supervision: labels."
        )
    return kept, np.stack([np.asarray(masks[place], np.uint8) for place in kept])


class SupervisedTrainer(StepTrainer):
    """Hybrid loss plus soft Dice of each head against masks, inside the organ, pixels marked IGNORED left
    out.

    The soft Dice is the mean over the lesion classes that the mask holds, over all of them where it holds
    none: else a class would be rewarded for being empty in every slice of the others, many times for each
    slice that shows it.

    Data from `pipeline.mask_dataset`; the masks are true ones (supervised mode) or taught ones
    (self-training).

    Args:
        network: with outputs head_1.. (B, H, W, C). k: of the hybrid loss. head_weights: one per head, None:
            all alike.
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
        """Per-example hybrid and soft Dice loss, (B,) each; Dice is smoothed, so an empty mask rewards an
        empty answer.
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
        """(B,) factors of the soft Dice: 1, or with `lesions_only` 0 for slices without a lesion and more for
        the others.
        """
        if not self.dice.lesions_only:
            return 1.0
        held = ops.cast(ops.any((mask > 0) & (organ > 0), axis=(1, 2)), "float32")
        return held * LESION_FACTOR

    def _soft_dice(self, probability, truth, organ):
        """1 - smoothed Dice of (B, H, W, M) maps -> (B, M)."""
        overlap = ops.sum(probability * truth * organ, axis=(1, 2))
        sizes = ops.sum((probability + truth) * organ, axis=(1, 2))
        return 1.0 - (2.0 * overlap + self.dice.smoothing) / (sizes + self.dice.smoothing)

    def minimised(self, batch) -> tuple:
        """The mean of both, and each of them."""
        terms = self.loss_terms(batch, training=True)
        return ops.mean(terms["hybrid"] + terms["soft_dice"]), {
            name: (value, None) for name, value in terms.items()
        }


def _of_held(values, truth, organ):
    """Mean of (B, M) over the lesion classes that each mask holds, over all where it holds none, (B,)."""
    held = ops.cast(ops.sum(truth[..., 1:] * organ[..., None], axis=(1, 2)) > 0, "float32")
    share = ops.where(ops.sum(held, axis=-1, keepdims=True) > 0, held, 1.0)
    return ops.sum(values * share, axis=-1) / ops.sum(share, axis=-1)
