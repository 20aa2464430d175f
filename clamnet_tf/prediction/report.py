"""Write pages to view a marked volume, and an index of many volumes.

A page shows the slices with the mask on and off, and score and area per slice. It is one file that opens
offline. Pictures are JPEG, shrunk until the page is below PAGE_BYTES; masks are outlines in the pixels of the
file, so they stay exact. Of a file's header only the geometry is shown.
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
from clamnet_tf.reporting.image_words import page_in_words_of
from clamnet_tf.reporting.overlays import class_rgb, contour_path, data_uri

INDEX = "report.html"
PAGE_BYTES = 6_000_000
SLICES = 400
"""Largest number of slices on a page; of a larger volume every second, third, ... slice is shown."""
LISTED = 2000
"""Largest number of volumes, and of failures, in an index."""
_SIDES = (512, 384, 288, 208, 144, 96)
_QUALITY = 80
_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))  # directions of smaller and larger x, y, z of LPS
_TEMPLATES = Path(__file__).parent / "templates"


def write_volume_page(
    path: Path,
    volume: MarkedVolume,
    row: dict,
    notes: list[str],
    facts: dict[str, str],
    *,
    index: str | None,
    modality: str = "",
) -> None:
    """Write the page of one volume.

    Args:
        path: File to write.
        volume: Marked volume.
        row: Its row of volumes.csv.
        notes: Sentences shown as warnings.
        facts: How it was made, name -> text.
        index: Address of the index page, or None.
        modality: Modality of the recipe; with xray the page speaks of images, not of slices.
    """
    step = -(-len(volume.slices) // SLICES)
    slice_indices = range(0, len(volume.slices), step)
    gray = _gray(volume)
    values = range(1, 1 + max(1, len(volume.names)))
    outlines = [[contour_path(volume.mask[k] == value) for value in values] for k in slice_indices]
    bytes_left = PAGE_BYTES - sum(len(path) for paths in outlines for path in paths)
    for side in _SIDES:
        pictures = [_jpeg(gray[slice_index], side) for slice_index in slice_indices]
        if 4 / 3 * sum(map(len, pictures)) <= bytes_left:
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
        + ([f"{len(volume.slices)} slices; one in {step} is shown here"] if step > 1 else []),
        "facts": facts,
        "width": width,
        "height": height,
        "aspect": f"{width * spacing[2]:.6g} / {height * spacing[1]:.6g}",
        "letters": _orientation(volume.slices[0].plane),
        "scale_share": _scale(width * spacing[2]) if volume.spacing_mm else None,
        "markers": [
            {"text": text, "colour": "rgb({}, {}, {})".format(*class_rgb(class_number))}
            for class_number, text in enumerate(class_sizes(row), start=1)
        ],
        "slices": [
            {
                "picture": data_uri(picture).replace("image/png", "image/jpeg"),
                "outlines": paths,
                "number": slice_index + 1,
                "input": volume.slices[slice_index].input,
                "position": volume.slices[slice_index].position_mm,
                "presence": round(volume.slices[slice_index].presence, 4),
                "pixels": volume.slices[slice_index].marked_px,
                "area": volume.slices[slice_index].area_mm2,
            }
            for slice_index, picture, paths in zip(slice_indices, pictures, outlines)
        ],
    }
    page = _environment().get_template("volume.html.j2").render(content)
    files.write_text(path, page_in_words_of(modality, page))


def write_index(
    path: Path,
    volumes: list[dict],
    failures: list[str],
    facts: dict[str, str],
    *,
    warnings=(),
    modality: str = "",
) -> None:
    """Write the index: one line per volume with a link to its page, by rank where volumes are ranked.

    Args:
        path: File to write.
        volumes: Rows of volumes.csv.
        failures: What could not be used, and why.
        facts: How it was made, name -> text.
        warnings: Sentences on the model that a reader must know first.
        modality: Modality of the recipe; with xray the page speaks of images, not of slices.
    """
    ranked = bool(volumes) and "rank" in volumes[0]
    listed = sorted(volumes, key=lambda row: row["rank"]) if ranked else volumes
    content = {
        "warnings": warnings,
        "ranked": ranked,
        "volumes": [row | {"size": short_size(row)} for row in listed[:LISTED]],
        "count": len(volumes),
        "marked": sum(row["marked_px"] > 0 for row in volumes),
        "failures": failures[:LISTED],
        "failed": len(failures),
        "facts": facts,
    }
    page = _environment().get_template("index.html.j2").render(content)
    files.write_text(path, page_in_words_of(modality, page))


def _environment() -> jinja2.Environment:
    """Return the Jinja environment of the templates."""
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _gray(volume: MarkedVolume) -> np.ndarray:
    """Return the shown channel as (S, H, W) uint8.

    Black and white are the 1st and the 99.5th percentile inside the organ of the whole volume.
    """
    values = volume.array[..., volume.channel]
    inside = values[volume.organ] if volume.organ.any() else values.ravel()
    black, white = np.percentile(inside[:: max(1, inside.size // 1_000_000)], [1, 99.5])
    gray = np.empty(values.shape, np.uint8)
    for index, slice_values in enumerate(values):
        gray[index] = np.round(255 * np.clip((slice_values - black) / max(white - black, 1e-6), 0, 1))
    return gray


def _jpeg(gray: np.ndarray, side: int) -> bytes:
    """Encode (H, W) uint8 as JPEG, at most `side` pixels long."""
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
    """Return the letters of the patient's sides at left, right, top and bottom; {} when unknown (PS3.3
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
    """Return R, L, A, P, F (feet) or H (head) of a direction, the strongest first.

    There is a second letter when the plane is clearly oblique.
    """
    unit = direction / np.linalg.norm(direction)
    order = np.argsort(-np.abs(unit))
    return "".join(_LETTERS[axis][int(unit[axis] > 0)] for axis in order[:2] if abs(unit[axis]) > 0.35)


def _scale(width_mm: float) -> dict:
    """Return a round length that fits into a third of the picture: {"mm", "share" of the width in per
    cent}.
    """
    fitting = [length for length in (1, 2, 5, 10, 20, 50, 100, 200) if length <= width_mm / 3] or [1]
    return {"mm": fitting[-1], "share": round(100 * fitting[-1] / width_mm, 2)}
