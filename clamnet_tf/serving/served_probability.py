"""Get probabilities from a model server instead of a local Predictor; preparation and marking stay local."""

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
    """Compute the probability of each lesion class per pixel with a served model.

    Args:
        server: RestModel or GrpcModel.
        expected: Identity that the served model must have.
        side: Height and width of its slices, in pixels.
        classes: Number of its lesion classes.
        most_bytes: Largest size of a request; slices are sent in order, in as few requests as that allows.

    Attributes:
        engine: "server", which stands beside the engines of inference.engine.
    """

    engine = "server"

    def __init__(
        self, server, expected: Identity, *, side: int, classes: int = 1, most_bytes: int = MOST_BYTES
    ):
        self.server, self.expected, self.side, self.most_bytes = server, expected, side, most_bytes
        self.classes = classes

    def __call__(self, images) -> np.ndarray:
        """Return the probabilities of slices.

        Args:
            images: (N, H, W, C) float, normalised.

        Returns:
            (N, H, W, classes) float32 in 0..1.

        Raises:
            UserInputError: The server has another model.
            ServerFailure: It does not answer.
        """
        images = np.asarray(images, np.float32)
        parts = [np.zeros((0, self.side, self.side, self.classes), np.float32)]
        for answer in self.server.predict(PREPARED, IMAGES, images, self.most_bytes):
            parts.append(self._checked(answer))
        maps = np.concatenate(parts)
        if len(maps) != len(images):
            raise ServerFailure(
                f"{self.server.address.text}: expected {len(images)} maps, one per slice; received "
                f"{len(maps)}. Check that the address is that of a model server."
            )
        return maps

    def _checked(self, answer: dict) -> np.ndarray:
        """Return the maps of one answer, (n, side, side, classes) float32: of the right model, finite and in
        0..1.
        """
        where = self.server.address.text
        if PROBABILITY not in answer or IDENTITY not in answer:
            raise UserInputError(
                f"{where}: the model gives {', '.join(sorted(answer))}; expected {PROBABILITY} and "
                f"{IDENTITY}, as clamnet-tf export writes them."
            )
        identities = answer[IDENTITY]
        if not isinstance(identities, list) or not all(isinstance(text, str) for text in identities):
            Identity.from_text(identities)  # raises an error that says what is wrong
        for text in dict.fromkeys(identities):
            different = self.expected.differences(Identity.from_text(text))
            if different:
                raise UserInputError(
                    f"{where}: the served model is not that of MODEL: {', '.join(different)}. Give the MODEL "
                    f"that is served, or export this one (clamnet-tf export MODEL --format savedmodel) and "
                    f"serve it."
                )
        maps = answer[PROBABILITY]
        if not isinstance(maps, np.ndarray) or maps.dtype.kind not in "fiu":
            raise UserInputError(
                f"{where}: expected maps of {self.side} x {self.side} probabilities as {PROBABILITY}; the "
                f"model gives no numbers."
            )
        expected = map_shape(self.side, self.classes)
        if maps.shape[1:] != expected:
            wanted = " x ".join(map(str, expected))
            raise UserInputError(
                f"{where}: expected maps of {wanted} pixels, like those of MODEL; the model gives "
                f"{maps.shape[1:]}."
            )
        lowest, highest = (float(maps.min()), float(maps.max())) if maps.size else (0.0, 1.0)
        if not (lowest >= -ROUNDING and highest <= 1 + ROUNDING):  # also when one of them is NaN
            raise ServerFailure(
                f"{where}: the model gives values from {lowest:g} to {highest:g} as {PROBABILITY}; expected "
                f"0 to 1. Nothing was marked with them. Check the server and its model."
            )
        clipped = np.clip(maps, 0, 1).astype(np.float32, copy=False)
        return clipped.reshape(len(maps), self.side, self.side, self.classes)


def served_probability(
    server: str, *, run, recipe_sha256: str, predictor, side: int, **options
) -> ServedProbability:
    """Return a replacement for `predictor` (a Predictor) that asks a server.

    Args:
        server: Address as in serving.address.
        run: RunFolder with the path `model`.
        recipe_sha256: recipe.writer.recipe_hash of its recipe.
        predictor: The local Predictor.
        side: data.side of the recipe.
        options: timeout and waits of the connection.
    """
    address = parse_address(server)
    identity = Identity.of(recipe_sha256, run.model, predictor.part, predictor.flip_views)
    return ServedProbability(connect(address, **options), identity, side=side, classes=predictor.classes)


def connect(address: Address, **options):
    """Return the model at an address; options: timeout, waits."""
    return (GrpcModel if address.scheme == "grpc" else RestModel)(address, **options)
