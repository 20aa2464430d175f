"""Keep the table masks.csv: which masks taught a run and which measured it; no mask may do both.

The run folder holds the masks that taught, the folder of an evaluation those and the ones that measured. A
slice without a mask file is not in the table. Nothing here opens a mask.
"""

import csv
import dataclasses
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf import spreadsheet
from clamnet_tf.errors import DataError, RunError
from clamnet_tf.files import write_text

TAUGHT, MEASURED = "taught", "measured"
_SHOWN = 5


@dataclass(frozen=True)
class MaskUse:
    """One row: what the mask of a slice was used for.

    Attributes:
        use: TAUGHT or MEASURED.
        patient: name of the patient, as it is written.
        side: train, val or test.
        image: file of the image, as it is written.
        slice_index: slice inside that file, from 0.
        mask: file of the mask, as it is written.
        pixel_hash: sha256 of the slice's original pixels, "" for a constant one.
        data: digest of the data in which the patient is called so, "" where names are the true ones.
    """

    use: str
    patient: str
    side: str
    image: str
    slice_index: int
    mask: str
    pixel_hash: str
    data: str = ""


_COLUMNS = tuple(field.name for field in dataclasses.fields(MaskUse))


def slices_of(use: str, manifest, table, rows) -> list[MaskUse]:
    """Return a row for every slice, with an empty text for the mask where it has no mask file.

    Args:
        use: TAUGHT or MEASURED.
        manifest: the cases; it hides identifiers.
        table: SliceTable with the true names of patients.
        rows: row numbers of the table.
    """
    hidden = manifest.hidden if manifest.hidden is not None and manifest.hidden.any else None
    name = str if hidden is None else hidden.patient
    cases = [manifest.cases[int(table.case[row])] for row in rows]
    return [
        MaskUse(
            use,
            name(str(table.patient[row])),
            str(table.split[row]),
            manifest.hide(_short(case.image, manifest.root)),
            int(table.slice_index[row]),
            "" if case.mask is None else manifest.hide(_short(case.mask, manifest.root)),
            str(table.pixel_hash[row]),
            "" if hidden is None else hidden.digest,
        )
        for row, case in zip(rows, cases)
    ]


def uses_of(use: str, manifest, table, rows) -> list[MaskUse]:
    """Return the rows of masks.csv: those of `slices_of` that have a mask file."""
    return [row for row in slices_of(use, manifest, table, rows) if row.mask]


def write_uses(path: Path, uses: list[MaskUse]) -> None:
    """Write masks.csv; without rows it has only its header."""
    lines = [spreadsheet.line(_COLUMNS), *(spreadsheet.line(dataclasses.astuple(use)) for use in uses)]
    write_text(path, "".join(lines))


def read_uses(path: Path) -> list[MaskUse]:
    """Read masks.csv; [] when there is none, as for runs of earlier versions and zoo entries.

    Raises:
        RunError: the file is some other table.
    """
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream)) or [[]]
    try:
        if tuple(header) != _COLUMNS:
            raise ValueError(f"the header is {', '.join(header) or 'missing'}")
        return [
            MaskUse(use, patient, side, image, int(slice_index), mask, pixel_hash, data)
            for use, patient, side, image, slice_index, mask, pixel_hash, data in rows
        ]
    except (ValueError, TypeError, IndexError) as error:
        raise RunError(
            f"{path}: expected the table of masks that the training wrote, with the columns "
            f"{', '.join(_COLUMNS)}; {error}. Restore it from the run, or train again."
        ) from error


def counts(uses: list[MaskUse], use: str) -> dict[str, int]:
    """Return the number of patients and of slices with that use: {"patients": ..., "slices": ...}."""
    chosen = [row for row in uses if row.use == use]
    return {"patients": len({row.patient for row in chosen}), "slices": len(chosen)}


def check_not_taught(taught: list[MaskUse], measured: list[MaskUse]) -> None:
    """Refuse to measure a patient whose mask taught.

    Args:
        taught: rows of the run's masks.csv.
        measured: rows of the slices that are about to be measured, with or without a mask.

    Raises:
        DataError: a patient of `measured` has the name of one that taught, or the same pixels. Words that
            stand for names of other data, such as patient1, are not compared.
    """
    patients = {(row.patient, row.data) for row in taught}
    pixels = {row.pixel_hash: row.patient for row in taught if row.pixel_hash}
    wrong: dict[str, str] = {}
    for row in measured:
        if (row.patient, row.data) in patients:
            wrong.setdefault(row.patient, row.patient)
        elif row.pixel_hash in pixels:
            wrong.setdefault(row.patient, f"{row.patient} (the same pixels as {pixels[row.pixel_hash]})")
    if wrong:
        names = list(wrong.values())
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise DataError(
            f"{len(names)} patient(s) whose masks taught this run are about to be measured: "
            f"{', '.join(names[:_SHOWN])}{more}. A mask may teach or measure, not both: evaluate the side "
            "test (--split test), or leave these patients out. If another patient has the same name, give "
            "the name a prefix in the manifest."
        )


def _short(path: Path, root: Path) -> str:
    """Return a path relative to the root of its data where possible."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
