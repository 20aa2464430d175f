"""Pages to look through a marked volume: slices with the mask on and off, score and area per slice, and an
index of many.

A page is one file that opens offline. Pictures are JPEG, shrunk until the page is below PAGE_BYTES; masks are
outlines in the pixels of the file, so they stay exact. Nothing of a file's header is shown but its geometry.
"""

import io
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from clamnet_tf import files
from clamnet_tf.prediction.marked_volume import MarkedVolume
from clamnet_tf.prediction.planes import Plane
from clamnet_tf.prediction.tables import class_sizes, short_size, size
from clamnet_tf.reporting import wording
from clamnet_tf.reporting.overlays import class_rgb, contour_path, data_uri

INDEX = "report.html"
PAGE_BYTES = 6_000_000
SLICES = (
    400  # of a larger volume every second, third ... is shown; a marked stretch is never thinner than that
)
LISTED = 2000  # volumes and failures of an index
_SIDES = (512, 384, 288, 208, 144, 96)
_QUALITY = 80
_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))  # towards smaller and larger x, y, z of LPS
_TEMPLATES = Path(__file__).parent / "templates"


def write_volume_page(
    path: Path, volume: MarkedVolume, row: dict, notes: list[str], facts: dict[str, str], *, index: str | None
) -> None:
    """row: of volumes.csv; notes: shown as warnings; facts: how it was made; index: address of the page over
    all, if any.
    """
    step = -(-len(volume.slices) // SLICES)
    numbers = range(0, len(volume.slices), step)
    gray = _gray(volume)
    values = range(1, 1 + max(1, len(volume.names)))
    outlines = [[contour_path(volume.mask[number] == value) for value in values] for number in numbers]
    left = PAGE_BYTES - sum(len(path) for paths in outlines for path in paths)
    for side in _SIDES:
        pictures = [_jpeg(gray[number], side) for number in numbers]
        if 4 / 3 * sum(map(len, pictures)) <= left:
            break
    height, width = volume.mask.shape[1:]
    spacing = volume.spacing_mm or (1.0, 1.0, 1.0)
    content = {
        "name": volume.name,
        "index": index,
        "row": row,
        "size": short_size(row),
        "reason": size(row).removeprefix(short_size(row)).strip(" ()"),
        "share": wording.percent(row["marked_fraction"]) if row["marked_fraction"] is not None else None,
        "notes": [note.removeprefix(f"{volume.name}: ") for note in notes]
        + ([f"{len(volume.slices)} slices; every {step}. is shown here"] if step > 1 else []),
        "facts": facts,
        "width": width,
        "height": height,
        "aspect": f"{width * spacing[2]:.6g} / {height * spacing[1]:.6g}",
        "letters": _orientation(volume.slices[0].plane),
        "scale_share": _scale(width * spacing[2]) if volume.spacing_mm else None,
        "markers": [
            {"text": text, "colour": "rgb({}, {}, {})".format(*class_rgb(number))}
            for number, text in enumerate(class_sizes(row), start=1)
        ],
        "slices": [
            {
                "picture": data_uri(picture).replace("image/png", "image/jpeg"),
                "outlines": paths,
                "number": number + 1,
                "input": volume.slices[number].input,
                "position": volume.slices[number].position_mm,
                "presence": round(volume.slices[number].presence, 4),
                "pixels": volume.slices[number].marked_px,
                "area": volume.slices[number].area_mm2,
            }
            for number, picture, paths in zip(numbers, pictures, outlines)
        ],
    }
    files.write_text(path, _environment().get_template("volume.html.j2").render(content))


def write_index(path: Path, volumes: list[dict], failures: list[str], facts: dict[str, str]) -> None:
    """One line per volume with a link to its page; volumes: rows of volumes.csv; failures: what could not be
    used.
    """
    content = {
        "volumes": [row | {"size": short_size(row)} for row in volumes[:LISTED]],
        "count": len(volumes),
        "marked": sum(row["marked_px"] > 0 for row in volumes),
        "failures": failures[:LISTED],
        "failed": len(failures),
        "facts": facts,
    }
    files.write_text(path, _environment().get_template("index.html.j2").render(content))


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _gray(volume: MarkedVolume) -> np.ndarray:
    """(S, H, W) uint8 of the shown channel: black and white are the 1st and 99.5th percentile of the organ of
    the whole volume.
    """
    values = volume.array[..., volume.channel]
    inside = values[volume.organ] if volume.organ.any() else values.ravel()
    black, white = np.percentile(inside[:: max(1, inside.size // 1_000_000)], [1, 99.5])
    gray = np.empty(values.shape, np.uint8)
    for number, one in enumerate(values):
        gray[number] = np.round(255 * np.clip((one - black) / max(white - black, 1e-6), 0, 1))
    return gray


def _jpeg(gray: np.ndarray, side: int) -> bytes:
    """(H, W) uint8 -> JPEG, at most `side` pixels long."""
    height, width = gray.shape
    factor = min(1.0, side / max(height, width))
    picture = Image.fromarray(gray)
    if factor < 1:
        picture = picture.resize(
            (max(1, round(width * factor)), max(1, round(height * factor))), Image.Resampling.BICUBIC
        )
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def _orientation(plane: Plane | None) -> dict[str, str]:
    """Letters of the patient's sides at the picture's left, right, top and bottom; {} when unknown (PS3.3
    C.7.6.1.1.1).
    """
    if plane is None:
        return {}
    return {
        "left": _side(-plane.right),
        "right": _side(plane.right),
        "top": _side(-plane.down),
        "bottom": _side(plane.down),
    }


def _side(direction: np.ndarray) -> str:
    """R, L, A, P, F (feet) or H (head), the strongest first; a second one when the plane is clearly
    oblique.
    """
    unit = direction / np.linalg.norm(direction)
    order = np.argsort(-np.abs(unit))
    return "".join(_LETTERS[axis][int(unit[axis] > 0)] for axis in order[:2] if abs(unit[axis]) > 0.35)


def _scale(width_mm: float) -> dict:
    """A round length that fits into a third of the picture: {"mm", "share" of the width in per cent}."""
    fitting = [length for length in (1, 2, 5, 10, 20, 50, 100, 200) if length <= width_mm / 3] or [1]
    return {"mm": fitting[-1], "share": round(100 * fitting[-1] / width_mm, 2)}
