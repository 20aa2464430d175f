"""Identify a served model in one line that the server returns with each answer, so clients notice another
model.
"""

import hashlib
from dataclasses import asdict, dataclass, fields

from clamnet_tf.errors import UserInputError


@dataclass(frozen=True)
class Identity:
    """Identify a model.

    Attributes:
        recipe: sha256 (64 hexadecimal digits) of the recipe's options.
        model: sha256 of model.keras.
        head: "mean", a number, "activation_map" or "attribution".
        flip_views: "yes" when predictions of mirrored slices are averaged in, else "no".
    """

    recipe: str
    model: str
    head: str
    flip_views: str = "no"

    @classmethod
    def of(cls, recipe_sha256: str, model_path, head, flip_views: bool) -> "Identity":
        """Return the identity of the files of a run or a zoo entry."""
        with open(model_path, "rb") as stream:
            model = hashlib.sha256(stream.read()).hexdigest()
        return cls(recipe_sha256, model, str(head), "yes" if flip_views else "no")

    @classmethod
    def from_text(cls, text: str) -> "Identity":
        """Parse `text`. Raises UserInputError when this package did not write it."""
        if not isinstance(text, str):
            raise UserInputError(
                f"the server's model identifies itself as {ascii(text)[:200]}: expected text. Check the name "
                f"in the address."
            )
        parts = dict(part.partition("=")[::2] for part in text.split())
        if set(parts) != {field.name for field in fields(cls)}:
            raise UserInputError(
                f"the server's model identifies itself as {text[:200]!a}: it was not made by clamnet-tf "
                f"export. Check the name in the address."
            )
        return cls(**parts)

    @property
    def text(self) -> str:
        """Return the identity in one line."""
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())

    def differences(self, other: "Identity") -> list[str]:
        """Say in words what differs in `other`; empty when both are equal."""
        mine, theirs = asdict(self), asdict(other)
        return [
            f"{name} {theirs[name][:12]} instead of {mine[name][:12]}"
            for name in mine
            if mine[name] != theirs[name]
        ]
