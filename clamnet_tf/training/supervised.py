"""Training from masks with the same networks: ceilings and organ networks. The one training module that may open masks."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from clamnet_tf.data.sealed import open_masks
from clamnet_tf.errors import DataError
from clamnet_tf.losses.hybrid import hybrid_per_pixel, organ_mean
from clamnet_tf.networks.build import logits_network
from clamnet_tf.networks.fast_form import fast_form
from clamnet_tf.training.pseudo_labels import IGNORED
from clamnet_tf.training.steps import apply_gradients, log_probabilities, scaled_loss


SMOOTH_PIXELS = 50.0


def training_masks(manifest, prepared, rows):
    """Masks of training rows on the prepared grid.

    Returns:
        kept: positions in `rows` that have a mask (an abnormal slice without one is left out; a normal one is empty).
        masks: (len(kept), H, W) uint8, 1 = marker.
    """
    masks = open_masks(manifest, prepared, rows, purpose="supervision", grid="prepared")
    kept = np.array([place for place, mask in enumerate(masks) if mask is not None], dtype=np.int64)
    if not len(kept):
        raise DataError("training.supervision: masks needs masks of training slices; the manifest names none. Use supervision: labels.")
    return kept, np.stack([np.asarray(masks[place], np.uint8) for place in kept])


class SupervisedTrainer(keras.Model):
    """Hybrid loss plus soft Dice of each head against masks, inside the organ, pixels marked IGNORED left out.

    Data from `pipeline.mask_dataset`; the masks are true ones (supervised mode) or taught ones (self-training).
    """

    kind = "none"

    def __init__(self, network, *, k: int = 1, head_weights=None, **kwargs):
        super().__init__(**kwargs)
        self.network, self.k = network, k
        self.heads = sorted(network.output, key=lambda name: int(name.rsplit("_", 1)[1]))
        weights = head_weights or [1.0] * len(self.heads)
        self.head_weights = [weight / sum(weights) for weight in weights]
        self._student = fast_form(logits_network(network))
        self._trackers = {name: keras.metrics.Mean(name=name) for name in ("loss", "hybrid", "soft_dice", "gradient_norm")}

    @property
    def metrics(self):
        return list(self._trackers.values())

    def call(self, inputs, training=False):
        return self.network(inputs["view_a"] if isinstance(inputs, dict) else inputs, training=training)

    def loss_terms(self, batch, training=True) -> dict:
        """Per-example hybrid and soft Dice loss, (B,) each; Dice is smoothed, so an empty mask rewards an empty answer."""
        mask = batch["mask"]
        organ = batch["organ_a"] * ops.cast(mask != IGNORED, "float32")
        terms = {"hybrid": 0.0, "soft_dice": 0.0}
        outputs = log_probabilities(self._student(batch["view_a"], training=training))
        for head, weight in zip(self.heads, self.head_weights):
            truth = ops.one_hot(ops.where(mask == IGNORED, 0, mask), outputs[head].shape[-1])
            marker, true_marker = 1.0 - ops.exp(outputs[head][..., 0]), 1.0 - truth[..., 0]
            overlap = ops.sum(marker * true_marker * organ, axis=(1, 2))
            sizes = ops.sum((marker + true_marker) * organ, axis=(1, 2))
            terms["hybrid"] += weight * organ_mean(hybrid_per_pixel(truth, outputs[head], self.k), organ)
            terms["soft_dice"] += weight * (1.0 - (2.0 * overlap + SMOOTH_PIXELS) / (sizes + SMOOTH_PIXELS))
        return terms

    def train_step(self, data):
        """One update; returns the running mean of every term."""
        batch = data[0] if isinstance(data, tuple) else data
        with tf.GradientTape() as tape:
            terms = self.loss_terms(batch, training=True)
            loss = ops.mean(terms["hybrid"] + terms["soft_dice"])
            scaled = scaled_loss(self, self._student, loss)
        norm = apply_gradients(self, tape, scaled)
        for name, value in (("loss", loss), ("hybrid", terms["hybrid"]), ("soft_dice", terms["soft_dice"]), ("gradient_norm", norm)):
            self._trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self._trackers.items()}
