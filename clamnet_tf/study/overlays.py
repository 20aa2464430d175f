"""Show the same slices marked by every arm: best, median and worst patient, one sheet per group of arms.

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
    """Hold one row of a sheet.

    Attributes:
        patient: Name of the patient.
        role: Why the patient is shown.
        mean: Mean Dice of the patient over all arms.
        cells: Per column (Dice, picture or None).
    """

    patient: str
    role: str
    mean: float
    cells: list[tuple[float, str | None]]


@dataclass(frozen=True)
class Sheet:
    """Hold the pictures of one group of arms.

    Attributes:
        title: Title of the group.
        columns: Titles of the arms, the reference first.
        rows: The same three patients on every sheet.
    """

    title: str
    columns: list[str]
    rows: list[Shown]


def picture_sheets(results: list[Result], reference: str) -> list[Sheet]:
    """Return one sheet per group that has trained and measured arms; empty when no patient has a score from
    all arms.
    """
    arms = [result for result in results if result.repetitions and result.repetitions[0].folder is not None]
    scores = {result.arm.name: result.dice() for result in arms}
    first_scores = next(iter(scores.values()), {})
    means = {
        name: float(np.mean([arm_scores[name] for arm_scores in scores.values()]))
        for name in first_scores
        if all(name in arm_scores for arm_scores in scores.values())
    }
    sheets = []
    for group in dict.fromkeys(result.group.title for result in arms):
        group_arms = [
            result for result in arms if result.group.title == group and result.arm.name != reference
        ]
        columns = [result for result in arms if result.arm.name == reference] + group_arms
        rows = []
        for role, patient in chosen(means):
            cells = [
                (
                    scores[column.arm.name][patient],
                    _picture(column.repetitions[0].folder / "pictures", patient),
                )
                for column in columns
            ]
            rows.append(Shown(patient, role, means[patient], cells))
        if rows and columns:
            sheets.append(Sheet(group, [column.arm.title for column in columns], rows))
    return sheets


def chosen(means: dict[str, float]) -> list[tuple[str, str]]:
    """Return (role, patient) of the best, median and worst patient by mean Dice; fewer when there are fewer
    patients.
    """
    ranked = sorted(means, key=lambda name: (-means[name], name))
    if not ranked:
        return []
    ranks = {"best": 0, "median": (len(ranked) - 1) // 2, "worst": len(ranked) - 1}
    if len(ranked) < 3:
        ranks = {role: rank for role, rank in ranks.items() if role != "median"}
    if len(ranked) < 2:
        ranks.pop("worst")
    return [(role, ranked[rank]) for role, rank in ranks.items()]


def _picture(folder: Path, patient: str) -> str | None:
    """Return the patient's overlay, made smaller, as a data: address; None when the evaluation wrote none."""
    safe = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in patient)
    form = re.compile(rf"\d+(_dice\d\.\d\d)?_{re.escape(safe)}\.png")
    paths = [path for path in sorted(folder.glob("*.png")) if form.fullmatch(path.name)]
    if not paths:
        return None
    with Image.open(paths[0]) as picture:
        small = Image.fromarray(_thicker(np.array(picture.convert("RGB"))))
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _thicker(picture: np.ndarray) -> np.ndarray:
    """Thicken the lines of an overlay (H, W, 3) uint8, which have distinct colours, so that they survive
    shrinking.
    """
    steps = round(max(picture.shape[:2]) / SIDE)
    lines = {colour: (picture == colour).all(axis=2) for colour in (MARKED_RGB, TRUTH_RGB)}
    for colour, line in lines.items():
        if steps > 1 and line.any():
            picture[ndimage.binary_dilation(line, iterations=steps - 1)] = colour
    return picture
