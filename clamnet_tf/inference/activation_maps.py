"""Compute class activation maps of a classifier, Grad-CAM and LayerCAM: where in the slice its decision comes
from.

See docs/method.md, section "Measuring", on baselines. With the activations A (h, w, K) of one encoder level
and the gradient g of the logit with respect to them:

    Grad-CAM   relu(sum_k mean_hw(g_k) A_k)         Selvaraju et al. 2017, eq. (1) and (2)
    LayerCAM   relu(sum_k relu(g_k) A_k)            Jiang et al. 2021, eq. (6) and (7)

Maps are compared ACROSS slices: one threshold holds for all, and the highest value scores the slice. Hence
they are not scaled slice by slice. `as_probability` brings them to 0..1 by one fixed rule for every slice, in
the logit's own unit.
"""

import keras
import tensorflow as tf

from clamnet_tf.errors import NetworkError
from clamnet_tf.inference.predictor import Predictor
from clamnet_tf.networks.classifier import SCORE, levels


def grad_cam(activations, gradients):
    """Return the Grad-CAM map, float32, at least 0.

    Args:
        activations: (B, h, w, K).
        gradients: (B, h, w, K).

    Returns:
        (B, h, w).
    """
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1))


def layer_cam(activations, gradients):
    """Return the LayerCAM map, float32, at least 0; the shapes are those of `grad_cam`."""
    return tf.nn.relu(tf.reduce_sum(tf.nn.relu(gradients) * activations, axis=-1))


#: recipe name -> (activations, gradients) -> map
METHODS = {"grad_cam": grad_cam, "layer_cam": layer_cam}


def as_probability(maps, places: int):
    """Turn maps into values in 0..1: m / (1 + m) with m = places * map, the evidence of a place in units of
    the logit.

    The classifier averages over the places of a level: the mean of m is the part of the logit that the
    positive places contribute (exactly so for Grad-CAM of the deepest level, Zhou 2016). 0.5 is a place that
    would raise the logit by 1 if the whole slice looked like it. The rule is monotone: a threshold on the
    result is a threshold on the map itself.

    Args:
        maps: (B, ...) at least 0.
        places: h w of the level.
    """
    evidence = maps * float(places)
    return evidence / (1.0 + evidence)


class ActivationMap(Predictor):
    """Return the activation map of a classifier instead of P(lesion), with the interface of a Predictor.

    It has one head, `activation_map`. Maps are upsampled bilinearly to the slice.

    Args:
        network: built by `build_classifier`, or reloaded.
        method: "grad_cam" or "layer_cam".
        level: level of the encoder, 0 = full resolution; None = the deepest.
        batch_size: slices per pass.
        flip_views: whether maps are averaged with those of the left-right mirrored slices.

    Raises:
        NetworkError: the encoder has no such level.
    """

    def __init__(
        self,
        network,
        *,
        method: str = "grad_cam",
        level: int | None = None,
        batch_size: int = 16,
        flip_views: bool = False,
    ):
        count = levels(network)
        level = count - 1 if level is None else level
        if not 0 <= level < count:
            raise NetworkError(
                f"inference.activation_map.level: expected a level from 0 to {count - 1} of {network.name}, "
                f"received {level}."
            )
        self.method = METHODS[method]
        self._inner = keras.Model(
            network.input,
            [network.get_layer(f"x_{level}_0").output, network.get_layer(f"{SCORE}_logits").output],
        )
        super().__init__(network, batch_size=batch_size, flip_views=flip_views)

    def head_names_of(self, network) -> list:
        """Return the name of the only head."""
        return ["activation_map"]

    def classes_of(self, network) -> int:
        """Return 1, since the only class is abnormal."""
        return 1

    def raw(self, images):
        """Return the map as its authors define it, (B, H, W, C) -> (B, h, w) float32."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            activations, logits = self._inner(images, training=False)
        gradients = tape.gradient(logits, activations)
        return self.method(tf.cast(activations, tf.float32), tf.cast(gradients, tf.float32))

    def maps(self, images):
        """Return the maps of one batch, (B, H, W, C) -> (1, B, H, W, 1) float32 in 0..1."""
        raw = self.raw(images)
        enlarged = tf.image.resize(raw[..., None], tf.shape(images)[1:3], method="bilinear")
        return as_probability(enlarged, raw.shape[1] * raw.shape[2])[None]
