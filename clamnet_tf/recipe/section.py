"""The parts that every section of a recipe is made of: bounded numbers, and the strict base class."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Probability = Annotated[float, Field(gt=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
PositiveCount = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
# YAML has lists and no tuples: the pair itself is lenient about that, its two entries stay strict.
FractionRange = Annotated[tuple[Probability, Probability], Field(strict=False)]
PositiveRange = Annotated[tuple[Positive, Positive], Field(strict=False)]


def without(content, **absent):
    """Return the content of a serialised section without the keys that have the values in `absent`.

    Recipes that were written before those keys existed keep their text and their hash.
    """
    return (
        {key: value for key, value in content.items() if key not in absent or value != absent[key]}
        if isinstance(content, dict)
        else content
    )


class Section(BaseModel):
    """Base class of every section: strict, closed, frozen, with finite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)
