"""Make the rows of marks.csv and volumes.csv, and the lines that are printed."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from clamnet_tf import spreadsheet
from clamnet_tf.datasets.unlabelled_inputs import RESULT_COLUMNS
from clamnet_tf.files import atomic_path
from clamnet_tf.inference.asymmetry import compare
from clamnet_tf.prediction.marked_volume import MarkedSlice, MarkedVolume
from clamnet_tf.prediction.planes import thicknesses
from clamnet_tf.reporting.wording import percent
from clamnet_tf.texts import HANDLER

VOLUME_TABLE = "volumes.csv"
WORKLIST = "worklist.csv"


def slice_row(volume: MarkedVolume, marked_slice: MarkedSlice, written: dict[str, str]) -> dict:
    """Make one row of marks.csv; an empty field means not known.

    frame is the page, frame or plane in the file, from 0. position_mm is the position along the volume's
    normal. z_mm is the third coordinate of ImagePositionPatient, or of the same point of a NIfTI file,
    towards the head. Named classes add <name>_px and <name>_score each.

    Args:
        volume: Marked volume.
        marked_slice: One of its slices.
        written: Format -> path of the slice's file, relative to the output folder.
    """
    row = dict(
        zip(RESULT_COLUMNS, (marked_slice.input, marked_slice.inside, volume.name, marked_slice.presence))
    )
    of_classes = {}
    for name, (pixels, presence) in zip(volume.names, marked_slice.of_classes):
        of_classes |= {f"{name}_px": pixels, f"{name}_score": presence}
    return row | {
        "marked_px": marked_slice.marked_px,
        "organ_px": marked_slice.organ_px,
        "marked_fraction": marked_slice.marked_fraction,
        "area_mm2": marked_slice.area_mm2,
        "frame": marked_slice.reference.frame,
        "position_mm": marked_slice.position_mm,
        "z_mm": None if marked_slice.plane is None else float(marked_slice.plane.origin[2]),
        "mask": written.get("png") or written.get("nifti") or written.get("dicom-seg"),
        "overlay": written.get("overlay"),
        **of_classes,
    }


def volume_row(volume: MarkedVolume, written: dict[str, str]) -> dict:
    """Make one row of volumes.csv.

    presence_score is the highest score of the slices as the network saw them. first_mm and last_mm are the
    positions of the outermost marked slices along the normal. marked_ml is None where the volume cannot be
    computed; ml_note says why, or how slices with uneven gaps were counted. set_aside lists images of the
    series that belong to no volume, with the reason. geometry is "patient" when the slices have a position in
    the patient, else "none". nifti, dicom_seg and report are files of the whole volume. Named classes add
    <name>_px, <name>_ml and <name>_score each. training_distance says how far the image lies from the
    training images, 1 at the limit beyond which there is a note; None for models without appearance.npz.
    Measured uncertainty adds uncertainty, disagreement and score_distance (inference/uncertainty.py).

    Args:
        volume: Marked volume.
        written: Format -> file of the whole volume, relative to the output folder.
    """
    slices = volume.slices
    pixel_ml, note = _pixel_ml(volume)
    marked, organ = (
        sum(marked_slice.marked_px for marked_slice in slices),
        sum(marked_slice.organ_px for marked_slice in slices),
    )
    positions = [
        marked_slice.position_mm
        for marked_slice in slices
        if marked_slice.marked_px and marked_slice.position_mm is not None
    ]
    return {
        "volume": volume.name,
        "slices": len(slices),
        "marked_slices": sum(marked_slice.marked_px > 0 for marked_slice in slices),
        "marked_px": marked,
        "marked_fraction": marked / organ if organ else None,
        "area_mm2": slices[0].area_mm2 if len(slices) == 1 else None,
        "marked_ml": None
        if pixel_ml is None
        else float(pixel_ml @ [marked_slice.marked_px for marked_slice in slices]),
        "ml_note": note,
        "presence_score": volume.presences[0]
        if volume.presences
        else max(marked_slice.presence for marked_slice in slices),
        "first_mm": min(positions, default=None),
        "last_mm": max(positions, default=None),
        "geometry": "patient" if all(plane is not None for plane in volume.planes) else "none",
        "nifti": written.get("nifti"),
        "dicom_seg": written.get("dicom-seg"),
        "report": written.get("report"),
        "set_aside": "; ".join(volume.set_aside) or None,
        "training_distance": volume.training_distance,
        **_of_classes(volume, pixel_ml),
        **({} if volume.doubt is None else _doubts(volume.doubt)),
    }


def _doubts(doubt) -> dict:
    """Return the columns of the uncertainty of a volume, those by which it is ranked first."""
    return {
        "uncertainty": doubt.uncertainty,
        "disagreement": doubt.disagreement,
        "score_distance": doubt.score_distance,
    }


def add_asymmetry(volumes: list[dict], breasts, mammograms) -> None:
    """Add the columns asymmetry, other_breast and not_compared to the rows of volumes.csv.

    Args:
        volumes: Rows, one per mammogram.
        breasts: Per row, the number of its case and the side of its chest wall (inference.asymmetry.facing).
        mammograms: All cases of the prediction.
    """
    scores: list[float | None] = [None] * len(mammograms)
    faces: list[str | None] = [None] * len(mammograms)
    for row, (case, face) in zip(volumes, breasts, strict=True):
        scores[case], faces[case] = row["presence_score"], face
    values, others, reasons = compare(mammograms, scores, faces)
    names = {case: row["volume"] for row, (case, _) in zip(volumes, breasts)}
    for row, (case, _) in zip(volumes, breasts):
        row |= {
            "asymmetry": values[case],
            "other_breast": None if others[case] is None else names[others[case]],
            "not_compared": reasons[case] or None,
        }


def rank(volumes: list[dict]) -> list[dict]:
    """Write the column rank into the rows of volumes.csv and return the rows of worklist.csv.

    Rank 1 has the highest uncertainty and is to be corrected first; equal ones keep the order of the input.

    Args:
        volumes: Rows with the column uncertainty.
    """
    columns = ("uncertainty", "disagreement", "score_distance", "presence_score", "marked_px", "marked_ml")
    order = sorted(volumes, key=lambda row: -row["uncertainty"])
    for place, row in enumerate(order, start=1):
        row["rank"] = place
    return [
        {"rank": row["rank"], "volume": row["volume"]}
        | {column: row[column] for column in (*columns, "report")}
        for row in order
    ]


def _of_classes(volume: MarkedVolume, pixel_ml) -> dict:
    """Return pixels, ml and the highest score of each named class."""
    row = {}
    for class_index, name in enumerate(volume.names):
        pixels = [marked_slice.of_classes[class_index][0] for marked_slice in volume.slices]
        score = (
            volume.presences[class_index + 1]
            if volume.presences
            else max(marked_slice.of_classes[class_index][1] for marked_slice in volume.slices)
        )
        row |= {
            f"{name}_px": sum(pixels),
            f"{name}_ml": None if pixel_ml is None else float(pixel_ml @ pixels),
            f"{name}_score": score,
        }
    return row


def class_sizes(row: dict) -> list[str]:
    """Say for each named class how much is marked.

    Args:
        row: Row of volumes.csv.
    """
    names = [key.removesuffix("_score") for key in row if key.endswith("_score") and key != "presence_score"]
    return [
        f"{name} {row[f'{name}_px']} pixels"
        if row[f"{name}_ml"] is None
        else f"{name} {row[f'{name}_ml']:.2f} ml"
        for name in names
    ]


def notes_of(volume: MarkedVolume) -> list[str]:
    """Return what a reader of the numbers of a volume should know."""
    notes = list(volume.notes)
    _, why = _pixel_ml(volume)
    if why and len(volume.slices) > 1 and all(plane is not None for plane in volume.planes):
        notes.append(why if why.endswith("neighbour") else f"{why}; no volume in ml")
    return [f"{volume.name}: {note}" for note in dict.fromkeys(notes)]


def write_table(path: Path, rows: Iterable[dict]) -> int:
    """Write rows as CSV with one header line as they arrive, then rename the file; without any row, write
    nothing.

    None becomes an empty field, floats have 6 significant digits. The first row gives the columns: rows of a
    folder that an earlier version began may have fewer or more.

    Returns:
        The number of rows.
    """
    rows = iter(rows)
    row = next(rows, None)
    if row is None:
        return 0
    count = 0
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors=HANDLER) as stream,
    ):
        header = tuple(row)
        stream.write(spreadsheet.line(header))
        while row is not None:
            values = [row.get(name) for name in header]
            stream.write(
                spreadsheet.line(f"{value:.6g}" if isinstance(value, float) else value for value in values)
            )
            row, count = next(rows, None), count + 1
    return count


def totals(volumes: list[dict], most: int = 20) -> list[str]:
    """Return one line per volume that says how much is marked.

    The unit is ml where the grid is known, mm2 for a single slice, else pixels. At most `shown` volumes are
    listed.
    """
    lines = []
    for row in volumes[:most]:
        where = f" in {row['marked_slices']} of {row['slices']} slices" if row["slices"] > 1 else ""
        share = (
            f", {percent(row['marked_fraction'])} of the organ"
            if row["marked_fraction"] is not None
            else "; no organ found"
        )
        kinds = f" ({', '.join(class_sizes(row))})" if class_sizes(row) else ""
        lines.append(f"  {row['volume']}: {size(row)}{kinds}{where}{share}{asymmetry(row)}")
    if len(volumes) > most:
        lines.append(f"  ... and {len(volumes) - most} more, see {VOLUME_TABLE}")
    return lines


def asymmetry(row: dict) -> str:
    """Say how the score of a mammogram compares with that of the other breast; nothing for other rows."""
    if "asymmetry" not in row:
        return ""
    if row["asymmetry"] is None:
        return f"; not compared with the other breast: {row['not_compared']}"
    return (
        f"; score {row['presence_score']:.2f}, asymmetry {row['asymmetry']:+.2f} (less half of the score of "
        f"{row['other_breast']})"
    )


def size(row: dict) -> str:
    """Say how much of a volume is marked, with its unit, and why when the unit is pixels."""
    if row["marked_ml"] is not None or row["area_mm2"] is not None:
        return short_size(row)
    return (
        f"{short_size(row)} "
        f"({row['ml_note'] + ', so no ml' if row['slices'] > 1 else 'the spacing is not known, so no mm2'})"
    )


def short_size(row: dict) -> str:
    """Say how much of a volume is marked, with its unit."""
    if row["marked_ml"] is not None:
        return f"{row['marked_ml']:.2f} ml"
    return f"{row['area_mm2']:.1f} mm2" if row["area_mm2"] is not None else f"{row['marked_px']} pixels"


def _pixel_ml(volume: MarkedVolume) -> tuple[np.ndarray | None, str | None]:
    """Return (ml of a pixel of each slice, a note for the reader or None), or (None, why it cannot be
    computed).
    """
    count = len(volume.slices)
    if count == 1:
        return None, "a single slice has no thickness"
    if volume.spacing_mm is None:
        return None, "the spacing is not known"
    if any(plane is None for plane in volume.planes):  # files without position have no distance between them
        return (
            (np.full(count, np.prod(volume.spacing_mm) / 1000), None)
            if len(volume.files) == 1
            else (None, "slices without a position")
        )
    thickness, note = thicknesses(volume.planes)
    if thickness is None:
        return None, note
    if note is None:
        thickness = [volume.spacing_mm[0]] * count
    return np.array(
        [plane.pixel_mm2 * thickness_mm / 1000 for plane, thickness_mm in zip(volume.planes, thickness)]
    ), note
