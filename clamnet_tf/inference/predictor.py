"""Turn a trained network into a function from prepared slices to lesion probabilities.

Selection, evaluation and predict all use this one forward pass.
"""

import copy
from typing import Any

import numpy as np
import tensorflow as tf

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.build import head_names
from clamnet_tf.networks.fast_form import fast_form


class Predictor:
    """Compute the probability of each lesion class per pixel and head.

    Args:
        network: outputs head_1.. (B, H, W, C), class 0 the background, or (B, H, W, 1) sigmoid.
        head: "mean" of the heads, or the number of one.
        batch_size: slices per pass.
        flip_views: whether maps are averaged with those of the left-right mirrored slices.

    Attributes:
        classes: M, how many lesion classes the network has beside background.
        workers: training.workers.Workers that call this network together, on the same images, and share the
            passes; None: this process computes all.

    Raises:
        NetworkError: the network has no such head.
    """

    def __init__(self, network, *, head="mean", batch_size: int = 16, flip_views: bool = False):
        self.network, self.head, self.batch_size, self.flip_views = network, head, batch_size, flip_views
        self.head_names = self.head_names_of(network)
        self.classes = self.classes_of(network)
        if head != "mean" and f"head_{head}" not in self.head_names:
            raise NetworkError(
                f"inference.head: expected mean or one of {', '.join(self.head_names)}; received {head}."
            )
        self.workers: Any = None  # training.workers.Workers, which this room may not import
        self._called = fast_form(network)
        self._forward = tf.function(self.both_views, reduce_retracing=True)

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

    def heads(self, images) -> np.ndarray:
        """Return the maps of every head, (N, H, W, C) normalised float -> (heads, N, H, W, M) float32 in
        0..1.
        """
        if self.workers is not None and self.workers.count > 1:
            return self._shared_heads(images)
        return np.concatenate(
            [self._pass(images, start) for start in range(0, len(images), self.batch_size)], axis=1
        )

    def _pass(self, images, start: int) -> np.ndarray:
        """Return the maps of the batch that begins at `start`."""
        batch = np.asarray(images[start : start + self.batch_size], np.float32)
        count = len(batch)
        # Few shapes give few traces; a single slice costs one slice.
        size = min(self.batch_size, 2 ** (count - 1).bit_length())
        if count < size:
            batch = np.concatenate([batch, np.zeros((size - count, *batch.shape[1:]), np.float32)])
        return self._forward(tf.constant(batch)).numpy()[:, :count]

    def _shared_heads(self, images) -> np.ndarray:
        """Compute `heads` with the workers: each batch by one worker, which gives the result to all of
        them.
        """
        shape, parts = (len(self.head_names), self.batch_size, *images.shape[1:3], self.classes), []
        for start in range(0, len(images), self.batch_size * self.workers.count):
            batch_start, part = start + self.workers.index * self.batch_size, np.zeros(shape, np.float32)
            if batch_start < len(images):
                heads = self._pass(images, batch_start)
                part[:, : heads.shape[1]] = heads
            parts.extend(self.workers.gather(part))
        return np.concatenate(parts, axis=1)[:, : len(images)]

    def combine(self, heads: np.ndarray) -> np.ndarray:
        """Combine the heads into their mean, or take the chosen head: (heads, N, H, W, M) -> (N, H, W, M)."""
        return (
            heads.mean(axis=0) if self.head == "mean" else heads[self.head_names.index(f"head_{self.head}")]
        )

    def __call__(self, images) -> np.ndarray:
        """Return the probabilities, (N, H, W, C) normalised float -> (N, H, W, M) float32 in 0..1."""
        return self.combine(self.heads(images))


def lesion_channels(probabilities):
    """Return the channels of the lesion classes, (B, H, W, C) -> (B, H, W, M).

    A softmax loses its first channel, the background; a sigmoid channel is returned unchanged.
    """
    return probabilities[..., min(1, probabilities.shape[-1] - 1) :]
