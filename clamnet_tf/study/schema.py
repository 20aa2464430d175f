"""Define study files: one class per section, strict and closed like a recipe's (see recipe/schema.py).

The overrides of the study and of an arm are NOT checked here. The recipe's own reader checks them when the
study is planned, so that one arm with a wrong key is reported and the others still run.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from clamnet_tf.recipe.section import Section, Seed

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Text = Annotated[str, Field(min_length=1, max_length=600)]


class Arm(Section):
    """Describe one way of making masks, which is compared with the others on the same patients."""

    name: Name = Field(description="Short name, unique in the study; --only takes it.")
    title: Text = Field(description="What a radiologist reads in the table.")
    kind: Literal["weak", "mixed", "supervised", "control", "simple"] = Field(
        "weak",
        description="weak: learns from image labels; mixed: from labels and masks; supervised: from masks; "
        "control: must fail, for example shuffled labels; simple: learns nothing, taken from the evaluation "
        "of the reference arm.",
    )
    baseline: Text | None = Field(
        None, description="simple arms only: name of the baseline in metrics.json, for example whole_organ."
    )
    recipe: Text | None = Field(
        None,
        description="Recipe instead of the study's own: shipped name or path, relative to the study file.",
    )
    set: dict[str, Any] = Field(
        default_factory=dict, description="Overrides of the recipe, dotted.key: value, as in `fit --set`."
    )
    seeds: list[Seed] | None = Field(None, description="Seeds instead of the study's own.")


class Group(Section):
    """Describe arms that are in one table, with one budget."""

    kind: Literal["main", "ceilings", "ablations", "controls"] = Field(
        description="Which part of the page the arms belong to."
    )
    title: Text = Field(description="Heading of the table.")
    about: Text | None = Field(None, description="A sentence under the heading.")
    arms: Annotated[list[Arm], Field(min_length=1)] = Field(
        description="The arms, in the order of the table."
    )


class Study(Section):
    """Describe a comparative study: arms x seeds on one data set and one split."""

    name: Name = Field(description="Name of the study.")
    title: Text = Field(description="Heading of the page.")
    about: Text | None = Field(None, description="A paragraph under the heading: the study's question.")
    recipe: Text = Field(description="Base recipe: shipped name, or path relative to the study file.")
    set: dict[str, Any] = Field(
        default_factory=dict,
        description="Overrides of the recipe in every arm that trains, dotted.key: value; the arm's own "
        "`set` comes after.",
    )
    seeds: Annotated[list[Seed], Field(min_length=1)] = Field(
        default_factory=lambda: [0, 1, 2], description="training.seed of each repetition."
    )
    splits: Annotated[list[Literal["test", "val"]], Field(min_length=1)] = Field(
        default_factory=lambda: ["test"],
        description="Splits to evaluate; the tables are made from the first one.",
    )
    reference: Name = Field(description="Arm that all others are compared with.")
    ceiling: Name | None = Field(None, description="Supervised arm; weak arms are given as a ratio to it.")
    floor: Name | None = Field(None, description="Arm to whose level the controls must fall.")
    groups: Annotated[list[Group], Field(min_length=1)] = Field(description="Tables of arms.")

    def arms(self) -> list[Arm]:
        """Return all arms, in the order of the file."""
        return [arm for group in self.groups for arm in group.arms]

    def arm(self, name: str) -> Arm:
        """Return the arm with that name."""
        return next(arm for arm in self.arms() if arm.name == name)
