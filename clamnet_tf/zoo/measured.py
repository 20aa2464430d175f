"""Convert metrics.json of an evaluation to the section `metrics` of an entry, and check that it fits the
weights.
"""

import json
from pathlib import Path

from clamnet_tf.errors import ZooError
from clamnet_tf.evaluation.figures import DEFINITIONS
from clamnet_tf.reporting.wording import best_simple, data_name, difference_key, headline_key

FIGURES = ("auroc_slice", "pointing_game", "normal_area", "normal_area_patient", "specificity_patient")


def metrics_of(metrics: dict, recipe) -> dict:
    """Return section `metrics` of an entry, with every metric as it was measured."""
    bootstrap, data = metrics["bootstrap"], metrics["data"]
    return {
        "data": f"simulated ({recipe.data.cohort.kind})" if data["simulated"] else data_name(data),
        "simulated": data["simulated"],
        "split": data["split"],
        "patients": metrics["patients"],
        "patients_with_lesion": metrics["patients_with_lesion"],
        "patients_without_lesion": metrics["patients_without_lesion"],
        "slices": metrics["slices"],
        "seed": recipe.training.seed,
        "interval": f"{100 * bootstrap['confidence']:g} %, bootstrap of {bootstrap['samples']} samples over "
        f"patients",
        **_dice(metrics),
        **measured(metrics),
        **_near(metrics),
        **_lesions(metrics),
        "simple_methods": _simple_methods(metrics),
    }


def _dice(metrics: dict) -> dict:
    """Return Dice of fully outlined patients and of outlined slices, as far as it was measured."""
    volumes, slices = metrics["dice_volume"], metrics["dice_slice"]
    dice = {}
    if as_figure(volumes):
        dice |= {"dice_volume": as_figure(volumes), "dice_volume_median": volumes["median"]}
    if as_figure(slices):
        dice |= {"dice_slice": as_figure(slices), "outlined_slices": slices["slices"]}
    return dice


def measured(metrics: dict) -> dict:
    """Return the metrics that exist for single classes and for all together, with intervals, as far as
    measured.
    """
    return {
        key: {"value": metrics[key], **metrics["intervals"][key]}
        for key in FIGURES
        if metrics[key] is not None
    }


def _near(metrics: dict) -> dict:
    """Return pointing_near, as far as measured; evaluations of earlier versions have none."""
    if metrics.get("pointing_near") is None:
        return {}
    return {"pointing_near": {"value": metrics["pointing_near"], **metrics["intervals"]["pointing_near"]}}


def _lesions(metrics: dict) -> dict:
    """Return the figures that count lesions and patients, as far as measured; evaluations of earlier versions
    have none.
    """
    lesions, found = metrics.get("lesions", {}), {}
    measured_on_lesions = {
        "lesion_recall": lesions.get("recall"),
        "lesion_f1": lesions.get("f1"),
        "lesion_cpm": metrics.get("froc", {}).get("cpm"),
    }
    if lesions.get("lesions"):
        found = {"lesions": lesions["lesions"]}
        found |= {key: as_figure(row) for key, row in measured_on_lesions.items() if row and as_figure(row)}
    patients = metrics.get("detection", {}).get("patients", {}).get("auroc")
    if patients and as_figure(patients):
        found["auroc_patient"] = as_figure(patients)
    return found


def _simple_methods(metrics: dict) -> list[dict] | None:
    """Return section `simple_methods` of an entry: the best one, picked with the masks, and the whole organ.

    It is None when there is neither.
    """
    best, key, difference = best_simple(metrics), headline_key(metrics), difference_key(metrics)
    names = dict.fromkeys(
        ([best[0]] if best else []) + [name for name in ("whole_organ",) if name in metrics["baselines"]]
    )
    rows = {name: metrics["baselines"][name] for name in names}
    return [
        {"name": name, "dice": as_figure(row[key]), "difference": as_figure(row[difference])}
        for name, row in rows.items()
        if as_figure(row[key])
    ] or None


def as_figure(interval: dict) -> dict | None:
    """Return a Figure of mean, low and high; None where nothing was measured."""
    return (
        None
        if interval["mean"] is None
        else {"value": interval["mean"], "low": interval["low"], "high": interval["high"]}
    )


def read_figures(path: Path, selection: dict, cut: float, rule: str | None = None) -> dict:
    """Read metrics.json of an evaluation and check that it belongs to the weights of a selection.

    With one lesion class the evaluation must have used the threshold `cut`, and for every head the threshold
    of the selection. With several classes all maps are shifted and use one common threshold, and heads are
    not measured; then `rule`, which names the thresholds before the shift, must equal that of the evaluation.

    Args:
        path: The file metrics.json.
        selection: Content of selection.json of the weights.
        cut: Threshold of the entry.
        rule: threshold_rule with the thresholds of several classes; None for one class.

    Raises:
        ZooError: The file is missing or is not of these weights, has other definitions, or has no Dice.
    """
    if not path.is_file():
        raise ZooError(
            f"{path}: missing. An entry needs measured metrics; make them with clamnet-tf evaluate, or give "
            f"others with --figures."
        )
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        dice = (
            metrics["dice_volume"]["mean"]
            if metrics["dice_volume"]["mean"] is not None
            else metrics["dice_slice"]["mean"]
        )
        expected_rule = (
            {name: row["raw_threshold"] for name, row in selection["markings"].items() if name != "mean"}
            if rule is None
            else rule
        )
        measured_rule = (
            {name: row["threshold"] for name, row in metrics["heads"].items()}
            if rule is None
            else metrics["threshold_rule"]
        )
        threshold, data, definitions = (
            metrics["threshold"],
            metrics["data"]["root"],
            metrics.get("definitions"),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ZooError(
            f"{path}: expected metrics.json of clamnet-tf evaluate; received another file "
            f"({type(error).__name__}: {error})."
        ) from error
    if definitions != DEFINITIONS:
        raise ZooError(
            f"{path}: expected metrics of definitions {DEFINITIONS}; received "
            f"{definitions or 'those of an earlier version'}, whose Dice counts patients without a "
            f"lesion. Evaluate this run again."
        )
    if dice is None:
        raise ZooError(
            f"{path}: expected a Dice per patient volume or outlined slice; the evaluation of {data} had no "
            f"masks. Evaluate on data with masks."
        )
    if measured_rule != expected_rule or threshold != cut:
        raise ZooError(
            f"{path}: has the metrics of other weights: its thresholds are not those of the run's "
            f"selection.json. Evaluate this run."
        )
    return metrics


def check_held_out(path: Path, metrics: dict, environment: dict, *, averaged: bool = False) -> None:
    """Raise ZooError for metrics of patients that training has seen.

    Args:
        path: The file metrics.json.
        metrics: Its content.
        environment: Content of the run's environment.json.
        averaged: Whether the weights are the average of the folds of a cross-validation, which together have
            seen every patient of their data, whatever the split.
    """
    data, training_data = metrics["data"], environment.get("data")
    its_own = data["simulated"] if training_data is None else data["root"] == training_data
    if averaged and its_own:
        raise ZooError(
            f"{path}: expected metrics of patients that none of the averaged networks has seen; received "
            f"those of the data that they were cross-validated on. Evaluate the model on other data: "
            f"clamnet-tf evaluate MODEL --data OTHER, then --figures."
        )
    all_of_its_own = data["split"] is None and its_own
    if data["split"] == "train" or all_of_its_own:
        side = "the training side" if data["split"] else "all cases, including those it was trained on"
        raise ZooError(
            f"{path}: expected metrics of patients that training has not seen; received those of {side}. "
            f"Evaluate with --split test, or on other data."
        )
