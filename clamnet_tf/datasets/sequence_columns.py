"""Read the columns image_NAME of a manifest: one file or folder per sequence, in the order of channels."""

import re
from collections.abc import Iterable
from pathlib import Path

from clamnet_tf.datasets.sequence_files import SequenceGroup, SequenceImage, group_of
from clamnet_tf.errors import DataError
from clamnet_tf.recipe.sequences import Sequences
from clamnet_tf.recipe.standard_sequences import OTHER_NAMES

PREFIX = "image_"


def sequence_columns(header: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of a manifest that name the sequences of an image: two or more, and none `image`."""
    header = list(header)
    columns = tuple(name for name in header if name.startswith(PREFIX) and len(name) > len(PREFIX))
    return columns if len(columns) > 1 and "image" not in header else ()


def group_of_columns(paths: dict[str, Path | None]) -> SequenceGroup | None:
    """Return the group of a row in the order of its columns, or None without a file; the first is the
    reference.
    """
    images = tuple(
        SequenceImage(name.removeprefix(PREFIX), () if path is None else (path,))
        for name, path in paths.items()
    )
    first = next((index for index, image in enumerate(images) if image.files), None)
    return None if first is None else SequenceGroup(images, first)


def in_order_of(group: SequenceGroup, sequences: Sequences) -> SequenceGroup:
    """Return the group of a row of a manifest with its columns in the order of the model's sequences.

    Raises:
        DataError: the columns name other sequences.
    """
    given = {_plain(image.name): image.files for image in group.images}
    wanted = [_plain(name) for name in sequences.names]
    if set(given) != set(wanted):
        columns = ", ".join(PREFIX + _column(name) for name in sequences.names)
        received = ", ".join(PREFIX + image.name for image in group.images)
        raise DataError(
            f"{group.files[0]}: expected the columns {columns}, one per sequence of the model; received "
            f"{received}. Name them so; a sequence that a study lacks is an empty cell."
        )
    return group_of(sequences, {index: given[name] for index, name in enumerate(wanted)})


def _plain(name: str) -> str:
    """Return a name without case and signs, in its usual spelling."""
    words = " ".join(re.findall(r"[a-z0-9]+", name.lower()))
    spelled = {" ".join(re.findall(r"[a-z0-9]+", other)): usual for other, usual in OTHER_NAMES.items()}
    return " ".join(re.findall(r"[a-z0-9]+", spelled.get(words, words)))


def _column(name: str) -> str:
    """Return a sequence's name as it is written in the header of a column."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
