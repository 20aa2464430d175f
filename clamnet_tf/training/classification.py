"""Train image classifiers on image labels, with two views of every slice and slices whose finding is
erased.
"""

import tensorflow as tf
from keras import ops

from clamnet_tf.inference import attribution
from clamnet_tf.networks.evidence_classifier import LOGIT, classifiers_of
from clamnet_tf.networks.fast_form import fast_form
from clamnet_tf.training.steps import StepTrainer

TERMS = ("cross_entropy", "score_abnormal", "score_normal", "erased")
# of the side: standard deviation of the Gaussian on the gradient that decides what is erased
_ERASURE_SMOOTHING = 1 / 24


class ClassifierTrainer(StepTrainer):
    """Train the classifiers of `build_evidence_classifiers` on the batches of
    `input_pipeline.pipeline.pair_dataset`.

    The classifiers alternate between the two views of a batch: positive pairs, two views of one slice, get
    the same label by classifiers of different initial weights. With `erasure.weight` above 0, an abnormal
    slice and the same slice without the places of highest evidence are a negative pair: the second one is to
    score as normal, so that the score rests on the whole finding and not on a part of it.

    Args:
        network: joint model.
        section: recipe section `attribution`.
        steps: planned optimizer steps.
    """

    def __init__(self, network, section, *, steps: int, **kwargs):
        super().__init__(network, TERMS, **kwargs)
        self.section, self.erasure = section, section.classifier.erasure
        self.first_erasure = int(self.erasure.start * steps)
        self.step_counter = self.add_weight(
            name="step", shape=(), dtype="int64", initializer="zeros", trainable=False
        )

    def student_of(self, network):
        """Return `network`, and keep the classifiers in their fast form, which own its variables."""
        self._classifiers = [fast_form(classifier) for classifier in classifiers_of(network)]
        return network

    def minimised(self, batch) -> tuple:
        """Return the mean loss of the classifiers, and the terms that are logged."""
        abnormal = ops.cast(batch["label"] > 0, "float32")
        total, logged = 0.0, dict.fromkeys(TERMS, 0.0)
        share = 1.0 / len(self._classifiers)
        for index, classifier in enumerate(self._classifiers):
            view = "b" if index % 2 and "view_b" in batch else "a"
            images, organ = batch[f"view_{view}"], batch[f"organ_{view}"]
            logit = classifier(images, training=True)[LOGIT]
            entropy = ops.softplus(logit) - abnormal * logit
            erased = (
                self._erased_loss(classifier, images, organ, abnormal)
                if self.erasure.weight
                else ops.zeros_like(entropy)
            )
            total += share * (ops.mean(entropy) + self.erasure.weight * ops.mean(erased))
            logged["cross_entropy"] += share * entropy
            logged["score_abnormal"] += share * ops.sigmoid(logit)
            logged["score_normal"] += share * ops.sigmoid(logit)
            logged["erased"] += share * erased
        weights = {
            "cross_entropy": None,
            "erased": None,
            "score_abnormal": abnormal,
            "score_normal": 1.0 - abnormal,
        }
        return total, {name: (value, weights[name]) for name, value in logged.items()}

    def _erased_loss(self, classifier, images, organ, abnormal):
        """Return the cross-entropy with "normal" of the abnormal slices after erasure, (B,); 0 before the
        first erasure.
        """

        def loss():
            erased = tf.stop_gradient(self.erased(classifier, images, organ))
            return abnormal * ops.softplus(classifier(erased, training=True)[LOGIT])

        return tf.cond(self.step_counter >= self.first_erasure, loss, lambda: tf.zeros_like(abnormal))

    def erased(self, classifier, images, organ):
        """Return the images (B, H, W, C) with a share of the organ replaced by its surroundings.

        That share has the highest gradient x input.
        """
        score = lambda batch: classifier(batch, training=False)[LOGIT]
        baseline = attribution.BASELINES[self.section.baseline](images)
        evidence = tf.nn.relu(
            tf.reduce_sum(attribution.gradient_of(score, images) * (images - baseline), axis=-1)
        )
        evidence = attribution.smoothed(evidence, _ERASURE_SMOOTHING * images.shape[1]) * organ
        flat = tf.reshape(evidence, [tf.shape(evidence)[0], -1])
        count = tf.cast(self.erasure.share * tf.reduce_sum(organ, axis=(1, 2)), tf.int32)
        ordered = tf.sort(flat, axis=1, direction="DESCENDING")
        cut = tf.gather(ordered, tf.maximum(count - 1, 0), axis=1, batch_dims=1)
        hidden = tf.cast((evidence >= cut[:, None, None]) & (evidence > 0), tf.float32)
        soft = attribution.smoothed(hidden, 1.0)[..., None]
        return images * (1.0 - soft) + attribution.surroundings(images) * soft

    def updated(self) -> None:
        """Count the step."""
        self.step_counter.assign_add(1)
