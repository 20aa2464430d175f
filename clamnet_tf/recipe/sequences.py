"""The sequences of a recipe, with patterns and reference filled in."""

import re
from dataclasses import dataclass

from clamnet_tf.recipe.standard_sequences import USUAL_NAMES, standard_sequence


@dataclass(frozen=True)
class Sequence:
    """One channel of an image that is stored as several series or files.

    Attributes:
        name: name of the sequence.
        match: {DICOM field, or contrast: compiled expression, (lowest, highest), or bool}.
        files: compiled expressions for names of files without suffix.
    """

    name: str
    match: dict
    files: tuple[re.Pattern, ...]


@dataclass(frozen=True)
class Sequences:
    """All sequences of a model, in the order of its image channels.

    Attributes:
        sequences: one per channel.
        reference: index of the sequence on whose grid the others are put.
        filler: index of the sequence that stands in for a missing one, as in training with
            pairs.augmentation.channel_loss; None: no sequence may be missing.
        registration: "none" or "rigid".
    """

    sequences: tuple[Sequence, ...]
    reference: int
    filler: int | None = None
    registration: str = "none"

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the sequences."""
        return tuple(sequence.name for sequence in self.sequences)


def sequences_of(recipe, channel_names=()) -> Sequences | None:
    """Return the sequences of a Recipe, or None when every file holds all channels.

    Args:
        recipe: the recipe.
        channel_names: what the channels of the model hold, as its card says; they count where the recipe
            declares no sequences and all of them are standard names.
    """
    sections = recipe.data.sequences
    if sections is None:
        if len(channel_names) < 2 or not all(map(standard_sequence, channel_names)):
            return None
        sequences = tuple(_sequence(name) for name in channel_names)
    else:
        sequences = tuple(_sequence(one.name, one.match, one.files) for one in sections)
    filler = _filler(recipe, len(sequences))
    marked = [index for index, one in enumerate(sections or ()) if one.reference]
    reference = marked[0] if marked else (filler or 0)
    return Sequences(sequences, reference, filler, recipe.data.registration)


def standard_sequences() -> Sequences:
    """Return all sequences that have usual patterns, in the order of `standard_sequences.STANDARD`."""
    return Sequences(tuple(_sequence(name) for name in USUAL_NAMES.values()), 0)


def _sequence(name: str, match: dict | None = None, files=None) -> Sequence:
    usual = standard_sequence(name)
    if match is None and usual:
        match = usual.match
    if files is None and usual:
        files = usual.files
    compiled = {
        field: re.compile(value) if isinstance(value, str) else value
        for field, value in (match or {}).items()
    }
    return Sequence(name, compiled, tuple(re.compile(pattern) for pattern in files or ()))


def _filler(recipe, count: int) -> int | None:
    """Return the index of the sequence that the network learned to take for a missing one, or None."""
    augmentation = recipe.pairs.augmentation
    main = augmentation.main_channel
    if not augmentation.channel_loss or main is None:
        return None
    kept = recipe.data.channels
    index = main if kept is None else kept[main] if main < len(kept) else count
    return index if index < count else None
