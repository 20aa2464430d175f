"""Draw a contact sheet: rows of small pictures with a caption each, below headings."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL, GAP, CAPTION, LINE = 176, 8, 230, 18
BACKGROUND, INK, RULE = (24, 24, 27), (235, 235, 235), (110, 110, 115)
CHARACTERS = 32  # of a line of a caption


@dataclass(frozen=True)
class SheetRow:
    """One row of a contact sheet.

    Attributes:
        caption: text left of the pictures.
        pictures: (h, w) or (h, w, 3) uint8, of any sizes, one per heading.
        begins_group: whether a rule is drawn above the row.
    """

    caption: str
    pictures: tuple[np.ndarray, ...]
    begins_group: bool = False


def contact_sheet(title: Sequence[str], headings: Sequence[str], rows: Sequence[SheetRow]) -> np.ndarray:
    """Draw rows of pictures, each scaled to fit a square of CELL pixels.

    Args:
        title: lines above everything.
        headings: one per column of pictures.
        rows: the rows.

    Returns:
        RGB (H, W, 3) uint8.
    """
    font, large = ImageFont.load_default(13), ImageFont.load_default(15)
    width = CAPTION + len(headings) * (CELL + GAP) + GAP
    lines = [part for line in title for part in textwrap.wrap(line, max(40, width // 8))]
    heads = [textwrap.wrap(heading, CELL // 7) for heading in headings]
    top = GAP + len(lines) * (LINE + 2) + GAP + max(map(len, heads), default=1) * LINE + GAP
    sheet = Image.new("RGB", (width, top + len(rows) * (CELL + 2 * GAP)), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        pen.text((GAP, GAP + number * (LINE + 2)), line, fill=INK, font=large)
    heading_top = 2 * GAP + len(lines) * (LINE + 2)
    for column, wrapped in enumerate(heads):
        place = (CAPTION + GAP + column * (CELL + GAP), heading_top)
        pen.multiline_text(place, "\n".join(wrapped), fill=INK, font=font)
    for number, row in enumerate(rows):
        y = top + number * (CELL + 2 * GAP) + GAP
        if row.begins_group:
            pen.line((0, y - GAP, width, y - GAP), fill=RULE, width=2)
        caption = "\n".join(part for line in row.caption.split("\n") for part in _wrapped(line))
        pen.multiline_text((GAP, y), caption, fill=INK, font=font, spacing=3)
        for column, picture in enumerate(row.pictures):
            sheet.paste(_fitted(picture), (CAPTION + GAP + column * (CELL + GAP), y))
    return np.asarray(sheet)


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, CHARACTERS) or [""]


def _fitted(picture: np.ndarray) -> Image.Image:
    """Return a picture scaled so that its longer side is CELL, on a black square."""
    image = Image.fromarray(picture).convert("RGB")
    scale = CELL / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    square = Image.new("RGB", (CELL, CELL))
    resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    square.paste(image.resize((width, height), resample), ((CELL - width) // 2, (CELL - height) // 2))
    return square
