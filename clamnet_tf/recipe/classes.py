"""The lesion classes of a recipe, with the numbers that each of them takes from elsewhere filled in."""

from dataclasses import dataclass

UNNAMED = ""
"""Name of the only class of a recipe with `classes: null`: the label alone says whether a slice shows it."""


@dataclass(frozen=True)
class LesionClass:
    """One lesion class.

    name: as in the manifest's column markers, or UNNAMED.
    eta: weight of a slice that shows it, in (0, 1].
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
    """Return the names of `classes_of`; of a single class without a name (UNNAMED,)."""
    return tuple(one.name for one in classes_of(recipe))


def named(names) -> tuple[str, ...]:
    """Return the class names that are to be said beside what they name: none for a class without a name."""
    return tuple(name for name in names if name != UNNAMED)


def by_name(values: dict):
    """Return what is written of values per class name: the dict; without a name the value alone."""
    return values.get(UNNAMED, values)
