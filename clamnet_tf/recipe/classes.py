"""The lesion classes of a recipe, with the values that a class inherits filled in."""

from dataclasses import dataclass

UNNAMED = ""
"""Name of the only class of a recipe with `classes: null`: the label alone says whether a slice shows it."""


@dataclass(frozen=True)
class LesionClass:
    """Holds one lesion class.

    Attributes:
        name: as in the manifest's column markers, or UNNAMED.
        eta: weight of a slice that shows the class, in (0, 1].
        prevalence: expected share of the organ in slices that show it, in 0..1.
    """

    name: str
    eta: float
    prevalence: float


def classes_of(recipe) -> tuple[LesionClass, ...]:
    """Return the lesion classes of a Recipe, one or more, in the order of the network's classes 1, 2 .."""
    eta, prevalence = recipe.loss.eta, recipe.selection.prevalence
    return tuple(
        LesionClass(
            one.name,
            eta if one.eta is None else one.eta,
            prevalence if one.prevalence is None else one.prevalence,
        )
        for one in recipe.classes or ()
    ) or (LesionClass(UNNAMED, eta, prevalence),)


def class_names(recipe) -> tuple[str, ...]:
    """Return the names of `classes_of`; (UNNAMED,) for a single class without a name."""
    return tuple(one.name for one in classes_of(recipe))


def named(names) -> tuple[str, ...]:
    """Return the class names without UNNAMED, for texts in which a class without a name is not mentioned."""
    return tuple(name for name in names if name != UNNAMED)


def by_name(values: dict):
    """Return `values` (class name -> value) as files hold it: the dict, or the value alone when the only
    class has no name.
    """
    return values.get(UNNAMED, values)
