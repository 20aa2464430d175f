"""Mark lesions by the attribution of image classifiers itself, without a network that learns from it."""

import tensorflow as tf

from clamnet_tf.inference.attribution_map import AttributionMap
from clamnet_tf.inference.predictor import Predictor
from clamnet_tf.networks.evidence_maps import with_scores

#: Name of the only head, of its cut in selection.json and of what an export returns.
ATTRIBUTION = "attribution"


class AttributionResult(Predictor):
    """Return where classifiers find their evidence, times P(abnormal), with the interface of a Predictor.

    The map of `AttributionMap` is scaled so that its highest value in a slice is the slice's P(abnormal).
    So one cut holds for all slices: with 0.5, a slice that the classifiers call normal stays unmarked.

    Args:
        network: built by `evidence_maps`, or loaded.
        section: recipe section `attribution`.
        batch_size: slices per pass.
        flip_views: whether maps are averaged with those of the left-right mirrored slices.

    Raises:
        NetworkError: the network gives no evidence maps.
    """

    def __init__(self, network, section, *, batch_size: int = 16, flip_views: bool = False):
        classifiers = with_scores(network, section.classifier.sharpness)
        self._attribution = AttributionMap(classifiers, section, batch_size=batch_size)
        self._scaled = tf.function(self._scaled_maps, reduce_retracing=True)  # its loops are of the graph
        super().__init__(network, batch_size=batch_size, flip_views=flip_views)

    def head_names_of(self, network) -> list:
        """Return the name of the only head."""
        return [ATTRIBUTION]

    def classes_of(self, network) -> int:
        """Return 1, since the only class is abnormal."""
        return 1

    def maps(self, images):
        """Return the maps of one batch, (B, H, W, C) -> (1, B, H, W, 1) float32 in 0..1."""
        return self._scaled(images)

    def both_views(self, images):
        """Return `maps`; with `flip_views` those of both views' mean evidence, times their mean P(abnormal).

        The highest value of a slice is its P(abnormal) in either case. An export holds this graph.
        """
        if not self.flip_views:
            return self.maps(images)
        mirrored = tf.reverse(images, [2])
        evidence = _relative(self._attribution.maps(images))
        evidence += tf.reverse(_relative(self._attribution.maps(mirrored)), [3])
        scores = 0.5 * (self._attribution.scores(images) + self._attribution.scores(mirrored))
        return _relative(evidence) * scores[None, :, None, None, None]

    def _scaled_maps(self, images):
        score = self._attribution.scores(images)[None, :, None, None, None]
        return _relative(self._attribution.maps(images)) * score


def _relative(maps):
    """Return maps (1, B, H, W, 1) as shares of their highest value in each slice."""
    return tf.math.divide_no_nan(maps, tf.reduce_max(maps, axis=(2, 3), keepdims=True))
