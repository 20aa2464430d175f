"""Find out which sequences a model takes, from its recipe or its card."""

from pathlib import Path

from clamnet_tf.recipe.sequences import Sequences, sequences_of
from clamnet_tf.zoo.entry import is_entry
from clamnet_tf.zoo.read import read_entry


def sequences_of_model(folder: Path, recipe) -> Sequences | None:
    """Return the sequences of a model, or None when every image file holds all channels.

    Those of data.sequences come first; else the channels that the card of a zoo entry names, where all of
    them are standard sequences (recipe.standard_sequences).

    Args:
        folder: a run folder, or the folder of a zoo entry.
        recipe: recipe of the model.
    """
    return sequences_of(recipe, channel_names_of(folder))


def channel_names_of(folder: Path) -> tuple[str, ...]:
    """Return what the channels of a zoo entry hold, as its card says; () for a run, which has no card."""
    return tuple(read_entry(folder).input.channel_order) if is_entry(folder) else ()
