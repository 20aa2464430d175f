"""Run a trained network with TensorFlow, from prepared slices to lesion probabilities.

Training, selection, evaluation and export use this forward pass.
"""

import copy

import numpy as np
import tensorflow as tf

from clamnet_tf.inference.head_predictor import HeadPredictor, lesion_channels
from clamnet_tf.networks.average import member_count, with_member_heads
from clamnet_tf.networks.build import head_names
from clamnet_tf.networks.fast_form import fast_form
from clamnet_tf.networks.member_names import member_head


class Predictor(HeadPredictor):
    """Compute the probability of each lesion class per pixel and head, as HeadPredictor, with TensorFlow.

    Args:
        network: outputs head_1.. (B, H, W, C), class 0 the background, or (B, H, W, 1) sigmoid.
        head: "mean" of the heads, or the number of one.
        batch_size: slices per pass.
        flip_views: whether maps are averaged with those of the left-right mirrored slices.

    Raises:
        NetworkError: the network has no such head.
    """

    engine = "tensorflow"

    def __init__(self, network, *, head="mean", batch_size: int = 16, flip_views: bool = False):
        self.network = network
        super().__init__(
            self.head_names_of(network),
            self.classes_of(network),
            network.inputs[0].shape[1:],
            head=head,
            batch_size=batch_size,
            flip_views=flip_views,
        )
        self._called = fast_form(network)
        self._forward = tf.function(self.both_views, reduce_retracing=True)

    @property
    def folds(self) -> int:
        """Return how many networks were averaged into this one."""
        return member_count(self.network)

    def stock(self) -> "Predictor":
        """Return a copy with stock layers only, which other runtimes convert better than the fast form of
        norms.
        """
        other = copy.copy(self)
        other._called = self.network
        other._forward = tf.function(other.both_views, reduce_retracing=True)
        return other

    def head_names_of(self, network) -> list:
        """Return the names of the heads, in order."""
        return head_names(network.output)

    def classes_of(self, network) -> int:
        """Return how many lesion classes the maps hold."""
        return max(1, next(iter(network.output.values())).shape[-1] - 1)

    def maps(self, images):
        """Return the maps of one batch, (B, H, W, C) -> (heads, B, H, W, M), without flipped views."""
        outputs = self._called(images, training=False)
        return tf.stack([lesion_channels(outputs[name]) for name in self.head_names])

    def both_views(self, images):
        """Return `maps`, averaged with those of the mirrored slices when `flip_views`.

        An export holds this graph.
        """
        result = self.maps(images)
        if self.flip_views:
            result = 0.5 * (result + tf.reverse(self.maps(tf.reverse(images, [2])), [3]))
        return result

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return `both_views` as an array."""
        return self._forward(tf.constant(batch)).numpy()

    def members(self) -> HeadPredictor:
        """Return the predictor of the members' heads, see HeadPredictor."""
        if self.folds == 1:
            return self
        return _MemberPredictor(
            with_member_heads(self.network), batch_size=self.batch_size, flip_views=self.flip_views
        )


class _MemberPredictor(Predictor):
    """Predict with the heads of the members of an average, in the order fold by fold."""

    def head_names_of(self, network) -> list:
        return sorted(network.output, key=member_head)
