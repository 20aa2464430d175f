"""Define the step of mixed supervision: slices with a mask teach with it, the others by their labels.

See docs/how-to/masks.md and, for what labels teach, docs/method.md, sections "Pairs" and "Hybrid loss".
"""

from keras import ops

from clamnet_tf.losses.of_masks import mask_terms
from clamnet_tf.recipe.schema_loss import MixedSection, SoftDiceSection
from clamnet_tf.training.siamese import TERMS, SiameseTrainer, siamese_options

MASK_TERMS = ("mask_hybrid", "mask_soft_dice")


def build(network, loss, *, twin, new_twin, steps: int, **_) -> "MixedTrainer":
    """Build the trainer of mixed supervision from the recipe's sections loss and twin."""
    options = siamese_options(loss, twin, new_twin, steps)
    return MixedTrainer(network, mixed=loss.mixed, dice=loss.soft_dice, **options)


class MixedTrainer(SiameseTrainer):
    """Train `network` as SiameseTrainer does on slices without a mask, and by their masks on the others.

    The batches are those of `pair_dataset` with masks. With m = 1 for a slice with a mask and 0 for the
    others, a step minimises the mean over the slices of

        m * mask_weight * (hybrid loss and soft Dice against the mask, over the learned views)
        + (1 - m) * label_weight * (what SiameseTrainer minimises for the slice)

    Each slice counts by itself, so that it does not matter which replica has which kind.

    Args:
        network: functional network with outputs head_1.. (B, H, W, C).
        mixed: recipe section `loss.mixed`, the two weights.
        dice: recipe section `loss.soft_dice`.
        **kwargs: arguments of SiameseTrainer.
    """

    logged = (*TERMS, *MASK_TERMS)

    def __init__(self, network, *, mixed: MixedSection, dice: SoftDiceSection, **kwargs):
        super().__init__(network, **kwargs)
        self.mixed, self.dice = mixed, dice

    def terms_of(self, views, batch) -> dict:
        """Return the terms of SiameseTrainer, with mask_hybrid and mask_soft_dice, and masked, (B,) each.

        The terms of masks mean nothing where masked is 0.
        """
        terms = super().terms_of(views, batch)
        learned = self.learned(views)
        sums = dict.fromkeys(MASK_TERMS, 0.0)
        for head, head_weight in zip(self.heads, self.head_weights):
            for view, letter in zip(learned, "ab"):
                organ, mask = batch[f"organ_{letter}"], batch[f"mask_{letter}"]
                of_view = mask_terms(view[head], mask, organ, self.options["k"], self.dice)
                for name, value in zip(MASK_TERMS, of_view):
                    sums[name] += head_weight / len(learned) * value
        return {**terms, **sums, "masked": batch["masked"]}

    def _total(self, terms):
        by_mask = self.mixed.mask_weight * (terms["mask_hybrid"] + terms["mask_soft_dice"])
        by_label = self.mixed.label_weight * super()._total(terms)
        return terms["masked"] * by_mask + (1.0 - terms["masked"]) * by_label

    def logged_terms(self, terms) -> dict:
        """Return what is logged: the terms of labels over the slices without a mask, those of masks over the
        others.
        """
        others = 1.0 - terms["masked"]
        of_labels = {
            name: (value, others if weights is None else weights * others)
            for name, (value, weights) in super().logged_terms(terms).items()
        }
        return of_labels | {name: (ops.cast(terms[name], "float32"), terms["masked"]) for name in MASK_TERMS}
