"""Combine the attributions of several image classifiers into one map that is called like P(lesion) of a
network.
"""

import keras
import numpy as np
import tensorflow as tf

from clamnet_tf.inference import attribution
from clamnet_tf.inference.activation_maps import METHODS as ACTIVATION_MAPS
from clamnet_tf.inference.predictor import Predictor
from clamnet_tf.networks.evidence_classifier import LOGIT, classifiers_of, deepest_level
from clamnet_tf.networks.fast_form import fast_form


class AttributionMap(Predictor):
    """Return where the classifiers find their evidence: in 0..1 per slice, 1 at the place with the most
    evidence.

    Every classifier's map is smoothed and scaled so that its highest value in the slice is 1; the maps are
    combined by their geometric mean, so that a place counts only where all classifiers agree. Maps are
    comparable within a slice, not from slice to slice: `probability` returns how abnormal the whole slice is.

    Args:
        network: built by `build_evidence_classifiers`, or restored, or of `with_scores`.
        section: recipe section `attribution`.
        batch_size: slices per pass.
    """

    def __init__(self, network, section, *, batch_size: int = 16):
        self.section, stock = section, classifiers_of(network)
        self.classifiers = [fast_form(classifier) for classifier in stock]
        self._scores = tf.function(self.scores, reduce_retracing=True)
        super().__init__(network, batch_size=batch_size)
        if section.method in ACTIVATION_MAPS:
            level = deepest_level(section.classifier)
            self._inner = [_with_level(classifier, level) for classifier in stock]

    def head_names_of(self, network) -> list:
        """Return the name of the only head."""
        return ["attribution"]

    def classes_of(self, network) -> int:
        """Return 1, since the only class is abnormal."""
        return 1

    def maps(self, images):
        """Return the maps of one batch, (B, H, W, C) -> (1, B, H, W, 1) float32 in 0..1."""
        logs = []
        for index in range(len(self.classifiers)):
            raw = attribution.smoothed(self._raw(index, images), self.section.smoothing)
            highest = tf.reduce_max(raw, axis=(1, 2), keepdims=True)
            logs.append(tf.math.log(tf.maximum(tf.math.divide_no_nan(raw, highest), 1e-6)))
        combined = tf.exp(tf.add_n(logs) / float(len(logs)))
        return tf.where(combined > 2e-6, combined, 0.0)[None, ..., None]

    def _raw(self, index: int, images):
        """Return the map of classifier `index`, (B, H, W), not smoothed."""
        section = self.section
        score = lambda batch: self.classifiers[index](batch, training=False)[LOGIT]
        if section.method in ACTIVATION_MAPS:
            return self._activation_map(index, images)
        baseline = attribution.BASELINES[section.baseline](images)
        if section.method == "occlusion":
            return attribution.occlusion(score, images, baseline, windows=section.windows)
        if section.method == "integrated_gradients":
            return attribution.integrated_gradients(score, images, baseline, steps=section.copies)
        return attribution.gradient_input(score, images, baseline, copies=section.copies, noise=section.noise)

    def _activation_map(self, index: int, images):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            activations, logits = self._inner[index](images, training=False)
        maps = ACTIVATION_MAPS[self.section.method](activations, tape.gradient(logits, activations))
        return tf.image.resize(maps[..., None], tf.shape(images)[1:3], method="bilinear")[..., 0]

    def scores(self, images):
        """Return P(abnormal) of every slice of a batch, (B, H, W, C) -> (B,): the sigmoid of the classifiers'
        mean logit.
        """
        logits = [classifier(images, training=False)[LOGIT] for classifier in self.classifiers]
        return tf.sigmoid(tf.add_n(logits) / float(len(logits)))

    def probability(self, images) -> np.ndarray:
        """Return `scores` of any number of slices, (N, H, W, C) -> (N,) float32."""
        parts = []
        for start in range(0, len(images), self.batch_size):
            batch = np.asarray(images[start : start + self.batch_size], np.float32)
            padded = np.concatenate(
                [batch, np.zeros((self.batch_size - len(batch), *batch.shape[1:]), np.float32)]
            )
            parts.append(self._scores(tf.constant(padded)).numpy()[: len(batch)])
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _with_level(classifier, level):
    """Return the classifier with the output of layer `level`, or of `level` after the classifier's name."""
    names = (level, f"{classifier.name}_{level}")
    layer = next(layer for layer in classifier.layers if layer.name in names)
    return keras.Model(classifier.input, [layer.output, classifier.output[LOGIT]])
