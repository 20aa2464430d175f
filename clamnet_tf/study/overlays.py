"""The same slices marked by every arm: best, median and worst patient, one row each, one sheet per group of
arms.

The pictures are those that each evaluation wrote beside its report: the slice with the patient's largest
lesion, which is the same for every arm, with the reference outlined in blue and the marks in orange.
"""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from clamnet_tf.reporting.overlays import MARKED_RGB, TRUTH_RGB
from clamnet_tf.study.gather import Result

SIDE = 240
"""Longest side on the page, in pixels."""
_QUALITY = 82


@dataclass(frozen=True)
class Shown:
    """A row: the patient, why it is shown, its mean Dice over all arms; per column (Dice, picture or
    None).
    """

    patient: str
    role: str
    mean: float
    cells: list[tuple[float, str | None]]


@dataclass(frozen=True)
class Sheet:
    """The pictures of one group of arms: columns = titles of the arms, the reference first; rows = the same
    three patients.
    """

    title: str
    columns: list[str]
    rows: list[Shown]


def picture_sheets(results: list[Result], reference: str) -> list[Sheet]:
    """One sheet per group with arms that are trained and measured; none when no patient was scored by all of
    them.
    """
    arms = [result for result in results if result.repetitions and result.repetitions[0].folder is not None]
    scores = {result.arm.name: result.dice() for result in arms}
    first = next(iter(scores.values()), {})
    means = {
        name: float(np.mean([each[name] for each in scores.values()]))
        for name in first
        if all(name in each for each in scores.values())
    }
    sheets = []
    for group in dict.fromkeys(result.group.title for result in arms):
        own = [result for result in arms if result.group.title == group and result.arm.name != reference]
        columns = [result for result in arms if result.arm.name == reference] + own
        rows = []
        for role, patient in chosen(means):
            cells = [
                (scores[each.arm.name][patient], _picture(each.repetitions[0].folder / "pictures", patient))
                for each in columns
            ]
            rows.append(Shown(patient, role, means[patient], cells))
        if rows and columns:
            sheets.append(Sheet(group, [each.arm.title for each in columns], rows))
    return sheets


def chosen(means: dict[str, float]) -> list[tuple[str, str]]:
    """(role, patient): best, median and worst by mean Dice over the arms; fewer when there are fewer
    patients.
    """
    ranked = sorted(means, key=lambda name: (-means[name], name))
    if not ranked:
        return []
    places = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    if len(ranked) < 3:
        places = {role: place for role, place in places.items() if role != "median"}
    if len(ranked) < 2:
        places.pop("worst")
    return [(role, ranked[place]) for role, place in places.items()]


def _picture(folder: Path, patient: str) -> str | None:
    """data: address of the patient's overlay, made smaller; None when the evaluation wrote none."""
    safe = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in patient)
    form = re.compile(rf"\d+(_dice\d\.\d\d)?_{re.escape(safe)}\.png")
    found = [path for path in sorted(folder.glob("*.png")) if form.fullmatch(path.name)]
    if not found:
        return None
    with Image.open(found[0]) as picture:
        small = Image.fromarray(_thicker(np.array(picture.convert("RGB"))))
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _thicker(picture: np.ndarray) -> np.ndarray:
    """The overlay (H, W, 3) uint8 with its lines, which have colours of their own, as thick as they must be
    to survive shrinking.
    """
    steps = round(max(picture.shape[:2]) / SIDE)
    lines = {colour: (picture == colour).all(axis=2) for colour in (MARKED_RGB, TRUTH_RGB)}
    for colour, line in lines.items():
        if steps > 1 and line.any():
            picture[ndimage.binary_dilation(line, iterations=steps - 1)] = colour
    return picture
