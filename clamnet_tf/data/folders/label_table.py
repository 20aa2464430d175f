"""A CSV of labels made by somebody else: its columns are recognised by the names in use, in any case."""

import re
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.data.folders.classes import label_numbers
from clamnet_tf.data.folders.listing import Listing, suffix
from clamnet_tf.data.manifest import read_table
from clamnet_tf.data.table_limits import shown_columns
from clamnet_tf.errors import DataError

# our name: names in use, lower case, letters and digits only; the first that a table has is taken
COLUMNS = {
    "label": ("label", "labels", "class", "target", "diagnosis", "finding", "abnormal", "abnormality", "y"),
    "instance": ("sopinstanceuid", "sopuid", "instanceuid", "instance"),
    "series": ("seriesinstanceuid", "seriesuid", "series", "seriesid"),
    "study": ("studyinstanceuid", "studyuid", "study", "studyid"),
    "image": ("image", "file", "filename", "filepath", "path", "imagepath", "imagefile", "imagename", "imageid", "imageindex", "volume", "scan", "id"),
    "patient": ("patient", "patientid", "subject", "subjectid", "participantid", "participant"),
    "site": ("site", "institution", "center", "centre", "hospital", "scanner"),
    "slice": ("slice", "sliceindex", "slicenumber"),
    "position": ("position", "sliceposition", "sliceheight"),
    "eta": ("eta",),
    "mask": ("mask", "maskfile", "maskpath"),
    "organ": ("organ", "organmask"),
    "split": ("split", "side", "set", "subset"),
}


@dataclass(frozen=True)
class LabelTable:
    """A label CSV with our column names.

    columns: {our name: name in the file}; rows: [(line, {our name: text})]; labels: {line: number or None}
    """

    path: Path
    columns: dict[str, str]
    rows: list[tuple[int, dict[str, str]]]
    labels: dict[int, int | None]
    account: tuple[str, ...]


def find_table(listing: Listing, labels: Path | None, keys: tuple[str, ...]) -> LabelTable | None:
    """The label table: `labels`, or the one CSV in the folder that has a label column and one of the columns `keys`.

    None when there is none. DataError when several would do (one called labels.csv wins), or when `labels` is given
    and is not readable or has no label column.
    """
    if labels is not None:
        header, _ = read_table(labels)
        columns = _recognize(header)
        if "label" not in columns:
            raise DataError(_no_label(Path(labels), header))
        return _read(Path(labels)) if set(keys) & set(columns) else None
    found = []
    for path in listing.files:
        if suffix(path) in (".csv", ".tsv") and path.parent == listing.root:
            try:
                columns = _recognize(read_table(path)[0])
            except DataError:
                continue
            if "label" in columns and set(keys) & set(columns):
                found.append(path)
    named = [path for path in found if path.stem.lower() == "labels"]
    if len(found) > 1 and len(named) != 1:
        raise DataError(f"{listing.root}: several tables could hold the labels: {', '.join(path.name for path in found)}; choose one with --labels.")
    return _read((named or found)[0]) if found else None


def _recognize(header) -> dict[str, str]:
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(header)}
    return {ours: plain[known] for ours, names in COLUMNS.items() for known in reversed(names) if known in plain}


def _no_label(path: Path, header) -> str:
    return f"{path}: has no label column (columns: {shown_columns(header)}); name the column that holds the label 'label'."


def _read(path: Path) -> LabelTable:
    header, lines = read_table(path)
    columns = _recognize(header)
    if not lines:
        raise DataError(f"{path}: has a header but no rows; write one row per image, series or study.")
    rows = [(line, {ours: cells[name] for ours, name in columns.items()}) for line, cells in lines]
    labels, meaning = label_numbers({line: cells["label"] for line, cells in rows}, path)
    used = set(columns.values())
    ignored = [name for name in header if name not in used]
    account = [f"Label table {path.name}: {len(rows)} rows; " + ", ".join(f"{ours} = {name!r}" for ours, name in columns.items()) + f"; {meaning}."]
    if ignored:
        account.append(f"Columns of it that are not used: {shown_columns(ignored)}.")
    return LabelTable(path, columns, rows, labels, tuple(account))
