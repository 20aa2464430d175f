"""metrics.json of an evaluation -> the section `metrics` of an entry."""

from pathlib import Path

from clamnet_tf.reporting.wording import best_simple, difference_key, headline_key

FIGURES = ("auroc_slice", "pointing_game", "normal_area", "normal_area_patient", "specificity_patient")


def metrics_of(figures: dict, recipe) -> dict:
    """`metrics` of an entry, every figure as it was measured."""
    bootstrap, data = figures["bootstrap"], figures["data"]
    return {
        "data": f"simulated ({recipe.data.cohort.kind})" if data["simulated"] else Path(data["root"]).name,
        "simulated": data["simulated"],
        "split": data["split"],
        "patients": figures["patients"],
        "patients_with_lesion": figures["patients_with_lesion"],
        "patients_without_lesion": figures["patients_without_lesion"],
        "slices": figures["slices"],
        "seed": recipe.training.seed,
        "interval": f"{100 * bootstrap['confidence']:g} %, bootstrap of {bootstrap['samples']} samples over "
        f"patients",
        **_dice(figures),
        **measured(figures),
        "simple_methods": _simple_methods(figures),
    }


def _dice(figures: dict) -> dict:
    """Dice of patients outlined whole and of outlined slices, as far as measured."""
    volumes, slices = figures["dice_volume"], figures["dice_slice"]
    found = {}
    if as_figure(volumes):
        found |= {"dice_volume": as_figure(volumes), "dice_volume_median": volumes["median"]}
    if as_figure(slices):
        found |= {"dice_slice": as_figure(slices), "outlined_slices": slices["slices"]}
    return found


def measured(figures: dict) -> dict:
    """The figures that single markers and all together have alike, with intervals, as far as measured."""
    return {
        key: {"value": figures[key], **figures["intervals"][key]}
        for key in FIGURES
        if figures[key] is not None
    }


def _simple_methods(figures: dict) -> list[dict] | None:
    """`simple_methods` of an entry: the best one, picked with the masks, and the whole organ; None
    without.
    """
    best, key, less = best_simple(figures), headline_key(figures), difference_key(figures)
    names = dict.fromkeys(
        ([best[0]] if best else []) + [name for name in ("whole_organ",) if name in figures["baselines"]]
    )
    rows = {name: figures["baselines"][name] for name in names}
    return [
        {"name": name, "dice": as_figure(row[key]), "difference": as_figure(row[less])}
        for name, row in rows.items()
        if as_figure(row[key])
    ] or None


def as_figure(found: dict) -> dict | None:
    """A Figure of the mean, low and high in `found`; None where nothing was measured."""
    return (
        None
        if found["mean"] is None
        else {"value": found["mean"], "low": found["low"], "high": found["high"]}
    )
