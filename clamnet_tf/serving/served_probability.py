"""Probabilities from a model server in the place of inference.predictor.Predictor: preparation and marking
stay here.
"""

import numpy as np

from clamnet_tf.errors import ServerFailure, UserInputError
from clamnet_tf.serving.address import Address, parse_address
from clamnet_tf.serving.grpc_model import GrpcModel
from clamnet_tf.serving.identity import Identity
from clamnet_tf.serving.rest_model import RestModel
from clamnet_tf.serving.signatures import IDENTITY, IMAGES, PREPARED, PROBABILITY, map_shape

#: Of one request, encoded. TensorFlow Serving itself sets no limit; proxies in front of it often do.
MOST_BYTES = 16_000_000
#: How far beyond 0 and 1 a probability may be: decimal text and float32 round.
ROUNDING = 1e-4


class ServedProbability:
    """Probability of each lesion class per pixel, as the server's model gives it.

    Args:
        server: RestModel or GrpcModel. expected: what the model must call itself. side: of its slices.
        classes: M, how many lesion classes it has.
        most_bytes: of one request; slices are sent in as few requests as that allows, in order.
    """

    def __init__(
        self, server, expected: Identity, *, side: int, classes: int = 1, most_bytes: int = MOST_BYTES
    ):
        self.server, self.expected, self.side, self.most_bytes = server, expected, side, most_bytes
        self.classes = classes

    def __call__(self, images) -> np.ndarray:
        """(N, H, W, C) normalised float -> (N, H, W, M) float32 in 0..1.

        Raises:
            UserInputError: the server has another model. ServerFailure: it does not answer.
        """
        images = np.asarray(images, np.float32)
        parts = [np.zeros((0, self.side, self.side, self.classes), np.float32)]
        for answer in self.server.predict(PREPARED, IMAGES, images, self.most_bytes):
            parts.append(self._checked(answer))
        found = np.concatenate(parts)
        if len(found) != len(images):
            raise ServerFailure(
                f"{self.server.address.text}: the answers hold {len(found)} maps for {len(images)} slices. "
                f"Check that the address is that of a model server."
            )
        return found

    def _checked(self, answer: dict) -> np.ndarray:
        """The maps of one answer, (n, side, side, M) float32, of the right model, finite and in 0..1."""
        where = self.server.address.text
        if PROBABILITY not in answer or IDENTITY not in answer:
            raise UserInputError(
                f"{where}: the model gives {', '.join(sorted(answer))}; expected {PROBABILITY} and "
                f"{IDENTITY}, as clamnet-tf export writes them."
            )
        told = answer[IDENTITY]
        if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
            Identity.from_text(told)  # which says what is wrong with it
        for text in dict.fromkeys(told):
            different = self.expected.differences(Identity.from_text(text))
            if different:
                raise UserInputError(
                    f"{where}: the model that is served is not the one of MODEL: {', '.join(different)}. "
                    "Name the MODEL that is served, or export this one (clamnet-tf export MODEL --format "
                    "savedmodel) and serve it."
                )
        maps = answer[PROBABILITY]
        if not isinstance(maps, np.ndarray) or maps.dtype.kind not in "fiu":
            raise UserInputError(
                f"{where}: the model gives no numbers as {PROBABILITY}; expected maps of {self.side} x "
                f"{self.side} probabilities."
            )
        expected = map_shape(self.side, self.classes)
        if maps.shape[1:] != expected:
            wanted = " x ".join(map(str, expected))
            raise UserInputError(
                f"{where}: the model gives maps of {maps.shape[1:]} pixels; MODEL's have {wanted}."
            )
        lowest, highest = (float(maps.min()), float(maps.max())) if maps.size else (0.0, 1.0)
        if not (lowest >= -ROUNDING and highest <= 1 + ROUNDING):  # also when one of them is NaN
            raise ServerFailure(
                f"{where}: the model gives values from {lowest:g} to {highest:g} as {PROBABILITY}; expected "
                f"0 to 1. Nothing was marked with them: "
                "check the server and its model."
            )
        clipped = np.clip(maps, 0, 1).astype(np.float32, copy=False)
        return clipped.reshape(len(maps), self.side, self.side, self.classes)


def served_probability(
    server: str, *, run, recipe_sha256: str, predictor, side: int, **options
) -> ServedProbability:
    """A stand-in for `predictor` (a Predictor) that asks `server`, an address as in serving.address.

    run: with the path `model`; recipe_sha256: recipe.writer.recipe_hash of its recipe; side: data.side.
    """
    address = parse_address(server)
    head = "activation_map" if predictor.head_names == ["activation_map"] else predictor.head
    identity = Identity.of(recipe_sha256, run.model, head, predictor.flip_views)
    return ServedProbability(connect(address, **options), identity, side=side, classes=predictor.classes)


def connect(address: Address, **options):
    """The model at `address`; options: timeout, waits."""
    return (GrpcModel if address.scheme == "grpc" else RestModel)(address, **options)
