"""The table of prepared slices: one row per slice, one NumPy array per column."""

import csv
import io
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.errors import DataError

STORED = ("case", "volume", "slice_index", "position", "area", "box", "spacing", "pixel_hash")
MOST_VOLUMES = 40  # that cuts are fixed on
_WIDTHS = {"box": 5, "spacing": 3}
_TYPES = {
    "case": np.int64,
    "volume": np.int64,
    "slice_index": np.int64,
    "position": np.float64,
    "area": np.float64,
    "box": np.int64,
    "spacing": np.float64,
    "pixel_hash": np.str_,
}


@dataclass(frozen=True, eq=False)
class SliceTable:
    """Columns of length N, in the order of the prepared images. Missing text is '', missing label -1, missing
    number nan.

    image, patient, site, series, split: text        label: 0 normal, 1.. abnormal
    markers: names of what the slice shows, joined by +
    case: index into manifest.cases                  volume: number of the volume, rising from 0; its slices are in order
    slice_index: slice inside its file, from 0       position: 0..1 inside its volume (0.5 for a single image)
    area: organ fraction of the ORIGINAL image       eta: nan = the recipe's
    box (N, 5): top, left, size, height, width of the CropBox on the original grid, pixels
    spacing (N, 3): between slices, rows, columns, in mm        pixel_hash: '' for a constant image
    """

    image: np.ndarray
    patient: np.ndarray
    label: np.ndarray
    site: np.ndarray
    series: np.ndarray
    slice_index: np.ndarray
    position: np.ndarray
    area: np.ndarray
    eta: np.ndarray
    split: np.ndarray
    box: np.ndarray
    case: np.ndarray
    pixel_hash: np.ndarray
    volume: np.ndarray
    spacing: np.ndarray
    markers: np.ndarray

    def __len__(self) -> int:
        return len(self.case)

    def select(self, rows) -> "SliceTable":
        """The same columns for `rows` (indices or a boolean array)."""
        return SliceTable(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def hashes(self) -> dict[int, list[str]]:
        """Pixel hashes per case index, constant images left out: what `data.split.check_leakage` compares."""
        found: dict[int, list[str]] = {}
        for case, value in zip(self.case.tolist(), self.pixel_hash.tolist()):
            if value:
                found.setdefault(case, []).append(value)
        return found

    def volumes_of(self, rows, most: int = MOST_VOLUMES) -> np.ndarray:
        """Numbers of the volumes that hold one of `rows`, rising; when there are more than `most`, that many,
        evenly spread.
        """
        numbers = np.unique(self.volume[rows])
        return (
            numbers
            if len(numbers) <= most
            else numbers[np.linspace(0, len(numbers) - 1, most).round().astype(int)]
        )


def write_stored(rows: list[dict], path: Path) -> None:
    """Write the columns that depend on pixels and settings alone as CSV; box and spacing become one column
    per number.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([name for column in STORED for name in _names(column)])
    for row in rows:
        values = [
            value for column in STORED for value in (row[column] if column in _WIDTHS else [row[column]])
        ]
        writer.writerow([repr(value) if isinstance(value, float) else value for value in values])
    path.write_text(stream.getvalue(), encoding="utf-8")


def read_stored(path: Path) -> dict[str, np.ndarray]:
    """The columns that `write_stored` wrote. DataError: some other table."""
    with open(path, encoding="utf-8", newline="") as stream:
        header, *lines = list(csv.reader(stream))
    if header != [name for column in STORED for name in _names(column)]:
        raise DataError(f"{path}: is not a table of prepared slices; delete its folder and prepare again.")
    texts = dict(zip(header, zip(*lines))) if lines else dict.fromkeys(header, ())
    columns = {}
    for column in STORED:
        parts = [np.array(texts[name], dtype=_TYPES[column]) for name in _names(column)]
        columns[column] = np.stack(parts, axis=1) if column in _WIDTHS else parts[0]
    return columns


def join_stored(parts, manifest: Manifest) -> SliceTable:
    """One table of several parts as `read_stored` gives them, in order, with what the manifest says of each
    case now (labels, split, eta ...).

    parts: pairs of columns and the index in `manifest` of each case that they count from 0. Volumes are
    counted on.
    """
    every, volumes = [], 0
    for columns, cases in parts:
        every.append({**columns, "case": cases[columns["case"]], "volume": columns["volume"] + volumes})
        volumes = every[-1]["volume"][-1] + 1
    columns = {column: np.concatenate([part[column] for part in every]) for column in STORED}
    cases = [manifest.cases[index] for index in columns["case"]]
    columns["image"] = np.array([str(case.image) for case in cases], dtype=np.str_)
    for name in ("patient", "site", "series", "split"):
        columns[name] = np.array([getattr(case, name) or "" for case in cases], dtype=np.str_)
    columns["markers"] = np.array(["+".join(case.markers) for case in cases], dtype=np.str_)
    columns["label"] = np.array([-1 if case.label is None else case.label for case in cases], dtype=np.int64)
    columns["eta"] = np.array([np.nan if case.eta is None else case.eta for case in cases], dtype=np.float64)
    return SliceTable(**columns)


def _names(column: str) -> list[str]:
    return [f"{column}_{index}" for index in range(_WIDTHS[column])] if column in _WIDTHS else [column]
