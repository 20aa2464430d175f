"""Train a network from masks: true ones (upper bounds, organ networks), or those of a teacher."""

from keras import ops

from clamnet_tf.losses.of_masks import mask_terms
from clamnet_tf.networks.build import head_names
from clamnet_tf.recipe.schema_loss import MixedSection, SoftDiceSection
from clamnet_tf.training.steps import StepTrainer, head_shares, log_probabilities


class SupervisedTrainer(StepTrainer):
    """Minimise the hybrid loss plus soft Dice of each head against masks (see `losses.of_masks.mask_terms`).

    The data come from `pipeline.mask_dataset`; the masks are true ones (supervised mode), a teacher's
    (self-training), or both in one batch. Then each slice counts with the weight of its kind.

    Args:
        network: with outputs head_1.. (B, H, W, C).
        k: of the hybrid loss.
        head_weights: one per head, None: all equal.
        dice: recipe section `loss.soft_dice`: its smoothing in pixels, and whether slices without a lesion
            count.
        mixed: recipe section `loss.mixed`: the weights of slices with a true mask and of the others, where
            the batch says which is which ("masked"); None: its defaults.
    """

    def __init__(
        self,
        network,
        *,
        k: int = 1,
        head_weights=None,
        dice: SoftDiceSection = SoftDiceSection(),
        mixed: MixedSection | None = None,
        **kwargs,
    ):
        super().__init__(network, ("hybrid", "soft_dice"), **kwargs)
        self.k, self.heads, self.dice = k, head_names(network.output), dice
        self.mixed = mixed or MixedSection()
        self.head_weights = head_shares(self.heads, head_weights)

    def loss_terms(self, batch, training=True) -> dict:
        """Return hybrid and soft Dice loss per example, (B,) each."""
        terms = {"hybrid": 0.0, "soft_dice": 0.0}
        outputs = log_probabilities(self._student(batch["view_a"], training=training))
        for head, weight in zip(self.heads, self.head_weights):
            hybrid, soft_dice = mask_terms(outputs[head], batch["mask"], batch["organ_a"], self.k, self.dice)
            terms["hybrid"] += weight * hybrid
            terms["soft_dice"] += weight * soft_dice
        return terms

    def minimised(self, batch) -> tuple:
        """Return the mean of both, weighted by the kind of mask and where labels of studies teach, and each
        of them.
        """
        terms = self.loss_terms(batch, training=True)
        total = terms["hybrid"] + terms["soft_dice"]
        if "masked" in batch:
            total = total * kind_weights(batch["masked"], self.mixed)
        if "certainty" in batch:
            total = total * ops.max(batch["certainty"], axis=-1)
        return ops.mean(total), {name: (value, None) for name, value in terms.items()}


def kind_weights(masked, section: MixedSection):
    """Return the weight of each slice, (B,): `mask_weight` where `masked` is 1, `label_weight` where it
    is 0.
    """
    return masked * section.mask_weight + (1.0 - masked) * section.label_weight
