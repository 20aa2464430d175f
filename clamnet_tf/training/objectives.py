"""Learn from image labels by other objectives than the hybrid loss: the trained baselines.

See docs/method.md, section "Measuring". Each objective is a callable (logits, batch) -> dict of scalars:
"loss" is minimised, the others are logged. They use one view per slice, no pairs and no twin: those belong to
the method that they are compared with. The objectives of maps treat each lesion class against everything
else, and take the mean over the classes.
"""

from dataclasses import dataclass

import tensorflow as tf
from keras import ops

from clamnet_tf.losses.hybrid import organ_mean
from clamnet_tf.losses.multiple_instance import POOLINGS, bag_cross_entropy
from clamnet_tf.losses.negative_unlabelled import non_negative, partial_risks
from clamnet_tf.networks.build import head_names
from clamnet_tf.networks.classifier import SCORE
from clamnet_tf.training.steps import StepTrainer, head_shares, log_probabilities


def build_non_negative(network, loss, *, classes, **_) -> "ObjectiveTrainer":
    """Build the trainer of NonNegative; the prevalence of each class replaces a prior of null."""
    prior = loss.non_negative.prior
    priors = tuple(lesion_class.prevalence if prior is None else prior for lesion_class in classes)
    return ObjectiveTrainer(network, NonNegative(priors, loss.head_weights))


def build_multiple_instance(network, loss, **_) -> "ObjectiveTrainer":
    """Build the trainer of MultipleInstance."""
    section = loss.multiple_instance
    return ObjectiveTrainer(network, MultipleInstance(section.pooling, section.sharpness, loss.head_weights))


def build_classification(network, loss, **_) -> "ObjectiveTrainer":
    """Build the trainer of Classification."""
    return ObjectiveTrainer(network, Classification())


class ObjectiveTrainer(StepTrainer):
    """Train `network` by one of the objectives below, on batches of `input_pipeline.pipeline.pair_dataset`
    without twin.
    """

    def __init__(self, network, objective, **kwargs):
        super().__init__(network, objective.terms, **kwargs)
        self.objective = objective

    def loss_terms(self, batch, training=True) -> dict:
        """Return the "loss" and the objective's terms, scalars, of this replica's part of the batch."""
        return self.objective(self._student(batch["view_a"], training=training), batch)

    def minimised(self, batch) -> tuple:
        """Return the loss, and the objective's terms."""
        terms = self.loss_terms(batch, training=True)
        return terms.pop("loss"), {name: (value, None) for name, value in terms.items()}


@dataclass(frozen=True)
class NonNegative:
    """Compute the negative-unlabelled risk per head and class; `priors` replace eta, which is not used."""

    priors: tuple[float, ...]
    head_weights: list | None
    terms = ("background_risk", "marker_risk", "area_abnormal", "area_normal")

    def __call__(self, logits, batch) -> dict:
        terms = dict.fromkeys(("loss", *self.terms), 0.0)
        for weight, index, lesion, abnormal in _class_maps(logits, batch, self.head_weights):
            background, risk = partial_risks(lesion, batch["organ_a"], abnormal, self.priors[index])
            observed = tf.distribute.get_replica_context().all_reduce(
                tf.distribute.ReduceOp.MEAN, tf.stop_gradient(risk)
            )
            terms["loss"] += weight * non_negative(background, risk, observed)
            terms["background_risk"] += weight * background
            terms["marker_risk"] += weight * risk
            _add_areas(terms, weight, lesion, batch["organ_a"], abnormal)
        return terms


@dataclass(frozen=True)
class MultipleInstance:
    """Compute the cross-entropy of the pooled P(lesion) of the organ with the label, per head and class.

    eta is not used: labels of slices are sure.
    """

    pooling: str
    sharpness: float
    head_weights: list | None
    terms = ("score_abnormal", "score_normal", "area_abnormal", "area_normal")

    def __call__(self, logits, batch) -> dict:
        terms = dict.fromkeys(("loss", *self.terms), 0.0)
        for weight, _, lesion, abnormal in _class_maps(logits, batch, self.head_weights):
            score = POOLINGS[self.pooling](lesion, batch["organ_a"], self.sharpness)
            terms["loss"] += weight * ops.mean(bag_cross_entropy(score, abnormal))
            terms["score_abnormal"] += weight * _class_mean(score, abnormal)
            terms["score_normal"] += weight * _class_mean(score, 1.0 - abnormal)
            _add_areas(terms, weight, lesion, batch["organ_a"], abnormal)
        return terms


@dataclass(frozen=True)
class Classification:
    """Compute the cross-entropy of a classifier's P(abnormal) with the label.

    `inference.activation_maps` shows where its decision comes from.
    """

    terms = ("score_abnormal", "score_normal")

    def __call__(self, logits, batch) -> dict:
        logit, abnormal = logits[SCORE][:, 0], ops.cast(batch["label"] > 0, "float32")
        score = ops.sigmoid(logit)
        return {
            "loss": ops.mean(ops.softplus(logit) - abnormal * logit),
            "score_abnormal": _class_mean(score, abnormal),
            "score_normal": _class_mean(score, 1.0 - abnormal),
        }


def _class_maps(logits, batch, head_weights):
    """Yield (weight, index of the class, its probability (B, H, W), whether slices show it (B,)).

    There is one for every head that has a weight and every class; the weights sum to 1.
    """
    shown = ops.cast(batch["eta"] > 0, "float32")
    outputs = log_probabilities(logits)
    heads = head_names(outputs)
    for head, weight in zip(heads, head_shares(heads, head_weights)):
        if weight:
            for index in range(shown.shape[1]):
                yield weight / shown.shape[1], index, ops.exp(outputs[head][..., index + 1]), shown[:, index]


def _add_areas(terms, weight, lesion, organ, abnormal):
    """Add the marked share of the organ at probability 0.5, per label.

    Its slow rise is the alarm of docs/method.md, section "Thresholds without masks".
    """
    area = organ_mean(ops.cast(lesion > 0.5, "float32"), organ)
    terms["area_abnormal"] += weight * _class_mean(area, abnormal)
    terms["area_normal"] += weight * _class_mean(area, 1.0 - abnormal)


def _class_mean(values, members):
    return ops.sum(values * members) / ops.maximum(ops.sum(members), 1.0)
