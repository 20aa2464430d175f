"""Take the figures that count lesions and judge slice scores from metrics.json, for the tables of a study.

They are means over seeds; their intervals are in each evaluation's own report. Evaluations of earlier
versions, and simple arms, have none: an en dash.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from clamnet_tf.reporting.wording import number, percent


@dataclass(frozen=True)
class FurtherFigure:
    """Describe a column.

    Attributes:
        key: Name in summary.csv.
        title: Head of the column.
        take: Function from the content of metrics.json to a number or None.
        form: Function that formats the number.
    """

    key: str
    title: str
    take: Callable[[dict], float | None]
    form: Callable[[float], str]


def _at(*path: str) -> Callable[[dict], float | None]:
    """Return a function that follows keys and gives a number, or the mean of an interval."""

    def take(metrics: dict) -> float | None:
        value: Any = metrics
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value.get("mean") if isinstance(value, dict) else value

    return take


def _of_size(name: str, key: str) -> Callable[[dict], float | None]:
    """Return a function that gives a figure of lesions of one size."""

    def take(metrics: dict) -> float | None:
        sizes = {row["name"]: row for row in metrics.get("lesions", {}).get("by_size", ())}
        return sizes.get(name, {}).get(key, {}).get("mean")

    return take


def _surface(metrics: dict) -> float | None:
    """Return the normalised surface Dice at the smallest tolerance."""
    rows = metrics.get("surface_dice", {}).get("tolerances", ())
    return min(rows, key=lambda row: row["tolerance"])["mean"] if rows else None


def _detection(level: str, specificity: str) -> Callable[[dict], float | None]:
    return _at("detection", level, "sensitivity_at_specificity", specificity)


FIGURES = (
    FurtherFigure("lesion_recall", "lesions found", _at("lesions", "recall"), percent),
    FurtherFigure("lesion_precision", "marks that hit", _at("lesions", "precision"), percent),
    FurtherFigure("lesion_f1", "F1 of lesions", _at("lesions", "f1"), number),
    *(
        FurtherFigure(f"lesion_f1_{name}", f"F1, {name}", _of_size(name, "f1"), number)
        for name in ("small", "medium", "large")
    ),
    FurtherFigure("froc_cpm", "FROC (CPM)", _at("froc", "cpm"), number),
    FurtherFigure("surface_dice", "surface Dice", _surface, number),
    *(
        FurtherFigure(
            f"sensitivity_{name}_{level}",
            f"{level}s found at {name} % specificity",
            _detection(f"{level}s", key),
            percent,
        )
        for level in ("slice", "patient")
        for name, key in (("90", "0.9"), ("95", "0.95"))
    ),
    FurtherFigure("calibration_error", "calibration error", _at("calibration", "ece"), number),
)
"""The columns, in their order."""
KEYS = tuple(figure.key for figure in FIGURES)
TITLES = tuple(figure.title for figure in FIGURES)


def further_figures(metrics: dict) -> dict[str, float | None]:
    """Return key -> number or None of one evaluation.

    Args:
        metrics: Content of metrics.json.
    """
    return {figure.key: figure.take(metrics) for figure in FIGURES}


def has_any(secondary: dict) -> bool:
    """Return whether an arm has one of the figures.

    Args:
        secondary: Row.secondary of compare.py.
    """
    return any(secondary.get(key) is not None for key in KEYS)


def texts(secondary: dict) -> list[str]:
    """Return the cells of one arm, column by column."""
    values = [(figure, secondary.get(figure.key)) for figure in FIGURES]
    return ["–" if value is None else figure.form(value) for figure, value in values]


NOTE = (
    "A lesion is a connected component of the reference; small, medium and large are split at 1 and 10 ml, "
    "or at 32 × 32 and 96 × 96 pixels where a spacing is unknown. CPM is the mean share of lesions found "
    "at 1/8 to 8 false positives per image. Surface Dice is at the smallest tolerance that was measured. "
    "Shares found at a specificity use the best threshold on these patients: bounds. Means over seeds; "
    "the reports of the evaluations have the intervals."
)
"""Explains the columns under the table."""


def learning_messages(repetitions) -> list[str]:
    """Return what the runs' own check of learning warns of, one message per seed.

    Args:
        repetitions: gather.Repetition of one arm.
    """
    found = []
    for repetition in repetitions:
        learning = repetition.figures.get("learning")
        if learning and learning["verdict"] != "learned":
            found.append(f"seed {repetition.seed}: {' '.join(learning['sentences'][0].split())}")
    return found
