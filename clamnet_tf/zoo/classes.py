"""Collect what an entry says about each lesion class, from the run's own files: eta, thresholds and metrics.

`publish` writes it, `verify` compares it.
"""

from clamnet_tf.inference.postprocessing.volume import VolumePostprocessor
from clamnet_tf.inference.trained_model import measured_rule
from clamnet_tf.recipe.classes import UNNAMED, class_names, classes_of
from clamnet_tf.zoo.measured import as_figure, measured


def marking_of(recipe, selection: dict) -> VolumePostprocessor:
    """Return the postprocessor of selection.json that inference.head selects.

    Raises:
        ValueError: The classes of a head in the selection are not those of the recipe, in this order.
    """
    names, head = class_names(recipe), recipe.inference.head
    markings = {
        name: VolumePostprocessor.from_row(row, names, called=f"the lesion classes of {name}")
        for name, row in selection["markings"].items()
    }
    return markings["mean" if head == "mean" else f"head_{head}"]


def cuts(recipe, selection: dict) -> dict:
    """Return section `threshold` of an entry without head and rule.

    value is the threshold of the post-processed maps, raw_value that of the network's own maps. raw_value is
    None when the classes have names: then each class has its own, see `class_rows`.
    """
    marking = marking_of(recipe, selection)
    raw = {name: part.raw_threshold for name, part in zip(marking.names, marking.parts)}
    return {"value": marking.threshold, "raw_value": raw.get(UNNAMED)}


def class_rows(recipe, selection: dict) -> list[dict]:
    """Return name, eta and threshold of each named class, in the order of the network's classes.

    Raises:
        ValueError: As in `marking_of`.
    """
    marking, trained = marking_of(recipe, selection), recipe.learns_from_pairs
    return [
        {
            "name": lesion_class.name,
            "eta": lesion_class.eta if trained else None,
            "threshold": {"value": part.threshold, "raw_value": part.raw_threshold},
        }
        for lesion_class, part in zip(classes_of(recipe), marking.parts)
        if lesion_class.name != UNNAMED
    ]


def trained_eta(recipe) -> float | None:
    """Return loss.eta where the training used it, else None; for named classes see `class_rows`."""
    return recipe.loss.eta if recipe.learns_from_pairs and class_names(recipe) == (UNNAMED,) else None


def rule_of_metrics(recipe, selection: dict) -> str:
    """Return threshold_rule as an evaluation of these weights writes it, with the thresholds of named
    classes.
    """
    return measured_rule(selection["threshold_rule"], marking_of(recipe, selection))


def rows_of_figures(metrics: dict, rows: list[dict]) -> list[dict]:
    """Return section `markers` of an entry: the rows of `class_rows` with the metrics of each from
    metrics.json.
    """
    return [{**row, "metrics": _metrics(metrics["markers"][row["name"]])} for row in rows]


def _metrics(class_metrics: dict) -> dict:
    """Return section `metrics` of one class, from its part of metrics.json."""
    volumes, slices = class_metrics["dice_volume"], class_metrics["dice_slice"]
    return {
        "patients": volumes["patients"],
        "patients_with_lesion": class_metrics["patients_with_lesion"],
        "dice_volume": as_figure(volumes),
        "dice_volume_median": volumes["median"],
        "dice_slice": as_figure(slices),
        "outlined_slices": slices["slices"],
        **measured(class_metrics),
    }
