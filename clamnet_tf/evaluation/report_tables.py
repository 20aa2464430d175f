"""Make the rows of the report's tables and cards from metrics.json and from what is known of the run."""

import re
import shlex

from clamnet_tf.evaluation.mask_use import patients_in_words
from clamnet_tf.reporting import wording
from clamnet_tf.reporting.method_words import method_in_words
from clamnet_tf.reporting.overlays import class_rgb

NAMES = {
    "loss": "total loss",
    "auroc": "slice AUROC",
    "abnormal_area_half": "abnormal area at probability 0.5",
}
"""Names for readers; in all other names underscores become spaces."""
SHOWN_METHODS = 6
"""Number of other methods shown before the rest is folded away."""


def spaced(name: str) -> str:
    """Return the readable name of a method, head or curve."""
    words = method_in_words(name)
    if words != name:
        return words
    return NAMES.get(name) or re.sub(r"(head)(\d)", r"\1 \2", name.replace("_", " "))


def tiles(metrics: dict) -> list[dict]:
    """Return the secondary metrics as cards: name, value, interval, meaning, and why a value is missing."""
    unit = wording.distance_key(metrics)[-2:]
    specs = [
        (
            "dice_slice",
            "Dice per slice",
            wording.number,
            "Overlap in each slice with a lesion; a missed lesion counts 0.",
        ),
        (
            "iou",
            "Intersection over union",
            wording.number,
            "A stricter overlap than Dice, per patient with a lesion.",
        ),
        (
            f"hd95_{unit}",
            "Border distance (HD95)",
            lambda value: "not measured" if value is None else f"{value:.1f} {unit}",
            f"95 % of the outline lies within this distance, {'millimetres' if unit == 'mm' else 'pixels'}; "
            f"a missed lesion counts as the image's diagonal.",
        ),
        (
            "pointing_game",
            "Pointing game",
            wording.percent,
            "Share of lesion slices whose pixel of highest probability lies inside the lesion.",
        ),
        (
            "auroc_slice",
            "Slice AUROC",
            wording.number,
            "How well abnormal and normal slices are distinguished. 0.5 is chance, 1 is perfect.",
        ),
        (
            "average_precision_pixel",
            "Pixel average precision",
            wording.number,
            "How well pixels are ranked, independent of any threshold.",
        ),
        (
            "normal_area",
            "False marks on normal slices",
            wording.percent,
            "Share of the organ that is marked although there is no lesion. Lower is better.",
        ),
        (
            "specificity_patient",
            "Patients without a lesion left unmarked",
            wording.percent,
            "Share of these patients without a single marked pixel.",
        )
        if metrics["specificity_patient"] is not None
        else (
            "specificity_slice",
            "Normal slices left unmarked",
            wording.percent,
            "Share of normal slices without a single marked pixel.",
        ),
    ]
    if "study" in (metrics.get("labels", {}).get("taught") or ""):
        meaning = "How well patients with and without a lesion are told apart by their highest slice score."
        specs.insert(5, ("detection.patients", "Patient AUROC", wording.number, meaning))
    if asymmetry := metrics.get("asymmetry"):
        meaning = (
            "How well abnormal images are told from normal ones when half of the score of the same patient's "
            f"other breast is taken off; {wording.count(asymmetry['images'], 'image')} with another breast."
        )
        specs.insert(5, ("asymmetry", "AUROC, compared with the other breast", wording.number, meaning))
    cards = []
    special = {
        "detection.patients": metrics["detection"]["patients"]["auroc"],
        "asymmetry": (metrics.get("asymmetry") or {}).get("auroc"),
    }
    for key, name, form, meaning in specs:
        entry = special[key] if key in special else metrics[key]
        value, interval = (
            (entry["mean"], entry) if isinstance(entry, dict) else (entry, metrics["intervals"][key])
        )
        cards.append(
            {
                "name": name,
                "value": form(value),
                "interval": wording.within(interval, form),
                "meaning": meaning,
                "why": metrics["reasons"].get(key) if value is None else None,
            }
        )
    return cards


def comparison_rows(metrics: dict) -> list[dict]:
    """Return the rows of the table of methods.

    Ours comes first, then the others from best to worst; the whole organ is always among the rows that are
    not folded away.
    """
    key, difference_key = wording.headline_key(metrics), wording.difference_key(metrics)
    ours = metrics[key]
    rows = [
        {
            "name": "This network",
            "kind": "ours",
            "dice": ours,
            "difference": None,
            "say": ("ours", ""),
            **_false_marks(metrics),
        }
    ]
    measured = [method for method in metrics["baselines"].items() if method[1][key]["mean"] is not None]
    other_methods = sorted(measured, key=lambda method: -method[1][key]["mean"])
    whole_organ = [method for method in other_methods[SHOWN_METHODS:] if method[0] == "whole_organ"]
    other_methods = (
        other_methods[: SHOWN_METHODS - len(whole_organ)]
        + whole_organ
        + [
            method
            for method in other_methods[SHOWN_METHODS - len(whole_organ) :]
            if method not in whole_organ
        ]
    )
    for name, row in other_methods:
        verdict = wording.against(spaced(name), ours["mean"], row[key]["mean"], row[difference_key])
        rows.append(
            {
                "name": spaced(name),
                "kind": "other",
                "dice": row[key],
                "difference": row[difference_key],
                "say": verdict,
                **_false_marks(row),
            }
        )
    return rows


def _false_marks(metrics: dict) -> dict:
    """Return what a method marks where there is no lesion."""
    return {
        "false": metrics["normal_area"],
        "unmarked": metrics["specificity_patient"],
        "unmarked_slices": metrics["specificity_slice"],
    }


def class_rows(metrics: dict) -> list[dict]:
    """Return the rows of the table of named lesion classes, in their order; empty for one class without a
    name.
    """
    rows = []
    for class_index, (name, class_metrics) in enumerate(metrics.get("markers", {}).items(), start=1):
        key, best = wording.headline_key(class_metrics), wording.best_simple(class_metrics)
        rows.append(
            {
                "name": spaced(name),
                "colour": "rgb({}, {}, {})".format(*class_rgb(class_index)),
                "dice": class_metrics[key],
                "on": wording.measured_on(class_metrics),
                "auroc": class_metrics["auroc_slice"],
                "auroc_interval": class_metrics["intervals"]["auroc_slice"],
                "pointing": class_metrics["pointing_game"],
                "false": class_metrics["normal_area"],
                "best": best and best[1][key]["mean"],
            }
        )
    return rows


def head_rows(metrics: dict) -> list[dict]:
    """Return the rows of the table of heads; the first row is what the masks are made from."""
    key = wording.headline_key(metrics)
    rows = [
        {
            "name": "Used for the masks",
            "kind": "ours",
            "dice": metrics[key],
            "oracle": metrics["oracle"],
            "precision": metrics["average_precision_pixel"],
            "threshold": metrics["threshold"],
        }
    ]
    for name, row in metrics["heads"].items():
        rows.append(
            {
                "name": spaced(name),
                "kind": "other",
                "dice": row[key],
                "oracle": row["oracle"],
                "precision": row["average_precision_pixel"],
                "threshold": row["threshold"],
            }
        )
    return rows


def run_rows(run: dict, metrics: dict) -> list[tuple[str, str]]:
    """Return the rows (name, text) of the table "How it was run"; empty texts are left out."""
    labels = {
        "masks": "reference masks (fully supervised)",
        "labels": {
            "study": "one label per study: which slices of an abnormal study show the lesion was estimated; "
            "no mask was used in training or selection",
            "slice and study": "one label per image of some studies, one label per study of others; no mask "
            "was used in training or selection",
        }.get(run["label_level"], "one label per image; no mask was used in training or selection"),
        "mixed": "reference masks where patients teach with them, one label per image for the others",
    }
    uses = run["mask_uses"] or {}
    split, environment = run["split_patients"] or {}, run["environment"] or {}
    git = environment.get("git") or {}
    rows = [
        ("Recipe", run["recipe"]),
        ("Condition", ", ".join(filter(None, (run["condition"], (run["modality"] or "").upper())))),
        ("Data", run["data"]),
        ("Learned from", labels.get(run["supervision"], run["supervision"])),
        *((f"Masks that {use}", patients_in_words(patients)) for use, patients in uses.items()),
        ("Patients", ", ".join(f"{side} {count}" for side, count in split.items())),
        (
            "Evaluated",
            f"{_patients(metrics)}, {wording.count(metrics['slices'], 'slice')}"
            + (f", split {run['split']}" if run["split"] else ""),
        ),
        ("Network", run["network"]),
        ("Checkpoint", "; ".join(filter(None, (_step(run), run["checkpoint_rule"])))),
        ("Threshold", f"{metrics['threshold']:.3g}; {metrics['threshold_rule']}"),
        (
            "Expected size",
            None
            if run["prevalence"] is None
            else f"{wording.percent(run['prevalence'])} of the organ in abnormal slices",
        ),
        ("Weight eta", _eta(run)),
        ("Training time", _duration(run["seconds"])),
        ("Seed", run["seed"]),
        ("Started", environment.get("started")),
        ("Command", shlex.join(environment.get("command") or [])),
        (
            "Machine",
            ", ".join(
                filter(
                    None,
                    (
                        environment.get("machine"),
                        environment.get("processors") and wording.count(environment["processors"], "core"),
                    ),
                )
            ),
        ),
        (
            "Versions",
            ", ".join(f"{name} {version}" for name, version in (environment.get("packages") or {}).items()),
        ),
        ("Source", git.get("commit", "")[:12] + (", changed since" if git.get("changed") else "")),
        (
            "Intervals",
            f"{metrics['bootstrap']['samples']} bootstrap samples of patients, seed "
            f"{metrics['bootstrap']['seed']}",
        ),
        ("Border distance", metrics["hd95_convention"]),
        ("Slice score", metrics["auroc_slice_score"]),
        *(run["details"] or {}).items(),
    ]
    return [(name, str(text)) for name, text in rows if text not in (None, "")]


def _patients(metrics: dict) -> str:
    """Say how many patients there are, and of which kinds."""
    kinds = {
        "with_lesion": "with a lesion",
        "without_lesion": "without",
        "incomplete": "not fully outlined",
        "blank": "without an organ",
    }
    parts = [
        f"{metrics[f'patients_{key}']} {text}" for key, text in kinds.items() if metrics[f"patients_{key}"]
    ]
    return wording.count(metrics["patients"], "patient") + (f" ({', '.join(parts)})" if parts else "")


def _eta(run: dict) -> str | None:
    """Say with which weight abnormal slices taught."""
    if run["eta"] is None or "study" not in (run["label_level"] or ""):
        return run["eta"]
    return f"{run['eta']}; of an abnormal study, times the estimated probability of each slice"


def _step(run: dict) -> str | None:
    """Say at which step the checkpoint was taken."""
    if run["step"] is None:
        return None
    return f"step {run['step']}" + (f" of {run['steps']}" if run["steps"] else "")


def _duration(seconds: float | None) -> str | None:
    """Format a duration in hours and minutes, or minutes and seconds."""
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
