"""The same slices marked by every arm: best, median and worst patient, one row each.

The pictures are those that each evaluation wrote beside its report: the slice with the patient's largest lesion, which
is the same for every arm, with the reference outlined in blue and the marks in orange.
"""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from clamnet_tf.study.gather import Result

SIDE = 240
"""Longest side on the page, in pixels."""
_QUALITY = 82


@dataclass(frozen=True)
class Shown:
    """A row of the grid: the patient, why it is shown, its mean Dice over the arms; per arm (Dice, picture or None)."""

    patient: str
    role: str
    mean: float
    cells: list[tuple[float | None, str | None]]


def picture_grid(results: list[Result]) -> tuple[list[str], list[Shown]]:
    """Titles of the columns (trained arms that are measured) and the rows; both empty when nothing is measured."""
    arms = [result for result in results if result.repetitions and result.repetitions[0].folder is not None]
    scores = [result.dice() for result in arms]
    common = [name for name in scores[0] if all(name in each for each in scores)] if scores else []
    if not common:
        return [], []
    means = {name: float(np.mean([each[name] for each in scores])) for name in common}
    rows = []
    for role, patient in chosen(means):
        cells = [(each[patient], _picture(result.repetitions[0].folder / "pictures", patient)) for result, each in zip(arms, scores)]
        rows.append(Shown(patient, role, means[patient], cells))
    return [result.arm.title for result in arms], rows


def chosen(means: dict[str, float]) -> list[tuple[str, str]]:
    """(role, patient): best, median and worst by mean Dice over the arms; fewer when there are fewer patients."""
    ranked = sorted(means, key=lambda name: (-means[name], name))
    places = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    if len(ranked) < 3:
        places = {role: place for role, place in places.items() if role != "median"}
    if len(ranked) < 2:
        del places["worst"]
    return [(role, ranked[place]) for role, place in places.items()]


def _picture(folder: Path, patient: str) -> str | None:
    """data: address of the patient's overlay, made smaller; None when the evaluation wrote none."""
    safe = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in patient)
    form = re.compile(rf"\d+(_dice\d\.\d\d)?_{re.escape(safe)}\.png")
    found = [path for path in sorted(folder.glob("*.png")) if form.fullmatch(path.name)]
    if not found:
        return None
    with Image.open(found[0]) as picture:
        small = picture.convert("RGB")
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
