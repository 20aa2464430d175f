"""A table of labels made by somebody else: its columns are recognised by the names in use, in any case."""

import re
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.datasets.layouts.classes import label_numbers
from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelWords
from clamnet_tf.datasets.layouts.listing import Listing, suffix
from clamnet_tf.datasets.table_files import SUFFIXES, open_table
from clamnet_tf.datasets.table_limits import shown_columns
from clamnet_tf.errors import DataError

# our name: names in use, lower case, letters and digits only; the first that a table has is taken
COLUMNS = {
    "label": (
        "label",
        "labels",
        "class",
        "target",
        "diagnosis",
        "finding",
        "abnormal",
        "abnormality",
        "y",
        "group",
        "dx",
        "pathology",
    ),
    "instance": ("sopinstanceuid", "sopuid", "instanceuid", "instance"),
    "series": ("seriesinstanceuid", "seriesuid", "series", "seriesid"),
    "study": ("studyinstanceuid", "studyuid", "study", "studyid"),
    "image": (
        "image",
        "file",
        "filename",
        "filepath",
        "path",
        "imagepath",
        "imagefile",
        "imagename",
        "imageid",
        "imageindex",
        "volume",
        "scan",
        "id",
    ),
    "patient": ("patient", "patientid", "subject", "subjectid", "participantid", "participant"),
    "site": ("site", "institution", "center", "centre", "hospital", "scanner"),
    "slice": ("slice", "sliceindex", "slicenumber", "instancenumber"),
    "position": ("position", "sliceposition", "sliceheight"),
    "eta": ("eta",),
    "mask": ("mask", "maskfile", "maskpath"),
    "organ": ("organ", "organmask"),
    "split": ("split", "side", "set", "subset"),
}


_NAMES = ("labels", "participants")  # a table of this name is meant to be read
_EMPTY = ("n/a", "nan", "#n/a", "<na>")  # BIDS, pandas, Excel


@dataclass(frozen=True)
class LabelTable:
    """A label table with our column names.

    columns: {our name: name in the file}; rows: [(line, {our name: text})]; labels: {line: number or None}
    """

    path: Path
    columns: dict[str, str]
    rows: list[tuple[int, dict[str, str]]]
    labels: dict[int, int | None]
    account: tuple[str, ...]


def find_table(
    listing: Listing, labels: Path | None, keys: tuple[str, ...], said: LabelWords = NOTHING_SAID
) -> LabelTable | None:
    """The label table: `labels`, or the one table in the folder that has a label column and one of the
    columns `keys`.

    said: what the user said of label words. None when there is none. DataError when several would do (one
    called labels wins), or when `labels` is given and is not readable or has no label column.
    """
    if labels is not None:
        header = open_table(labels).header
        columns = _recognize(header)
        if "label" not in columns:
            raise DataError(_no_label(Path(labels), header))
        return _read(Path(labels), said) if set(keys) & set(columns) else None
    found = []
    for path in tables_in(listing):
        try:
            columns = _recognize(open_table(path).header)
        except DataError:
            if path.stem.lower() in _NAMES:
                raise
            continue  # said by `tables_that_do_not_serve` when no other table does
        if "label" in columns and set(keys) & set(columns):
            found.append(path)
    named = [path for path in found if path.stem.lower() == "labels"]
    if len(found) > 1 and len(named) != 1:
        raise DataError(
            f"{listing.root}: several tables could hold the labels: {', '.join(path.name for path in found)};"
            " choose one with --labels."
        )
    return _read((named or found)[0], said) if found else None


def tables_in(listing: Listing) -> list[Path]:
    """The tables at the top of a data folder, by their suffix."""
    return [path for path in listing.files if suffix(path) in SUFFIXES and path.parent == listing.root]


def tables_that_do_not_serve(listing: Listing) -> list[str]:
    """Per table at the top of the folder, why it was not taken for the labels."""
    reasons = []
    for path in tables_in(listing):
        try:
            header = open_table(path).header
        except DataError as error:
            reasons.append(str(error))
            continue
        shown = ", ".join(header[:12])
        if "label" not in _recognize(header):
            reasons.append(
                f"{path.name} (columns {shown}): no column is called label, diagnosis, finding, group or the"
                " like"
            )
        else:
            reasons.append(
                f"{path.name} (columns {shown}): no column names images (image, patient or a DICOM UID)"
            )
    return reasons


def _recognize(header) -> dict[str, str]:
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(header)}
    return {
        ours: plain[known] for ours, names in COLUMNS.items() for known in reversed(names) if known in plain
    }


def _no_label(path: Path, header) -> str:
    return (
        f"{path}: has no label column (columns: {shown_columns(header)}); name the column that holds the "
        f"label"
        " 'label'."
    )


def _read(path: Path, said: LabelWords) -> LabelTable:
    table = open_table(path)
    columns = _recognize(table.header)
    if not table.rows:
        raise DataError(f"{path}: has a header but no rows; write one row per image, series or study.")
    rows = [
        (line, {ours: _cell(ours, cells[name]) for ours, name in columns.items()})
        for line, cells in table.rows
    ]
    labels, meaning = label_numbers({line: cells["label"] for line, cells in rows}, path, said)
    used = set(columns.values())
    ignored = [name for name in table.header if name and name not in used]
    named = ", ".join(f"{ours} = {name!r}" for ours, name in columns.items())
    account = [f"Label table {path.name}: {len(rows)} rows; {named}.", *meaning, *table.notes]
    if ignored:
        account.append(f"Columns of it that are not used: {shown_columns(ignored)}.")
    return LabelTable(path, columns, rows, labels, tuple(account))


def _cell(column: str, text: str) -> str:
    """Return the text of a cell, empty where it holds what programs write into empty cells; labels stay as
    they are.
    """
    return "" if column != "label" and text.lower() in _EMPTY else text
