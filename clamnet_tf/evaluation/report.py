"""Write `report.html`: one page that holds everything and opens without a network connection.

The dict `run` says what was run; every key is optional, and absent keys are not shown:

recipe, modality, condition, description
    Strings of the recipe.
data
    Where the images come from, in words or as a path.
simulated
    True for the built-in cohort, which the top of the page then states.
split, split_patients
    Name of the evaluated split; {"train": n, "val": n, "test": n}.
supervision
    "labels", "masks" or "mixed".
mask_uses
    {"taught" or "measured": {patient: number of slices with a mask file}}.
label_level
    What the labels that taught speak of: "slice", "study" or "slice and study"; None for masks.
step, checkpoint_rule
    Step of the chosen checkpoint (marked in the curves); how it was chosen, in words.
steps, eta, prevalence, seconds, seed, network
    Of the training; seconds is its duration, network a description in words.
environment
    Content of the run's environment.json: packages, python, machine, processors, git, command, started.
details
    {"any name": "any text"}: more rows of the table "How it was run".
notes
    Sentences shown as warnings under the headline.

The list `curves` holds the rows of metrics.jsonl: {"step": n, name: number, ...}. Names with "auroc" go to
the panel of the slice AUROC, names with "area" to that of the marked area; learning rate, times and counts
(UNPLOTTED) are not plotted; all others go to the losses.
"""

from dataclasses import replace
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from clamnet_tf import files
from clamnet_tf.evaluation.gallery import LIMIT, GalleryItem
from clamnet_tf.evaluation.report_lesions import lesion_content
from clamnet_tf.evaluation.report_tables import (
    SHOWN_METHODS,
    class_rows,
    comparison_rows,
    head_rows,
    run_rows,
    spaced,
    tiles,
)
from clamnet_tf.reporting import charts, wording
from clamnet_tf.reporting.image_words import page_in_words_of
from clamnet_tf.reporting.overlays import (
    by_number,
    class_rgb,
    contour_path,
    data_uri,
    heat_png,
    heat_rgba,
    png,
)
from clamnet_tf.runs import CLASSIFIERS

TEMPLATES = Path(__file__).parent / "templates"
BYTES = 6_000_000
"""A page larger than this is written again with smaller pictures."""
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
        "label_level",
        "step",
        "checkpoint_rule",
    ),
    *("steps", "eta", "prevalence", "seconds", "seed", "network", "environment", "details", "notes"),
    "mask_uses",
)
_PER_PATIENT = {"dice_volume": "dice", "dice_slice": "dice_slice"}
"""Column of patients.csv that belongs to the headline metric."""


def write_report(
    path,
    *,
    title: str,
    run: dict,
    metrics: dict,
    patients: list[dict],
    slices: list[dict],
    curves: list[dict],
    gallery: list[GalleryItem],
) -> None:
    """Write the page to `path` atomically; pictures shrink, down to a smallest size, until it is at most
    BYTES long.

    Args:
        path: File to write.
        title: Title of the page.
        run: What was run; see the module's docstring.
        metrics: Dict from evaluation.figures.
        patients: Rows of patients.csv, from evaluation.walk.
        slices: Rows of cases.csv, from evaluation.walk.
        curves: Rows of metrics.jsonl; may be empty.
        gallery: Items from Gallery.choose, shown in this order; only the first LIMIT are shown.
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
        "spaced": spaced,
    }
    run, key = dict.fromkeys(RUN_KEYS) | run, wording.headline_key(metrics)
    content = {
        "title": title,
        "run": run,
        "rows": run_rows(run, metrics),
        "metrics": metrics,
        "learning": metrics.get("learning"),
        "summary": wording.summary(metrics),
        "verdict": wording.verdict(metrics),
        "whole_organ": wording.whole_organ(metrics),
        "tiles": tiles(metrics),
        "key": key,
        "unit": "patient" if key == "dice_volume" else "outlined slice",
        "measured_on": wording.measured_on(metrics),
        "best": wording.best_simple(metrics),
        "comparison": comparison_rows(metrics),
        "markers": class_rows(metrics),
        "heads": head_rows(metrics),
        "patients": _ranked(patients, _PER_PATIENT[key]),
        "per_patient": _PER_PATIENT[key],
        "strip": _strip(patients, _PER_PATIENT[key]),
        "scatter": _scatter(slices),
        "panels": _panels(curves, run["step"], "Study" if run["label_level"] == "study" else "Slice"),
        "hd95_unit": wording.distance_key(metrics)[-2:],
        "heat_scale": ", ".join(
            f"rgba({r},{g},{b},{a / 255:.2f})" for r, g, b, a in heat_rgba()[::9].tolist()
        ),
        "few": SHOWN_METHODS + 1,
        "bar": charts.interval_bar,
        "floor": wording.FLOOR,
        **lesion_content(metrics),
        "number": wording.number,
        "percent": wording.percent,
    }
    template = environment.get_template("report.html.j2")
    shots = [(item, _outlines(item)) for item in gallery[:LIMIT]]
    for side in _SIDES:
        page = template.render(
            content, gallery=[_pictures(item, side) | outlines for item, outlines in shots]
        )
        if len(page.encode("utf-8")) <= BYTES:
            break
    files.write_text(path, page_in_words_of(run["modality"] or "", page))


def _ranked(patients: list[dict], column: str) -> list[dict]:
    """Sort patients with a score from best to worst, then those without one."""
    return sorted(patients, key=lambda row: (row[column] is None, -(row[column] or 0)))


def _strip(patients: list[dict], column: str):
    """Draw the patients' scores as a strip chart; None for fewer than two scores."""
    scores = [(row["patient"], row[column]) for row in patients if row[column] is not None]
    label = "Dice per patient" if column == "dice" else "Dice of a patient's outlined slices, mean"
    return charts.patient_strip(scores, label) if len(scores) > 1 else None


def _scatter(slices: list[dict]):
    """Draw Dice against lesion size, one dot per slice; None for fewer than three slices with a lesion."""
    outlined = [row for row in slices if row["truth_px"]]
    outlined = [
        outlined[index] for index in np.linspace(0, len(outlined) - 1, min(len(outlined), _DOTS)).astype(int)
    ]
    share = bool(outlined) and all(row["organ_px"] for row in outlined)
    points = [
        (
            100 * row["truth_px"] / row["organ_px"] if share else row["truth_px"],
            row["dice"],
            f"{row['patient']}, {row['image']}, slice {row['slice_index']}: Dice {row['dice']:.2f}",
        )
        for row in outlined
    ]
    return (
        charts.size_scatter(points, "per cent of the organ" if share else "pixels")
        if len(points) > 2
        else None
    )


def _panels(curves: list[dict], chosen, unit: str) -> list[dict]:
    """Draw the training curves in up to three panels; `unit` is what the AUROC tells apart."""
    auroc = f"{unit} AUROC, validation"
    series: dict[str, list] = {}
    for row in curves:
        classified = row.get("stage") == CLASSIFIERS  # what it calls areas are shares of images
        for name, value in row.items():
            plotted = isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)
            plotted = plotted and not (classified and "area" in name)
            if plotted and "step" in row and not any(part in name for part in UNPLOTTED):
                series.setdefault(name, []).append((row["step"], value))
    kinds = {"Loss and its terms": [], "Marked area, share of the organ": [], auroc: []}
    for name, points in series.items():
        kind = (
            auroc
            if "auroc" in name
            else "Marked area, share of the organ"
            if "area" in name
            else "Loss and its terms"
        )
        kinds[kind].append(
            (spaced(name.removeprefix("val_") if kind != "Loss and its terms" else name), points)
        )
    return [
        {
            "name": kind,
            "names": [name for name, _ in curves_of_kind],
            "chart": charts.lines(curves_of_kind, chosen, share=not kind.startswith("Loss")),
        }
        for kind, curves_of_kind in kinds.items()
        if curves_of_kind
    ]


def _outlines(item: GalleryItem) -> dict:
    """Return what the template needs of one slice, except its pictures."""
    return {
        "item": replace(item, gray=None, heat=None),
        "name": Path(item.name).name + (f", slice {item.slice_index}" if item.slice_index else ""),
        "width": item.gray.shape[1],
        "height": item.gray.shape[0],
        "truth": "".join(contour_path(class_mask) for _, class_mask in by_number(item.truth)),
        "marked": [
            ("" if value == 1 else "rgb({}, {}, {})".format(*class_rgb(value)), contour_path(class_mask))
            for value, class_mask in by_number(item.marked)
        ],
    }


def _pictures(item: GalleryItem, side: int) -> dict:
    """Return image and heat map of one slice as data: addresses, at most `side` pixels long."""
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
