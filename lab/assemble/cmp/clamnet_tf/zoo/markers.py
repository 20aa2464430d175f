"""What an entry says of each of several markers, from the run's own files: eta, cuts and figures. `publish` writes it, `verify` compares it."""

from clamnet_tf.evaluation.trained import measured_rule
from clamnet_tf.marking.several_markers import CUT, MarkersMarking
from clamnet_tf.recipe.markers import markers_of
from clamnet_tf.zoo.measured import as_figure, measured


def markings_row(selection: dict, head) -> dict:
    """The row of selection.json that inference.head chooses: of one marker its marking, of several name -> marking."""
    return selection["markings"]["mean" if head == "mean" else f"head_{head}"]


def cuts(recipe, selection: dict) -> dict:
    """`threshold` of an entry without head and rule. Of several markers: where all lie after each was shifted by its own cut, see `marker_cuts`."""
    if recipe.markers:
        return {"value": CUT, "raw_value": None}
    row = markings_row(selection, recipe.inference.head)
    return {"value": row["threshold"], "raw_value": row["raw_threshold"]}


def marker_cuts(recipe, selection: dict) -> list[dict]:
    """name, eta and threshold of each of several markers, in the order of the network's classes from 1; [] of one marker.

    ValueError: a head's markers in the selection are not those of the recipe, in this order.
    """
    markers = markers_of(recipe)
    names = [one.name for one in markers]
    for head, row in selection["markings"].items() if markers else ():
        if list(row) != names:
            raise ValueError(f"the markers of {head} are {', '.join(row)}, the recipe's {', '.join(names)}")
    found = markings_row(selection, recipe.inference.head)
    trained = _weighs_by_eta(recipe)
    return [
        {
            "name": one.name,
            "eta": one.eta if trained else None,
            "threshold": {"value": found[one.name]["threshold"], "raw_value": found[one.name]["raw_threshold"]},
        }
        for one in markers
    ]


def trained_eta(recipe) -> float | None:
    """loss.eta where the training used it, else None; several markers have their own, see `marker_cuts`."""
    return recipe.loss.eta if _weighs_by_eta(recipe) and not recipe.markers else None


def _weighs_by_eta(recipe) -> bool:
    return recipe.learns_from_pairs


def rule_of_figures(recipe, selection: dict) -> str:
    """threshold_rule as an evaluation of these weights writes it: of several markers it tells their cuts."""
    return measured_rule(selection["threshold_rule"], MarkersMarking.from_row(markings_row(selection, recipe.inference.head)))


def markers_of_figures(figures: dict, rows: list[dict]) -> list[dict]:
    """`markers` of an entry: the rows of `marker_cuts` with the figures of each, from metrics.json."""
    return [{**row, "metrics": _metrics(figures["markers"][row["name"]])} for row in rows]


def _metrics(own: dict) -> dict:
    """`metrics` of one marker, from its part of metrics.json."""
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
