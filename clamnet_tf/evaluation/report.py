"""`report.html`: one page that holds everything, opens offline and asks nothing of the network.

`run` says what was run; every key is optional and what is absent is not shown:

recipe, modality, condition, description   strings of the recipe
data            where the images come from, in words or as a path
simulated       True: the built-in cohort, said at the top of the page
split           name of the evaluated split; split_patients: {"train": n, "val": n, "test": n}
supervision     "labels" or "masks"
step            step of the chosen checkpoint (marked in the curves); checkpoint_rule: where it comes from, in words
steps, eta, prevalence, seconds (of training), seed, network (in words)
environment     content of the run's environment.json: packages, python, machine, processors, git, command, started
details         {"any name": "any text"} for more rows of the table "How it was run"
notes           sentences shown as warnings under the headline

`curves` are the rows of metrics.jsonl: {"step": n, name: number, ...}. Names with "auroc" go to the panel of
slice AUROC, with "area" to marked area, learning rate, times and counts (see UNPLOTTED) nowhere, all others
to the losses.
"""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from clamnet_tf import files
from clamnet_tf.evaluation.gallery import LIMIT, GalleryItem
from clamnet_tf.reporting import charts, wording
from clamnet_tf.reporting.overlays import (
    by_number,
    class_rgb,
    contour_path,
    data_uri,
    heat_png,
    heat_rgba,
    png,
)

TEMPLATES = Path(__file__).parent / "templates"
BYTES = 6_000_000
"""A page above this size is written again with smaller pictures."""
_SIDES = (320, 240, 176, 128, 96)
_DOTS = 1500
UNPLOTTED = (
    "step",
    "epoch",
    "learning_rate",
    "seconds",
    "time",
    "per_second",
    "threshold",
    "gradient_norm",
    "memory",
    "slices",
)
RUN_KEYS = (
    *(
        "recipe",
        "modality",
        "condition",
        "description",
        "data",
        "simulated",
        "split",
        "split_patients",
        "supervision",
        "step",
        "checkpoint_rule",
    ),
    *("steps", "eta", "prevalence", "seconds", "seed", "network", "environment", "details", "notes"),
)
NAMES = {
    "loss": "total loss",
    "auroc": "slice AUROC",
    "abnormal_area_half": "abnormal area at probability 0.5",
}
"""Names for people; others have their underscores taken out."""
_PER_PATIENT = {"dice_volume": "dice", "dice_slice": "dice_slice"}
"""Column of patients.csv that belongs to the headline."""
_FEW = 6
"""Other methods shown before the rest is folded away."""


def write_report(
    path,
    *,
    title: str,
    run: dict,
    figures: dict,
    patients: list[dict],
    slices: list[dict],
    curves: list[dict],
    gallery: list[GalleryItem],
) -> None:
    """Write the page to `path`, atomically, below BYTES where smaller pictures can make it so.

    figures: from figures.figures; patients, slices: rows from cases.evaluate_slices; curves: rows of
    metrics.jsonl, or none; gallery: from gallery.Gallery.choose, shown in this order, the first LIMIT of
    them.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": wording.number,
        "percent": wording.percent,
        "within": wording.within,
        "signed": wording.signed,
        "spaced": _spaced,
    }
    run, key = dict.fromkeys(RUN_KEYS) | run, wording.headline_key(figures)
    content = {
        "title": title,
        "run": run,
        "rows": _run_rows(run, figures),
        "figures": figures,
        "summary": wording.summary(figures),
        "verdict": wording.verdict(figures, _spaced),
        "whole_organ": wording.whole_organ(figures),
        "tiles": _tiles(figures),
        "key": key,
        "unit": "patient" if key == "dice_volume" else "outlined slice",
        "measured_on": wording.measured_on(figures),
        "best": wording.best_simple(figures),
        "comparison": _comparison(figures),
        "markers": _markers(figures),
        "heads": _heads(figures),
        "patients": _ranked(patients, _PER_PATIENT[key]),
        "per_patient": _PER_PATIENT[key],
        "strip": _strip(patients, _PER_PATIENT[key]),
        "scatter": _scatter(slices),
        "panels": _panels(curves, run["step"]),
        "hd95_unit": wording.distance_key(figures)[-2:],
        "heat_scale": ", ".join(
            f"rgba({r},{g},{b},{a / 255:.2f})" for r, g, b, a in heat_rgba()[::9].tolist()
        ),
        "few": _FEW + 1,
        "bar": charts.interval_bar,
        "floor": wording.FLOOR,
    }
    template = environment.get_template("report.html.j2")
    shots = [(item, _outlines(item)) for item in gallery[:LIMIT]]
    for side in _SIDES:
        page = template.render(
            content, gallery=[_pictures(item, side) | outlines for item, outlines in shots]
        )
        if len(page.encode("utf-8")) <= BYTES:
            break
    files.write_text(path, page)


def _spaced(name: str) -> str:
    if name.startswith("consistent_"):
        _, channel, side = name.split("_")
        return f"{side} {_spaced(channel)}, consistent in the volume"
    if name.startswith("size_"):
        _, channel, sigma, side = name.split("_")
        return f"{side} {_spaced(channel)}, {_spaced(sigma)}, as much as expected"
    return NAMES.get(name) or re.sub(r"(head|channel|sigma)(\d)", r"\1 \2", name.replace("_", " "))


def _tiles(figures: dict) -> list[dict]:
    """The secondary figures as cards: name, value, interval, what it means."""
    unit = wording.distance_key(figures)[-2:]
    found = [
        (
            "dice_slice",
            "Dice per slice",
            wording.number,
            "Overlap in each slice that holds a lesion; one that is missed counts 0.",
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
            f"a lesion that is missed counts as the image's diagonal.",
        ),
        (
            "pointing_game",
            "Pointing game",
            wording.percent,
            "Lesion slices whose most suspicious point lies inside the lesion.",
        ),
        (
            "auroc_slice",
            "Slice AUROC",
            wording.number,
            "Tells abnormal from normal slices. 0.5 is a coin toss, 1 is perfect.",
        ),
        (
            "average_precision_pixel",
            "Pixel average precision",
            wording.number,
            "How well pixels are ranked, whatever the threshold.",
        ),
        (
            "normal_area",
            "False marks on normal slices",
            wording.percent,
            "Share of the organ that is marked where nothing is. Lower is better.",
        ),
        (
            "specificity_patient",
            "Patients without a lesion left unmarked",
            wording.percent,
            "Those of whom not a single pixel is marked.",
        )
        if figures["specificity_patient"] is not None
        else (
            "specificity_slice",
            "Normal slices left unmarked",
            wording.percent,
            "Normal slices without a single marked pixel.",
        ),
    ]
    tiles = []
    for key, name, form, meaning in found:
        entry = figures[key]
        value, interval = (
            (entry["mean"], entry) if isinstance(entry, dict) else (entry, figures["intervals"][key])
        )
        tiles.append(
            {
                "name": name,
                "value": form(value),
                "interval": wording.within(interval, form),
                "meaning": meaning,
                "why": figures["reasons"].get(key) if value is None else None,
            }
        )
    return tiles


def _comparison(figures: dict) -> list[dict]:
    """Rows of the table of methods: ours first, then the others from best to worst, the whole organ always
    among the first.
    """
    key, less = wording.headline_key(figures), wording.difference_key(figures)
    ours = figures[key]
    rows = [
        {
            "name": "This network",
            "kind": "ours",
            "dice": ours,
            "difference": None,
            "say": ("ours", ""),
            **_marks(figures),
        }
    ]
    measured = [each for each in figures["baselines"].items() if each[1][key]["mean"] is not None]
    others = sorted(measured, key=lambda each: -each[1][key]["mean"])
    last = [each for each in others[_FEW:] if each[0] == "whole_organ"]
    others = (
        others[: _FEW - len(last)] + last + [each for each in others[_FEW - len(last) :] if each not in last]
    )
    for name, row in others:
        say = wording.against(_spaced(name), ours["mean"], row[key]["mean"], row[less])
        rows.append(
            {
                "name": _spaced(name),
                "kind": "other",
                "dice": row[key],
                "difference": row[less],
                "say": say,
                **_marks(row),
            }
        )
    return rows


def _marks(figures: dict) -> dict:
    """What a method does where there is no lesion."""
    return {
        "false": figures["normal_area"],
        "unmarked": figures["specificity_patient"],
        "unmarked_slices": figures["specificity_slice"],
    }


def _markers(figures: dict) -> list[dict]:
    """Rows of the table of several markers, in their order; none for one marker."""
    rows = []
    for number, (name, own) in enumerate(figures.get("markers", {}).items(), start=1):
        key, best = wording.headline_key(own), wording.best_simple(own)
        rows.append(
            {
                "name": _spaced(name),
                "colour": "rgb({}, {}, {})".format(*class_rgb(number)),
                "dice": own[key],
                "on": wording.measured_on(own),
                "auroc": own["auroc_slice"],
                "auroc_interval": own["intervals"]["auroc_slice"],
                "pointing": own["pointing_game"],
                "false": own["normal_area"],
                "best": best and best[1][key]["mean"],
            }
        )
    return rows


def _heads(figures: dict) -> list[dict]:
    key = wording.headline_key(figures)
    rows = [
        {
            "name": "Used for the masks",
            "kind": "ours",
            "dice": figures[key],
            "oracle": figures["oracle"],
            "precision": figures["average_precision_pixel"],
            "threshold": figures["threshold"],
        }
    ]
    for name, row in figures["heads"].items():
        rows.append(
            {
                "name": _spaced(name),
                "kind": "other",
                "dice": row[key],
                "oracle": row["oracle"],
                "precision": row["average_precision_pixel"],
                "threshold": row["threshold"],
            }
        )
    return rows


def _ranked(patients: list[dict], column: str) -> list[dict]:
    """Patients with a score from best to worst, then those without one."""
    return sorted(patients, key=lambda row: (row[column] is None, -(row[column] or 0)))


def _strip(patients: list[dict], column: str):
    scores = [(row["patient"], row[column]) for row in patients if row[column] is not None]
    label = "Dice per patient" if column == "dice" else "Dice of a patient's outlined slices, mean"
    return charts.patient_strip(scores, label) if len(scores) > 1 else None


def _scatter(slices: list[dict]):
    found = [row for row in slices if row["truth_px"]]
    found = [found[place] for place in np.linspace(0, len(found) - 1, min(len(found), _DOTS)).astype(int)]
    share = bool(found) and all(row["organ_px"] for row in found)
    points = [
        (
            100 * row["truth_px"] / row["organ_px"] if share else row["truth_px"],
            row["dice"],
            f"{row['patient']}, {row['image']}, slice {row['slice_index']}: Dice {row['dice']:.2f}",
        )
        for row in found
    ]
    return (
        charts.size_scatter(points, "per cent of the organ" if share else "pixels")
        if len(points) > 2
        else None
    )


def _panels(curves: list[dict], chosen) -> list[dict]:
    """The training curves in up to three panels."""
    series: dict[str, list] = {}
    for row in curves:
        for name, value in row.items():
            plotted = isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)
            if plotted and "step" in row and not any(part in name for part in UNPLOTTED):
                series.setdefault(name, []).append((row["step"], value))
    kinds = {"Loss and its terms": [], "Marked area, share of the organ": [], "Slice AUROC, validation": []}
    for name, points in series.items():
        kind = (
            "Slice AUROC, validation"
            if "auroc" in name
            else "Marked area, share of the organ"
            if "area" in name
            else "Loss and its terms"
        )
        kinds[kind].append(
            (_spaced(name.removeprefix("val_") if kind != "Loss and its terms" else name), points)
        )
    return [
        {
            "name": kind,
            "names": [name for name, _ in found],
            "chart": charts.lines(found, chosen, share=not kind.startswith("Loss")),
        }
        for kind, found in kinds.items()
        if found
    ]


def _run_rows(run: dict, figures: dict) -> list[tuple[str, str]]:
    """The table "How it was run"."""
    labels = {
        "masks": "reference masks (fully supervised)",
        "labels": "one label per image; no mask was seen in training or selection",
    }
    split, environment = run["split_patients"] or {}, run["environment"] or {}
    git = environment.get("git") or {}
    rows = [
        ("Recipe", run["recipe"]),
        ("Condition", ", ".join(filter(None, (run["condition"], (run["modality"] or "").upper())))),
        ("Data", run["data"]),
        ("Learned from", labels.get(run["supervision"], run["supervision"])),
        ("Patients", ", ".join(f"{side} {count}" for side, count in split.items())),
        (
            "Evaluated",
            f"{_patients(figures)}, {wording.count(figures['slices'], 'slice')}"
            + (f", split {run['split']}" if run["split"] else ""),
        ),
        ("Network", run["network"]),
        ("Checkpoint", "; ".join(filter(None, (_step(run), run["checkpoint_rule"])))),
        ("Threshold", f"{figures['threshold']:.3g}; {figures['threshold_rule']}"),
        (
            "Expected size",
            None
            if run["prevalence"] is None
            else f"{wording.percent(run['prevalence'])} of the organ in abnormal slices",
        ),
        ("Weight eta", run["eta"]),
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
            f"{figures['bootstrap']['samples']} bootstrap samples of patients, seed "
            f"{figures['bootstrap']['seed']}",
        ),
        ("Border distance", figures["hd95_convention"]),
        ("Slice score", figures["auroc_slice_score"]),
        *(run["details"] or {}).items(),
    ]
    return [(name, str(text)) for name, text in rows if text not in (None, "")]


def _patients(figures: dict) -> str:
    """How many patients there are, and of which kinds."""
    kinds = {
        "with_lesion": "with a lesion",
        "without_lesion": "without",
        "incomplete": "not outlined whole",
        "blank": "without an organ",
    }
    parts = [
        f"{figures[f'patients_{key}']} {text}" for key, text in kinds.items() if figures[f"patients_{key}"]
    ]
    return wording.count(figures["patients"], "patient") + (f" ({', '.join(parts)})" if parts else "")


def _step(run: dict) -> str | None:
    if run["step"] is None:
        return None
    return f"step {run['step']}" + (f" of {run['steps']}" if run["steps"] else "")


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _outlines(item: GalleryItem) -> dict:
    """What the template needs of one slice, but for its pictures."""
    return {
        "item": replace(item, gray=None, heat=None),
        "name": Path(item.name).name + (f", slice {item.slice_index}" if item.slice_index else ""),
        "width": item.gray.shape[1],
        "height": item.gray.shape[0],
        "truth": "".join(contour_path(one) for _, one in by_number(item.truth)),
        "marked": [
            ("" if value == 1 else "rgb({}, {}, {})".format(*class_rgb(value)), contour_path(one))
            for value, one in by_number(item.marked)
        ],
    }


def _pictures(item: GalleryItem, side: int) -> dict:
    """Image and heat map of one slice as data: addresses, at most `side` pixels long."""
    height, width = item.gray.shape
    factor = min(1.0, side / max(height, width))
    small = (max(1, round(width * factor)), max(1, round(height * factor)))
    gray = (
        item.gray
        if factor == 1
        else np.asarray(Image.fromarray(item.gray).resize(small, Image.Resampling.BICUBIC))
    )
    heat = None
    if item.heat is not None:
        heat = np.asarray(
            Image.fromarray(np.asarray(item.heat, np.float32)).resize(small, Image.Resampling.BILINEAR)
        )
    return {"gray": data_uri(png(gray)), "heat": None if heat is None else data_uri(heat_png(heat))}
