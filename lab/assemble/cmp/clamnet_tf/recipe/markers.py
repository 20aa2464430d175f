"""The markers that a recipe tells apart, with the numbers that each of them takes from elsewhere filled in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Marker:
    """name: of the manifest's column markers; eta: weight of a slice that names it, in (0, 1]; prevalence: share of the organ."""

    name: str
    eta: float
    prevalence: float


def markers_of(recipe) -> tuple[Marker, ...]:
    """The markers of a Recipe in the order of the network's classes 1, 2 ..; empty when it marks one condition (markers: null)."""
    return tuple(
        Marker(
            one.name,
            recipe.loss.eta if one.eta is None else one.eta,
            recipe.selection.prevalence if one.prevalence is None else one.prevalence,
        )
        for one in recipe.markers or ()
    )
