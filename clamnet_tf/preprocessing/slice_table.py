"""Hold the table of prepared slices: one row per slice, one NumPy array per column."""

import csv
import io
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.errors import DataError

STORED = ("case", "volume", "slice_index", "position", "area", "box", "spacing", "pixel_hash")
MOST_VOLUMES = 40  # at most as many volumes fix the thresholds
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
    """Columns of length N, in the order of the prepared images.

    A missing text is '', a missing label -1, a missing number nan.

    Attributes:
        image, patient, site, series, split: text.
        label: 0 normal, 1.. abnormal.
        slice_index: slice inside its file, from 0.
        position: 0..1 inside its volume (0.5 for a single image).
        area: organ fraction of the ORIGINAL image, in 0..1.
        eta: probability that the slice shows the lesion; nan = the recipe's value.
        box: (N, 5) top, left, size, height, width of the CropBox on the original grid, in pixels.
        case: index into manifest.cases.
        pixel_hash: sha256 of the original pixels, '' for a constant image.
        volume: number of the volume, rising from 0; its slices are in order.
        spacing: (N, 3) between slices, rows, columns, in mm.
        markers: names of the lesion classes that the slice shows, joined by +.
        by_study: bool, whether label and markers speak of the whole study, each of whose slices may show what
            they name.
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
    by_study: np.ndarray

    def __len__(self) -> int:
        return len(self.case)

    def select(self, rows) -> "SliceTable":
        """Return the same columns for `rows` (indices or a boolean array)."""
        return SliceTable(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def studies(self) -> np.ndarray:
        """Return the number of the study of each slice, (N,) int from 0: one per patient and series."""
        names = np.array([f"{patient}\0{series}" for patient, series in zip(self.patient, self.series)])
        return np.unique(names, return_inverse=True)[1].reshape(-1)

    def hashes(self) -> dict[int, list[str]]:
        """Return the pixel hashes per case index, without constant images, for
        `datasets.split.check_leakage`.
        """
        hashes_of_case: dict[int, list[str]] = {}
        for case, value in zip(self.case.tolist(), self.pixel_hash.tolist()):
            if value:
                hashes_of_case.setdefault(case, []).append(value)
        return hashes_of_case

    def volumes_of(self, rows, most: int = MOST_VOLUMES) -> np.ndarray:
        """Return the numbers of the volumes that hold one of `rows`, rising; at most `most` of them, evenly
        spread.
        """
        volumes = np.unique(self.volume[rows])
        return (
            volumes
            if len(volumes) <= most
            else volumes[np.linspace(0, len(volumes) - 1, most).round().astype(int)]
        )


def write_stored(rows: list[dict], path: Path) -> None:
    """Write the columns that depend on pixels and settings alone as CSV.

    `box` and `spacing` get one column per number.
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
    """Read the columns that `write_stored` wrote.

    Raises:
        DataError: the file is some other table.
    """
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
    """Join several parts into one table, and add what the manifest says of each case now (labels, split, eta
    ...).

    Args:
        parts: in order, pairs of columns from `read_stored` and, per case that they count from 0, its index
            in `manifest`. Volumes are numbered consecutively over the parts.
        manifest: the whole manifest.
    """
    numbered, volumes = [], 0
    for columns, cases in parts:
        numbered.append({**columns, "case": cases[columns["case"]], "volume": columns["volume"] + volumes})
        volumes = numbered[-1]["volume"][-1] + 1
    columns = {column: np.concatenate([part[column] for part in numbered]) for column in STORED}
    cases = [manifest.cases[index] for index in columns["case"]]
    columns["image"] = np.array([str(case.image) for case in cases], dtype=np.str_)
    for name in ("patient", "site", "series", "split"):
        columns[name] = np.array([getattr(case, name) or "" for case in cases], dtype=np.str_)
    columns["markers"] = np.array(["+".join(case.markers) for case in cases], dtype=np.str_)
    columns["by_study"] = np.array([case.label_level == "study" for case in cases], dtype=bool)
    columns["label"] = np.array([-1 if case.label is None else case.label for case in cases], dtype=np.int64)
    columns["eta"] = np.array([np.nan if case.eta is None else case.eta for case in cases], dtype=np.float64)
    return SliceTable(**columns)


def _names(column: str) -> list[str]:
    return [f"{column}_{index}" for index in range(_WIDTHS[column])] if column in _WIDTHS else [column]
