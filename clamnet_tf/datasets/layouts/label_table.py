"""Read a table of labels made by other people; its columns are recognised by the usual names, in any case."""

import re
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.datasets.layouts.classes import label_numbers
from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelWords
from clamnet_tf.datasets.layouts.listing import Listing, suffix
from clamnet_tf.datasets.table_files import SUFFIXES, open_table
from clamnet_tf.datasets.table_limits import shown_columns
from clamnet_tf.errors import DataError

# Our name: usual names in lower case, letters and digits only; the first one that a table has is taken.
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
    "label_level": ("labellevel",),
}


_NAMES = ("labels", "participants")  # a table of this name must be readable
_EMPTY = ("n/a", "nan", "#n/a", "<na>")  # BIDS, pandas, Excel


@dataclass(frozen=True)
class LabelTable:
    """A label table with our column names.

    Attributes:
        path: the file.
        columns: {our name: name in the file}.
        rows: [(line, {our name: text})].
        labels: {line: number or None}.
        account: lines for the user on how the table was read.
    """

    path: Path
    columns: dict[str, str]
    rows: list[tuple[int, dict[str, str]]]
    labels: dict[int, int | None]
    account: tuple[str, ...]


def find_table(
    listing: Listing, labels: Path | None, keys: tuple[str, ...], label_words: LabelWords = NOTHING_SAID
) -> LabelTable | None:
    """Return the label table, or None when there is none.

    It is `labels`, else the only table in the folder that has a label column and one of the columns `keys`;
    of several tables the one called labels is taken.

    Args:
        listing: the data folder.
        labels: the table that the user named, or None.
        keys: our names of columns, of which the table needs one.
        label_words: meanings of label words that the user gave.

    Raises:
        DataError: several tables could hold the labels, or `labels` cannot be read or has no label column.
    """
    if labels is not None:
        header = open_table(labels).header
        columns = _recognize(header)
        if "label" not in columns:
            raise DataError(_no_label(Path(labels), header))
        return _read(Path(labels), label_words) if set(keys) & set(columns) else None
    candidates = []
    for path in tables_in(listing):
        try:
            columns = _recognize(open_table(path).header)
        except DataError:
            if path.stem.lower() in _NAMES:
                raise
            continue  # reported by `tables_that_do_not_serve` when no other table is found
        if "label" in columns and set(keys) & set(columns):
            candidates.append(path)
    labels_files = [path for path in candidates if path.stem.lower() == "labels"]
    if len(candidates) > 1 and len(labels_files) != 1:
        raise DataError(
            f"{listing.root}: several tables could hold the labels: "
            f"{', '.join(path.name for path in candidates)}; choose one with --labels."
        )
    return _read((labels_files or candidates)[0], label_words) if candidates else None


def tables_in(listing: Listing) -> list[Path]:
    """Return the tables at the top of a data folder, by their suffix."""
    return [path for path in listing.files if suffix(path) in SUFFIXES and path.parent == listing.root]


def tables_that_do_not_serve(listing: Listing) -> list[str]:
    """Return, for each table at the top of the folder, the reason why it was not used for the labels."""
    reasons = []
    for path in tables_in(listing):
        try:
            header = open_table(path).header
        except DataError as error:
            reasons.append(str(error))
            continue
        column_names = ", ".join(header[:12])
        if "label" not in _recognize(header):
            like = _columns_like_labels(path)
            cure = f"; if it is one of {', '.join(like)}, call that column label" if like else ""
            reasons.append(
                f"{path.name} (columns {column_names}): no column is called label, diagnosis, finding, group "
                f"or the like{cure}"
            )
        else:
            reasons.append(
                f"{path.name} (columns {column_names}): no column names images (image, patient or a DICOM "
                "UID)"
            )
    return reasons


def _columns_like_labels(path: Path) -> list[str]:
    """Return at most six columns of a table that hold 0 and 1, or yes and no, and nothing else."""
    table, found = open_table(path), []
    for name in table.header:
        cells = {cells[name].strip().lower() for _, cells in table.rows} - {""}
        if len(cells) == 2 and cells in ({"0", "1"}, {"no", "yes"}, {"false", "true"}):
            found.append(name)
    return found[:6]


def _recognize(header) -> dict[str, str]:
    """Return {our name: name in the file} of the columns in a header."""
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


def _read(path: Path, label_words: LabelWords) -> LabelTable:
    table = open_table(path)
    columns = _recognize(table.header)
    if not table.rows:
        raise DataError(f"{path}: has a header but no rows; write one row per image, series or study.")
    rows = [
        (line, {ours: _cell(ours, cells[name]) for ours, name in columns.items()})
        for line, cells in table.rows
    ]
    labels, meaning = label_numbers({line: cells["label"] for line, cells in rows}, path, label_words)
    used = set(columns.values())
    ignored = [name for name in table.header if name and name not in used]
    column_names = ", ".join(f"{ours} = {name!r}" for ours, name in columns.items())
    account = [f"Label table {path.name}: {len(rows)} rows; {column_names}.", *meaning, *table.notes]
    if ignored:
        account.append(f"Columns of it that are not used: {shown_columns(ignored)}.")
    return LabelTable(path, columns, rows, labels, tuple(account))


def _cell(column: str, text: str) -> str:
    """Return the text of a cell, '' where it holds a text that programs write into empty cells.

    The column label is unchanged.
    """
    return "" if column != "label" and text.lower() in _EMPTY else text
