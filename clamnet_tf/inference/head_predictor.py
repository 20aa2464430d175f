"""Turn prepared slices into lesion probabilities with the heads of a network, whichever engine computes it.

NumPy in, NumPy out. Subclasses run the network: predictor.Predictor with TensorFlow,
onnx_predictor.OnnxPredictor with ONNX Runtime.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from clamnet_tf.errors import NetworkError


class HeadPredictor(ABC):
    """Compute the probability of each lesion class per pixel and head.

    Args:
        head_names: names of the heads, in order.
        classes: how many lesion classes the network has beside background.
        input_shape: (height, width, channels) of a slice; height and width are None where any will do.
        head: "mean" of the heads, or the number of one.
        batch_size: slices per pass.
        flip_views: whether maps are averaged with those of the left-right mirrored slices.

    Attributes:
        engine: name of the engine, as `clamnet-tf predict --engine` takes it.
        any_size: whether `run` takes batches of every size equally well; else they are filled up to few
            sizes.
        workers: training.workers.Workers that call this network together, on the same images, and share the
            passes; None: this process computes all.

    Raises:
        NetworkError: the network has no such head.
    """

    engine: str
    any_size: bool = False

    def __init__(self, head_names, classes: int, input_shape, *, head, batch_size: int, flip_views: bool):
        self.head_names, self.classes, self.input_shape = list(head_names), classes, tuple(input_shape)
        self.head, self.batch_size, self.flip_views = head, batch_size, flip_views
        if head != "mean" and f"head_{head}" not in self.head_names:
            raise NetworkError(
                f"inference.head: expected mean or one of {', '.join(self.head_names)}; received {head}."
            )
        self.workers: Any = None  # training.workers.Workers, which this room may not import

    @property
    def part(self) -> str:
        """Return what a single map is of: "mean", the number of a head, "activation_map" or "attribution"."""
        only = self.head_names[0] if len(self.head_names) == 1 else ""
        return only if only and "head_" not in only else str(self.head)

    @property
    def folds(self) -> int:
        """Return how many networks were averaged into this one; 1 for a network that is no average."""
        return 1

    @abstractmethod
    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return the maps of one batch, averaged with those of the mirrored slices when `flip_views`.

        Args:
            batch: (B, H, W, C) float32.

        Returns:
            (heads, B, H, W, M) float32 in 0..1.
        """

    @abstractmethod
    def members(self) -> "HeadPredictor":
        """Return the predictor of the heads of all members of an average, fold by fold; of another network,
        itself.
        """

    def heads(self, images) -> np.ndarray:
        """Return the maps of every head, (N, H, W, C) normalised float -> (heads, N, H, W, M) float32 in
        0..1.
        """
        if self.workers is not None and self.workers.count > 1:
            return self._shared_heads(images)
        return np.concatenate(self._passes(images, range(0, len(images), self.batch_size)), axis=1)

    def _passes(self, images, starts: range) -> list[np.ndarray]:
        """Return the maps of the batches that begin at `starts`."""
        return [self._pass(images, start) for start in starts]

    def _pass(self, images, start: int) -> np.ndarray:
        """Return the maps of the batch that begins at `start`."""
        batch = np.asarray(images[start : start + self.batch_size], np.float32)
        count = len(batch)
        # Few shapes give few traces; a single slice costs one slice.
        size = count if self.any_size else min(self.batch_size, 2 ** (count - 1).bit_length())
        if count < size:
            batch = np.concatenate([batch, np.zeros((size - count, *batch.shape[1:]), np.float32)])
        return self.run(batch)[:, :count]

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
    """Return the channels of the lesion classes, (B, H, W, C) -> (B, H, W, M), of an array or tensor.

    A softmax loses its first channel, the background; a sigmoid channel is returned unchanged.
    """
    return probabilities[..., min(1, probabilities.shape[-1] - 1) :]
