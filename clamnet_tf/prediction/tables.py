"""The rows of marks.csv and volumes.csv, and the lines that are printed."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from clamnet_tf import spreadsheet
from clamnet_tf.datasets.unlabelled_inputs import RESULT_COLUMNS
from clamnet_tf.files import atomic_path
from clamnet_tf.prediction.marked_volume import MarkedSlice, MarkedVolume
from clamnet_tf.prediction.planes import thicknesses
from clamnet_tf.reporting.wording import percent
from clamnet_tf.texts import HANDLER

VOLUME_TABLE = "volumes.csv"


def slice_row(volume: MarkedVolume, one: MarkedSlice, written: dict[str, str]) -> dict:
    """One row of marks.csv. written: format -> path of the slice's file below the output folder.

    frame: page, frame or plane in the file, from 0. position_mm: of the slice along its volume's normal.
    z_mm: third coordinate of ImagePositionPatient, or of the same point of a NIfTI file; towards the head.
    Empty = not known. Of classes with names,
    for each: <name>_px, <name>_score.
    """
    first = dict(zip(RESULT_COLUMNS, (one.input, one.inside, volume.name, one.presence)))
    of_classes = {}
    for name, (pixels, presence) in zip(volume.names, one.of_classes):
        of_classes |= {f"{name}_px": pixels, f"{name}_score": presence}
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
        **of_classes,
    }


def volume_row(volume: MarkedVolume, written: dict[str, str]) -> dict:
    """One row of volumes.csv. presence_score: the highest of the slices that were marked. first_mm, last_mm:
    positions of the outermost
    marked slices along the normal. marked_ml: None where no volume can be told; ml_note: why, or how slices
    of uneven gaps were
    counted. set_aside: images of the series that belong to no volume, with the reason.
    geometry: patient, when slices have a place in the patient, else none. nifti, dicom_seg, report: files of
    the whole volume.
    Of classes with names, for each: <name>_px, <name>_ml, <name>_score."""
    slices = volume.slices
    pixel_ml, note = _pixel_ml(volume)
    marked, organ = sum(one.marked_px for one in slices), sum(one.organ_px for one in slices)
    places = [one.position_mm for one in slices if one.marked_px and one.position_mm is not None]
    return {
        "volume": volume.name,
        "slices": len(slices),
        "marked_slices": sum(one.marked_px > 0 for one in slices),
        "marked_px": marked,
        "marked_fraction": marked / organ if organ else None,
        "area_mm2": slices[0].area_mm2 if len(slices) == 1 else None,
        "marked_ml": None if pixel_ml is None else float(pixel_ml @ [one.marked_px for one in slices]),
        "ml_note": note,
        "presence_score": volume.presences[0] if volume.presences else max(one.presence for one in slices),
        "first_mm": min(places, default=None),
        "last_mm": max(places, default=None),
        "geometry": "patient" if all(plane is not None for plane in volume.planes) else "none",
        "nifti": written.get("nifti"),
        "dicom_seg": written.get("dicom-seg"),
        "report": written.get("report"),
        "set_aside": "; ".join(volume.set_aside) or None,
        **_of_classes(volume, pixel_ml),
    }


def _of_classes(volume: MarkedVolume, pixel_ml) -> dict:
    """Of each class with a name: pixels, ml and the highest score."""
    row = {}
    for place, name in enumerate(volume.names):
        pixels = [one.of_classes[place][0] for one in volume.slices]
        score = (
            volume.presences[place + 1]
            if volume.presences
            else max(one.of_classes[place][1] for one in volume.slices)
        )
        row |= {
            f"{name}_px": sum(pixels),
            f"{name}_ml": None if pixel_ml is None else float(pixel_ml @ pixels),
            f"{name}_score": score,
        }
    return row


def class_sizes(row: dict) -> list[str]:
    """How much of a volume is marked as each class with a name; row: of volumes.csv."""
    names = [key.removesuffix("_score") for key in row if key.endswith("_score") and key != "presence_score"]
    return [
        f"{name} {row[f'{name}_px']} pixels"
        if row[f"{name}_ml"] is None
        else f"{name} {row[f'{name}_ml']:.2f} ml"
        for name in names
    ]


def notes_of(volume: MarkedVolume) -> list[str]:
    """What a reader of the figures should know."""
    found = list(volume.notes)
    _, why = _pixel_ml(volume)
    if why and len(volume.slices) > 1 and all(plane is not None for plane in volume.planes):
        found.append(why if why.endswith("neighbour") else f"{why}; no volume in ml")
    return [f"{volume.name}: {note}" for note in dict.fromkeys(found)]


def write_table(path: Path, rows: Iterable[dict]) -> int:
    """CSV with one header line, written as rows come, then renamed; None is an empty field, floats have 6
    significant digits. Returns how many rows; without any, nothing is written."""
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return 0
    count = 0
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors=HANDLER) as stream,
    ):
        stream.write(spreadsheet.line(first))
        while first is not None:
            stream.write(
                spreadsheet.line(
                    f"{value:.6g}" if isinstance(value, float) else value for value in first.values()
                )
            )
            first, count = next(rows, None), count + 1
    return count


def totals(volumes: list[dict], shown: int = 20) -> list[str]:
    """One line per volume: how much is marked, in ml where the grid is known, in mm2 for a single slice, else
    in pixels.
    """
    lines = []
    for row in volumes[:shown]:
        where = f" in {row['marked_slices']} of {row['slices']} slices" if row["slices"] > 1 else ""
        share = (
            f", {percent(row['marked_fraction'])} of the organ"
            if row["marked_fraction"] is not None
            else "; no organ found"
        )
        kinds = f" ({', '.join(class_sizes(row))})" if class_sizes(row) else ""
        lines.append(f"  {row['volume']}: {size(row)}{kinds}{where}{share}")
    if len(volumes) > shown:
        lines.append(f"  ... and {len(volumes) - shown} more, see {VOLUME_TABLE}")
    return lines


def size(row: dict) -> str:
    """How much of a volume is marked, with its unit; why it is pixels."""
    if row["marked_ml"] is not None or row["area_mm2"] is not None:
        return short_size(row)
    return (
        f"{short_size(row)} "
        f"({row['ml_note'] + ', hence no ml' if row['slices'] > 1 else 'no spacing known, hence no mm2'})"
    )


def short_size(row: dict) -> str:
    """How much of a volume is marked, with its unit."""
    if row["marked_ml"] is not None:
        return f"{row['marked_ml']:.2f} ml"
    return f"{row['area_mm2']:.1f} mm2" if row["area_mm2"] is not None else f"{row['marked_px']} pixels"


def _pixel_ml(volume: MarkedVolume) -> tuple[np.ndarray | None, str | None]:
    """(ml of a pixel of each slice, what a reader must know of it), or (None, why there is none)."""
    count = len(volume.slices)
    if count == 1:
        return None, "one slice alone has no thickness"
    if volume.spacing_mm is None:
        return None, "no spacing known"
    if any(plane is None for plane in volume.planes):  # files without a place have no distance between them
        return (
            (np.full(count, np.prod(volume.spacing_mm) / 1000), None)
            if len(volume.files) == 1
            else (None, "slices without a position")
        )
    thick, note = thicknesses(volume.planes)
    if thick is None:
        return None, note
    if note is None:
        thick = [volume.spacing_mm[0]] * count
    return np.array([plane.pixel_mm2 * one / 1000 for plane, one in zip(volume.planes, thick)]), note
