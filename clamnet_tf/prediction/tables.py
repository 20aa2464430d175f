"""The rows of marks.csv and volumes.csv, and the lines that are printed."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from clamnet_tf import spreadsheet
from clamnet_tf.data.inputs import RESULT_COLUMNS
from clamnet_tf.evaluation.words import percent
from clamnet_tf.files import atomic_path
from clamnet_tf.prediction.marked_volume import MarkedSlice, MarkedVolume
from clamnet_tf.prediction.planes import unevenness

VOLUME_TABLE = "volumes.csv"
_TWICE = "several images at one position"


def slice_row(volume: MarkedVolume, one: MarkedSlice, written: dict[str, str]) -> dict:
    """One row of marks.csv. written: format -> path of the slice's file below the output folder.

    frame: page, frame or plane in the file, from 0. position_mm: of the slice along its volume's normal. z_mm: third
    coordinate of ImagePositionPatient, or of the same point of a NIfTI file; towards the head. Empty = not known. Of several markers,
    for each: <name>_px, <name>_score.
    """
    first = dict(zip(RESULT_COLUMNS, (one.input, one.inside, volume.name, one.presence)))
    of_markers = {}
    for name, (pixels, presence) in zip(volume.markers, one.of_markers):
        of_markers |= {f"{name}_px": pixels, f"{name}_score": presence}
    return first | {
        "marked_px": one.marked_px,
        "organ_px": one.organ_px,
        "marked_fraction": one.marked_fraction,
        "area_mm2": one.area_mm2,
        "frame": one.reference.frame,
        "position_mm": one.position_mm,
        "z_mm": None if one.plane is None else float(one.plane.origin[2]),
        "mask": written.get("png") or written.get("nifti") or written.get("dicom-seg"),
        "overlay": written.get("overlay"),
        **of_markers,
    }


def volume_row(volume: MarkedVolume, written: dict[str, str]) -> dict:
    """One row of volumes.csv. presence_score: the highest of its slices. first_mm, last_mm: positions of the outermost
    marked slices along the normal. marked_ml: None without spacing, for one slice, and where images share a position.
    geometry: patient, when slices have a place in the patient, else none. nifti, dicom_seg, report: files of the whole volume.
    Of several markers, for each: <name>_px, <name>_ml, <name>_score."""
    slices = volume.slices
    marked, organ = sum(one.marked_px for one in slices), sum(one.organ_px for one in slices)
    places = [one.position_mm for one in slices if one.marked_px and one.position_mm is not None]
    return {
        "volume": volume.name,
        "slices": len(slices),
        "marked_slices": sum(one.marked_px > 0 for one in slices),
        "marked_px": marked,
        "marked_fraction": marked / organ if organ else None,
        "area_mm2": slices[0].area_mm2 if len(slices) == 1 else None,
        "marked_ml": marked * float(np.prod(volume.spacing_mm)) / 1000 if _has_volume(volume) else None,
        "presence_score": max(one.presence for one in slices),
        "first_mm": min(places, default=None),
        "last_mm": max(places, default=None),
        "geometry": "patient" if all(plane is not None for plane in volume.planes) else "none",
        "nifti": written.get("nifti"),
        "dicom_seg": written.get("dicom-seg"),
        "report": written.get("report"),
        **_of_markers(volume),
    }


def _of_markers(volume: MarkedVolume) -> dict:
    """Of each of several markers: pixels, ml and the highest score."""
    ml, row = float(np.prod(volume.spacing_mm)) / 1000 if _has_volume(volume) else None, {}
    for place, name in enumerate(volume.markers):
        pixels = sum(one.of_markers[place][0] for one in volume.slices)
        row |= {f"{name}_px": pixels, f"{name}_ml": None if ml is None else pixels * ml, f"{name}_score": max(one.of_markers[place][1] for one in volume.slices)}
    return row


def marker_sizes(row: dict) -> list[str]:
    """How much of a volume is marked as each of several markers; row: of volumes.csv; nothing for one marker."""
    names = [key.removesuffix("_score") for key in row if key.endswith("_score") and key != "presence_score"]
    return [f"{name} {row[f'{name}_px']} pixels" if row[f"{name}_ml"] is None else f"{name} {row[f'{name}_ml']:.2f} ml" for name in names]


def notes_of(volume: MarkedVolume) -> list[str]:
    """What a reader of the figures should know."""
    found = list(volume.notes)
    uneven = unevenness(volume.planes) if all(plane is not None for plane in volume.planes) else None
    if uneven and len(volume.slices) > 1:
        twice = uneven.startswith(_TWICE)
        found.append(f"{uneven}; {'no volume in ml, since they would count twice' if twice else 'ml counts the slices that are there, at the usual distance'}")
    return [f"{volume.name}: {note}" for note in dict.fromkeys(found)]


def write_table(path: Path, rows: Iterable[dict]) -> int:
    """CSV with one header line, written as rows come, then renamed; None is an empty field, floats have 6 significant digits.
    Returns how many rows; without any, nothing is written."""
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return 0
    count = 0
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        stream.write(spreadsheet.line(first))
        while first is not None:
            stream.write(spreadsheet.line(f"{value:.6g}" if isinstance(value, float) else value for value in first.values()))
            first, count = next(rows, None), count + 1
    return count


def totals(volumes: list[dict], shown: int = 20) -> list[str]:
    """One line per volume: how much is marked, in ml where the grid is known, in mm2 for a single slice, else in pixels."""
    lines = []
    for row in volumes[:shown]:
        where = f" in {row['marked_slices']} of {row['slices']} slices" if row["slices"] > 1 else ""
        share = f", {percent(row['marked_fraction'])} of the organ" if row["marked_fraction"] is not None else "; no organ found"
        kinds = f" ({', '.join(marker_sizes(row))})" if marker_sizes(row) else ""
        lines.append(f"  {row['volume']}: {size(row)}{kinds}{where}{share}")
    if len(volumes) > shown:
        lines.append(f"  ... and {len(volumes) - shown} more, see {VOLUME_TABLE}")
    return lines


def size(row: dict) -> str:
    """How much of a volume is marked, with its unit; why it is pixels."""
    why = f" (no spacing known, hence no {'ml' if row['slices'] > 1 else 'mm2'})"
    return short_size(row) + (why if row["marked_ml"] is None and row["area_mm2"] is None else "")


def short_size(row: dict) -> str:
    """How much of a volume is marked, with its unit."""
    if row["marked_ml"] is not None:
        return f"{row['marked_ml']:.2f} ml"
    return f"{row['area_mm2']:.1f} mm2" if row["area_mm2"] is not None else f"{row['marked_px']} pixels"


def _has_volume(volume: MarkedVolume) -> bool:
    """The thickness of one slice alone may be a guess, and files without a place have no distance between them."""
    if volume.spacing_mm is None or len(volume.slices) == 1:
        return False
    placed = all(plane is not None for plane in volume.planes)
    if not placed:
        return len(volume.files) == 1
    return not (unevenness(volume.planes) or "").startswith(_TWICE)
