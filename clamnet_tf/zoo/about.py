"""Read the texts of an entry that a run cannot know: from a YAML file, from options, and from the last
version.
"""

from typing import Annotated

from pydantic import Field

from clamnet_tf.recipe.overrides import apply_overrides
from clamnet_tf.recipe.problems import Place
from clamnet_tf.recipe.reader import Node, as_node, read_file
from clamnet_tf.recipe.section import Section
from clamnet_tf.zoo.entry import Entry, Prose, Sentence, TrainingDataSection, Word
from clamnet_tf.zoo.read import check


class About(Section):
    """Define the file of `clamnet-tf zoo publish --about`."""

    summary: Sentence = Field(description="A sentence or two for lists.")
    channel_order: Annotated[list[Sentence], Field(min_length=1)] = Field(
        description="What each channel holds, in order."
    )
    missing_channels: Sentence | None = Field(None, description="What replaces a channel that is missing.")
    classes: Annotated[list[Word], Field(min_length=2)] | None = Field(
        None,
        description="Meaning of the output's classes; null: background and marker, or the names of the "
        "lesion classes.",
    )
    training_data: TrainingDataSection = Field(
        description="What the network learned from: name, origin, licence."
    )
    weights_licence: Prose = Field(description="What may be done with the weights, given that licence.")
    intended_use: Prose = Field(description="What it is for.")
    limits: Annotated[list[Prose], Field(min_length=1)] = Field(
        description="What it cannot do, and where it fails."
    )
    notes: Prose | None = Field(None, description="How to read the metrics.")


def read_about(path, overrides, before: Entry | None) -> About:
    """Read the texts of an entry.

    A text comes from `overrides`, else from the file, else from the last version.

    Args:
        path: YAML file, or None.
        overrides: Texts of the form key=value (--set).
        before: Last version of the entry, or None.

    Raises:
        ZooError: The message lists every problem of file and overrides, and every text that none of the three
            has.
    """
    root, problems = (
        read_file(path)
        if path is not None
        else (Node(Place("the texts of the entry (--about FILE, --set KEY=VALUE)"), {}), [])
    )
    root = Node(Place(str(path)), {}) if root is None else root
    problems = problems + apply_overrides(root, overrides)
    if before is not None:
        _fill(root, _texts(before))
    return check(root, problems, About)


def _texts(entry: Entry) -> dict:
    """Return the texts of an entry in the form of an `--about` file."""
    return {
        "summary": entry.summary,
        "channel_order": entry.input.channel_order,
        "missing_channels": entry.input.missing_channels,
        "classes": entry.output.classes,
        "training_data": entry.training_data.model_dump(),
        "weights_licence": entry.weights.licence,
        "intended_use": entry.intended_use,
        "limits": entry.limits,
        "notes": entry.notes,
    }


def _fill(root: Node, values: dict) -> None:
    """Add `values` for keys that the tree does not have."""
    for key, value in values.items():
        if isinstance(value, dict):
            section = root.value.setdefault(key, Node(root.place, {}))
            if isinstance(section.value, dict):
                _fill(section, value)
        else:
            root.value.setdefault(key, as_node(value, root.place))
