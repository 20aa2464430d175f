"""What a served model is, in one line that a server gives back with each answer: so that a client notices
another one.
"""

import hashlib
from dataclasses import asdict, dataclass, fields

from clamnet_tf.errors import UserInputError


@dataclass(frozen=True)
class Identity:
    """recipe, model: sha256 (64 hexadecimal digits) of the recipe's options and of model.keras
    head: "mean", a number, or "activation_map"; flip_views: whether mirrored slices are averaged in
    """

    recipe: str
    model: str
    head: str
    flip_views: str = "no"

    @classmethod
    def of(cls, recipe_sha256: str, model_path, head, flip_views: bool) -> "Identity":
        """Of the files of a run or a zoo entry."""
        with open(model_path, "rb") as stream:
            model = hashlib.sha256(stream.read()).hexdigest()
        return cls(recipe_sha256, model, str(head), "yes" if flip_views else "no")

    @classmethod
    def from_text(cls, text: str) -> "Identity":
        """The inverse of `text`. UserInputError: it was not written by this package, or is no text."""
        if not isinstance(text, str):
            raise UserInputError(
                f"the server's model calls itself {ascii(text)[:200]}: expected text. Check the name in the "
                f"address."
            )
        parts = dict(part.partition("=")[::2] for part in text.split())
        if set(parts) != {field.name for field in fields(cls)}:
            raise UserInputError(
                f"the server's model calls itself {text[:200]!a}: it was not made by clamnet-tf export. "
                f"Check the name in the address."
            )
        return cls(**parts)

    @property
    def text(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())

    def differences(self, other: "Identity") -> list[str]:
        """In words, what of `other` is not as here; empty when equal."""
        mine, theirs = asdict(self), asdict(other)
        return [
            f"{name} {theirs[name][:12]} instead of {mine[name][:12]}"
            for name in mine
            if mine[name] != theirs[name]
        ]
