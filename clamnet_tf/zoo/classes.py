"""What an entry says of each lesion class, from the run's own files: eta, cuts and figures.

`publish` writes it, `verify` compares it.
"""

from clamnet_tf.inference.postprocessing.volume import VolumePostprocessor
from clamnet_tf.inference.trained_model import measured_rule
from clamnet_tf.recipe.classes import UNNAMED, class_names, classes_of
from clamnet_tf.zoo.measured import as_figure, measured


def marking_of(recipe, selection: dict) -> VolumePostprocessor:
    """Return the marking of selection.json that inference.head chooses.

    ValueError: a head's classes in the selection are not those of the recipe, in this order.
    """
    names, head = class_names(recipe), recipe.inference.head
    markings = {
        name: VolumePostprocessor.from_row(row, names, called=f"the markers of {name}")
        for name, row in selection["markings"].items()
    }
    return markings["mean" if head == "mean" else f"head_{head}"]


def cuts(recipe, selection: dict) -> dict:
    """Return `threshold` of an entry without head and rule: of the consistent maps, and of the network's own.

    raw_value is None where classes have names: each has its own then, see `class_rows`.
    """
    marking = marking_of(recipe, selection)
    raw = {name: part.raw_threshold for name, part in zip(marking.names, marking.parts)}
    return {"value": marking.threshold, "raw_value": raw.get(UNNAMED)}


def class_rows(recipe, selection: dict) -> list[dict]:
    """Return name, eta and threshold of each class that has a name, in the order of the network's classes.

    ValueError: as `marking_of`.
    """
    marking, trained = marking_of(recipe, selection), recipe.learns_from_pairs
    return [
        {
            "name": one.name,
            "eta": one.eta if trained else None,
            "threshold": {"value": part.threshold, "raw_value": part.raw_threshold},
        }
        for one, part in zip(classes_of(recipe), marking.parts)
        if one.name != UNNAMED
    ]


def trained_eta(recipe) -> float | None:
    """Return loss.eta where the training used it, else None; for classes with names see `class_rows`."""
    return recipe.loss.eta if recipe.learns_from_pairs and class_names(recipe) == (UNNAMED,) else None


def rule_of_metrics(recipe, selection: dict) -> str:
    """Return threshold_rule as an evaluation of these weights writes it, with the cuts of named classes."""
    return measured_rule(selection["threshold_rule"], marking_of(recipe, selection))


def rows_of_figures(figures: dict, rows: list[dict]) -> list[dict]:
    """Return `markers` of an entry: the rows of `class_rows` with the figures of each, from metrics.json."""
    return [{**row, "metrics": _metrics(figures["markers"][row["name"]])} for row in rows]


def _metrics(own: dict) -> dict:
    """`metrics` of one class, from its part of metrics.json."""
    volumes, slices = own["dice_volume"], own["dice_slice"]
    return {
        "patients": volumes["patients"],
        "patients_with_lesion": own["patients_with_lesion"],
        "dice_volume": as_figure(volumes),
        "dice_volume_median": volumes["median"],
        "dice_slice": as_figure(slices),
        "outlined_slices": slices["slices"],
        **measured(own),
    }
