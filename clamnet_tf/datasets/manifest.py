"""Read, check and write the manifest CSV: which image, of which patient, with which label.

Columns: image, patient, label; optional site, series, slice, position, eta, mask, split, organ, markers,
label_level, laterality, view. In place of image, two or more columns image_NAME name a file or folder per
sequence.
Relative paths are relative to the CSV and may not leave its folder; absolute paths are used unchanged.
"""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clamnet_tf import spreadsheet
from clamnet_tf.datasets.problems import SHOWN, nearest
from clamnet_tf.datasets.row_reader import LONGEST_NAME, SIDE_NAMES, RowReader
from clamnet_tf.datasets.sequence_columns import PREFIX, group_of_columns, sequence_columns
from clamnet_tf.datasets.sequence_files import SequenceGroup
from clamnet_tf.datasets.table_files import open_table
from clamnet_tf.datasets.table_limits import shown_cell, shown_columns
from clamnet_tf.errors import DataError
from clamnet_tf.files import write_text

REQUIRED = ("image", "patient", "label")
OPTIONAL = ("site", "series", "slice", "position", "eta", "mask", "split", "organ", "markers", "label_level")
OF_BREASTS = ("laterality", "view")  # columns that are written only where an image has them
SIDES = ("train", "val", "test")
MISSPELT = 0.75  # likeness (0..1) from which an unknown column is taken for a misspelt one


#: Names of manifest files that say nothing about their data.
COMMON_NAMES = {"", "manifest", "labels", "cases", "index", "data", "train", "val", "test"}


@dataclass(frozen=True)
class Case:
    """One labelled image file, or one slice of it.

    Attributes:
        image: file (any format of imaging.readers) or a folder that holds one DICOM series.
        patient: name of the patient.
        label: 0 normal, 1.. abnormal; None unknown (prediction only).
        site: institution or scanner, for stratification and matching.
        series: cases of one patient with the same series are slices of one volume. Without series but with
            position, a patient's cases are one volume; without both, each file is a volume of its own.
        slice_index: slice of a multi-slice file, by the file's own number (datasets.slice_numbers): k of
            img[:, :, k] for NIfTI; a frame or page, from 0; InstanceNumber for a folder of DICOM;
            SOPInstanceUID (text) for any DICOM. None means all slices.
        position: order of the slice in its series, any increasing number.
        eta: P(the slice holds the lesion), in (0, 1]; None takes the recipe's value.
        mask: lesion mask, which only `preprocessing.mask_access.open_masks` opens. With several lesion
            classes its values are 1, 2 .. in the order of the recipe's classes.
        split: train, val or test.
        organ: organ mask, read when the recipe says `organ.method: given`.
        markers: names of the lesion classes that an abnormal image shows, for recipes with several classes;
            joined by + in the file.
        mask_in_order: whether the mask is a .npy that `fit --corrections` made: uint8 (slices, rows, columns)
            in the order of the volume; 255 is ignored.
        label_level: "slice" or "study", what the label speaks of; None leaves it to the recipe.
        sequences: the files of all channels, where a study has a series or file per sequence; `image` is the
            reference then, or a file of it. None: `image` holds all channels.
        laterality: "left" or "right", which breast (or other paired organ) the image shows; None: not stated.
        view: name of the projection of a mammogram, such as CC or MLO; None: not stated.
    """

    image: Path
    patient: str
    label: int | None
    site: str | None = None
    series: str | None = None
    slice_index: int | str | None = None
    position: float | None = None
    eta: float | None = None
    mask: Path | None = None
    split: str | None = None
    organ: Path | None = None
    markers: tuple[str, ...] = ()
    mask_in_order: bool = False
    label_level: str | None = None
    sequences: SequenceGroup | None = None
    laterality: str | None = None
    view: str | None = None


class HidesIdentifiers(Protocol):
    """An object that replaces identifiers of patients in text."""

    digest: str

    def hide(self, text: str) -> str:
        """Return `text`, a path or a message, without identifiers."""

    def patient(self, name: str) -> str:
        """Return the name that is written for a patient."""

    @property
    def any(self) -> bool:
        """Return whether the name of any patient is replaced."""


@dataclass(frozen=True)
class Manifest:
    """Cases of one data folder, and the lines that say how they were recognised.

    Attributes:
        root: the data folder.
        cases: the cases, in the order of the table or, of a folder, in natural order.
        account: lines for the user on how the cases were recognised.
        layout: name of the recognised layout.
        hidden: replaces identifiers of patients in text (datasets.pseudonyms.Pseudonyms); None to keep them.
        table: the manifest file; None where a folder was recognised by its layout.
    """

    root: Path
    cases: tuple[Case, ...]
    account: tuple[str, ...] = ()
    layout: str = "manifest"
    hidden: HidesIdentifiers | None = None
    table: Path | None = None

    @property
    def name(self) -> str:
        """Name of the data: that of the manifest file, or of the folder where the file has a name like
        manifest.csv.
        """
        stem = "" if self.table is None else self.table.stem
        return self.root.name if stem.casefold() in COMMON_NAMES else stem

    def hide(self, text: str) -> str:
        """Return `text`, a path or a message about these cases, without identifiers of patients."""
        return text if self.hidden is None else self.hidden.hide(text)


def read_cells(reader: RowReader, line: int, cells: dict[str, str]) -> Case:
    """Return one row as a Case; problems go to `reader`.

    Args:
        reader: collects problems.
        line: number of the row.
        cells: {name from REQUIRED or OPTIONAL, or column of a sequence: text}.
    """
    get = lambda name: cells.get(name, "")
    sequences, image = None, get("image")
    if columns := sequence_columns(cells):
        paths = {name: reader.file(line, name, get(name), folder_allowed=True) for name in columns}
        sequences = group_of_columns(paths)
        image = "" if sequences is None else str(sequences.files[0])
    if not image:
        reader.problem(line, f"{columns[0] if columns else 'image'}: is empty")
    label = reader.whole(line, "label", get("label"), "a whole number (0 normal, 1.. abnormal)")
    return Case(
        image=reader.file(line, "image", image, folder_allowed=True),
        patient=reader.required_text(line, "patient", get("patient")),
        label=label,
        site=get("site") or None,
        series=get("series") or None,
        slice_index=reader.slice(line, get("slice")),
        position=reader.number(line, "position", get("position")),
        eta=reader.number(line, "eta", get("eta"), "a probability in (0, 1]", lambda value: 0 < value <= 1),
        mask=reader.file(line, "mask", get("mask")),
        split=reader.side(line, "split", get("split")),
        organ=reader.file(line, "organ", get("organ")),
        markers=reader.names(line, "markers", get("markers"), label),
        label_level=reader.level(line, "label_level", get("label_level")),
        sequences=sequences,
        laterality=reader.laterality(line, "laterality", get("laterality")),
        view=get("view") or None,
    )


def check_repeats(reader: RowReader, rows: list[tuple[int, Case]]) -> None:
    """Report an image (or slice) that is listed twice, both as a whole and by slice, or for two patients."""
    by_image: dict[Path, dict] = {}
    for line, case in rows:
        if case.image is None:
            continue
        slices = by_image.setdefault(case.image, {"patient": (line, case.patient)})
        first_line, patient = slices["patient"]
        if patient != case.patient:
            reader.problem(
                line,
                f"image {case.image.name!r} belongs to patient {case.patient!r} here and to {patient!r} in "
                f"line {first_line}",
            )
        elif case.slice_index in slices:
            slice_text = "" if case.slice_index is None else f" slice {case.slice_index}"
            reader.problem(
                line, f"image {case.image.name!r}{slice_text} is already in line {slices[case.slice_index]}"
            )
        elif len(slices) > 1 and (case.slice_index is None or None in slices):
            reader.problem(
                line, f"image {case.image.name!r} is listed both whole and by slice (line {first_line})"
            )
        slices.setdefault(case.slice_index, line)


def read_manifest(csv_path) -> Manifest:
    """Read a manifest CSV; raise DataError with every problem and its line (at most 20, then the count)."""
    csv_path = Path(csv_path)
    table = open_table(csv_path)
    header, rows = table.header, table.rows
    of_sequences = sequence_columns(header)
    required = REQUIRED[1:] if of_sequences else REQUIRED
    known = required + OPTIONAL + OF_BREASTS + of_sequences
    reader = RowReader(csv_path.parent)
    unused = [name for name in header if name not in known]
    if set(required) <= set(header):
        unknown = [name for name in unused if _may_be_meant(name, header, rows)]
    else:
        unknown = unused
    for index, name in enumerate(unknown):  # beyond SHOWN the message only counts them
        near = nearest(name, known) if index < SHOWN else ""
        reader.problem(1, f"unknown column {shown_cell(name)}{near}; columns are {', '.join(known)}")
    for name in required:
        if name not in header:
            reader.problem(1, f"column {name!r} is missing")
    cases = [(line, read_cells(reader, line, cells)) for line, cells in rows] if not reader.problems else []
    check_repeats(reader, cases)
    reader.finish(csv_path)
    if not cases:
        raise DataError(f"{csv_path}: has a header but no rows; write one row per image.")
    return Manifest(
        root=reader.root,
        cases=tuple(case for _, case in cases),
        account=(
            f"Layout manifest: {csv_path} lists {len(cases)} images with the columns "
            f"{shown_columns(header)}.",
            *([f"Columns of it that are not used: {shown_columns(unused)}."] if unused else []),
            *table.notes,
        ),
        layout="manifest",
        table=csv_path,
    )


def _may_be_meant(name: str, header, rows) -> bool:
    """Return whether an unknown column may be one that is lacking: by its name, or since it holds sides."""
    lacking = [column for column in OPTIONAL if column not in header]
    if difflib.get_close_matches(name.lower()[:LONGEST_NAME], lacking, n=1, cutoff=MISSPELT):
        return True
    cells = {row[name].lower() for _, row in rows} - {""}
    return "split" in lacking and len(cells) > 1 and cells <= set(SIDE_NAMES)


def write_manifest(manifest: Manifest, csv_path) -> None:
    """Write the cases as a manifest CSV; paths below the CSV's folder become relative, others absolute.

    Raises:
        DataError: a sequence of a study has several files, which one cell cannot name.
    """
    csv_path = Path(csv_path)
    root = Path(os.path.abspath(csv_path.parent))
    groups = [case.sequences for case in manifest.cases if case.sequences is not None]
    names = [image.name for image in groups[0].images] if groups else []
    columns = tuple(PREFIX + name for name in names) + REQUIRED[1:] if names else REQUIRED
    of_breasts = tuple(name for name in OF_BREASTS if any(getattr(case, name) for case in manifest.cases))
    lines = [spreadsheet.line(columns + OPTIONAL + of_breasts)]

    def text(value):
        if isinstance(value, Path):
            path = Path(os.path.abspath(value))
            return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        return "" if value is None else repr(float(value)) if isinstance(value, float) else str(value)

    for case in manifest.cases:
        images = _cells_of_images(case, len(names))
        values = (*images, case.patient, case.label, case.site, case.series, case.slice_index)
        more = (
            case.position,
            case.eta,
            case.mask,
            case.split,
            case.organ,
            "+".join(case.markers),
            case.label_level,
            *(getattr(case, name) for name in of_breasts),
        )
        lines.append(spreadsheet.line(text(value) for value in (*values, *more)))
    write_text(csv_path, "".join(lines))


def _cells_of_images(case: Case, count: int) -> tuple[Path | None, ...]:
    """Return the cells of the image, or of the `count` sequences, of a case."""
    if not count:
        return (case.image,)
    if case.sequences is None or any(len(image.files) > 1 for image in case.sequences.images):
        raise DataError(
            f"{case.image}: a manifest with a column per sequence needs one file or folder for each; this "
            "study has several files in one series, or one file of all channels. Give the data folder itself."
        )
    return tuple(image.files[0] if image.files else None for image in case.sequences.images)
