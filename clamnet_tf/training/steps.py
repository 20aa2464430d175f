"""Share the parts of train steps: class probabilities, one update per replica's part of a batch, sums for
the log.
"""

import keras
import tensorflow as tf
from keras import ops

from clamnet_tf.networks.build import logits_network
from clamnet_tf.networks.fast_form import fast_form


class StepTrainer(keras.Model):
    """Train `network`, which is held by composition; the trainer is not part of what is saved.

    A subclass defines `minimised(batch)`: the scalar loss of a replica's part of the global batch, and what
    is logged besides, name -> (values, weights or None). `update` is one step on such a part, inside
    `strategy.run`, called by `training.updates`; `train_step` is the same step in the form that Keras `fit`
    calls, with running means.

    Args:
        network: functional network with outputs head_1.. (B, H, W, C).
        terms: names of what `minimised` logs, in order; "loss" and "gradient_norm" are added.
    """

    kind = "none"

    def __init__(self, network, terms, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.terms = ("loss", *terms, "gradient_norm")
        self._student = self.student_of(network)
        self._trackers = {name: keras.metrics.Mean(name=name) for name in self.terms}
        self.study_weights = None

    def student_of(self, network):
        """Return what a step calls: the network's logits in the fast form, which owns the variables of
        `network`.
        """
        return fast_form(logits_network(network))

    @property
    def metrics(self):
        return list(self._trackers.values())

    def call(self, inputs, training=False):
        return self.network(inputs["view_a"] if isinstance(inputs, dict) else inputs, training=training)

    def weigh_studies(self, slices: int, classes: int) -> None:
        """Let each slice have a weight per lesion class, at first 1, that its eta is multiplied by.

        The weights are a variable, so that checkpoints hold them and a change counts from the next step on,
        whatever batches are made already. Batches need the "row" of each slice.

        Args:
            slices: number of the rows that batches number.
            classes: number of lesion classes.
        """
        self.study_weights = self.add_weight(
            name="study_weights",
            shape=(slices, classes),
            dtype="float32",
            initializer="ones",
            trainable=False,
        )

    def weighed(self, batch: dict) -> dict:
        """Return the batch with the weights of its slices as `certainty` (B, M), by which eta is
        multiplied.
        """
        if self.study_weights is None:
            return batch
        weights = ops.take(self.study_weights, batch["row"], axis=0)
        etas = {"eta": batch["eta"] * weights} if "eta" in batch else {}
        return {**batch, **etas, "certainty": weights}

    def updated(self) -> None:
        """Do what follows an update, such as moving a teacher or counting the step."""

    def update(self, batch):
        """Make one update from one replica's part of the batch.

        Returns:
            (2, terms) float32, the sums of each term's weighted values and of its weights. Added over
            replicas and steps, their quotient is the mean of the term.
        """
        with tf.GradientTape() as tape:
            loss, logged = self.minimised(self.weighed(batch))
            scaled = scaled_loss(self, self._student, loss)
        norm = apply_gradients(self, tape, scaled)
        self.updated()
        logged = {"loss": (loss, None), **logged, "gradient_norm": (norm, None)}
        return tf.stack([_sums(*logged[name]) for name in self.terms], axis=1)

    def train_step(self, data):
        """Make one update; return the running mean of every term."""
        batch = data[0] if isinstance(data, tuple) else data
        totals, weights = tf.unstack(self.update(batch))
        for index, name in enumerate(self.terms):
            mean = tf.math.divide_no_nan(totals[index], weights[index])
            self._trackers[name].update_state(mean, sample_weight=weights[index])
        return {name: tracker.result() for name, tracker in self._trackers.items()}


def _sums(values, weights):
    values = ops.cast(values, "float32")
    weights = ops.ones_like(values) if weights is None else weights
    return ops.stack([ops.sum(values * weights), ops.sum(weights)])


def head_shares(heads: list, weights) -> list:
    """Return the recipe's head weights (None: all equal) as shares that sum to 1."""
    weights = weights or [1.0] * len(heads)
    return [weight / sum(weights) for weight in weights]


def log_probabilities(logits: dict) -> dict:
    """Turn logits per head into the log of the class probabilities.

    One sigmoid channel z is the two-class softmax of (0, z).
    """
    two = {
        head: ops.concatenate([ops.zeros_like(z), z], axis=-1) if z.shape[-1] == 1 else z
        for head, z in logits.items()
    }
    return {head: ops.log_softmax(z) for head, z in two.items()}


def scaled_loss(trainer, network, loss):
    """Return what to differentiate: the loss of this replica with penalties, divided by the number of
    replicas.

    The gradients of the replicas add up.
    """
    if network.losses:
        loss = loss + sum(tf.cast(value, tf.float32) for value in network.losses)
    return trainer.optimizer.scale_loss(loss / tf.distribute.get_strategy().num_replicas_in_sync)


def apply_gradients(trainer, tape, scaled):
    """Update the trainer's weights with the gradient of the whole batch; return its norm before clipping.

    Keras clips each replica's gradient first and then adds them up, which gives another update than that of
    one device (measured). So they are added up here; the optimizer gets an equal share of the sum from every
    replica, is built with an equal share of the clipping norm (`build_optimizer`), and adds the shares up
    again.
    """
    variables, replicas = trainer.trainable_variables, tf.distribute.get_strategy().num_replicas_in_sync
    pairs = [
        (gradient, variable)
        for gradient, variable in zip(tape.gradient(scaled, variables), variables)
        if gradient is not None
    ]
    gradients = [gradient for gradient, _ in pairs]
    if replicas > 1:
        gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    norm = tf.linalg.global_norm(gradients)
    if replicas > 1:
        gradients = [gradient / replicas for gradient in gradients]
    by_id = {id(variable): gradient for gradient, (_, variable) in zip(gradients, pairs)}
    trainer.optimizer.apply_gradients((by_id.get(id(variable)), variable) for variable in variables)
    return norm
