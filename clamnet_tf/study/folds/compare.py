"""Compare ways of marking on the same patients, each measured in one or several runs (folds).

The result is the mean Dice of the patients WITH A LESION, the same ones for every name, a missed lesion
counting 0, with 95 % bootstrap intervals over these patients, and paired differences and ratios. Where no
patient is fully outlined, it is the Dice of the outlined slices, resampled by patient. For the patients
without a lesion, it is how many are left unmarked and how much of their organ is marked.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf import spreadsheet
from clamnet_tf.errors import UserInputError
from clamnet_tf.evaluation.bootstrap import interval, paired, pooled, ratio
from clamnet_tf.files import write_text
from clamnet_tf.reporting.wording import FLOOR
from clamnet_tf.study.folds.report import FIGURES, PATIENTS


@dataclass(frozen=True, eq=False)
class Comparison:
    """Hold what was compared.

    Attributes:
        column: "dice" of volumes, or "dice_slice" where no patient is fully outlined.
        rows: Patient -> row of patients.csv of the first name, with its fold.
        patients: Patients with a lesion.
        values: Name -> one Dice per patient.
        normals: Name -> marked share of the organ of each patient without a lesion.
    """

    column: str
    rows: dict[str, dict]
    patients: list[str]
    values: dict[str, list[float]]
    normals: dict[str, list[float]]

    def lines(self) -> list[str]:
        """Return what is printed: a line per name, the first name being the reference."""
        reference = next(iter(self.values.values()), None)
        lines = []
        for name, own in self.values.items() if self.patients else ():
            if self.column == "dice":
                lines.append(volume_line(name, own, reference))
            else:
                slices = [int(float(self.rows[patient]["outlined_slices"] or 0)) for patient in self.patients]
                lines.append(slice_line(name, own, reference, slices))
        return [*lines, *(normal_line(name, shares) for name, shares in self.normals.items() if shares)]

    def write(self, path) -> None:
        """Write one row per patient with a lesion: patient, fold, one column per name."""
        rows = [
            (patient, self.rows[patient]["fold"], *(f"{own[place]:.6g}" for own in self.values.values()))
            for place, patient in enumerate(self.patients)
        ]
        write_text(path, "".join(map(spreadsheet.line, [("patient", "fold", *self.values), *rows])))


def compare(folders: dict[str, list[Path]], baselines=()) -> Comparison:
    """Compare names on the patients that all of them have.

    Args:
        folders: Name -> its run folders, evaluations or cross-validations.
        baselines: Methods without a network, taken from the evaluations of the first name.

    Raises:
        UserInputError: A folder holds no evaluation, the patients differ, or a method was not measured.
    """
    found = {name: read_folders(own) for name, own in folders.items()}
    first = next(iter(found.values()))
    _check_baselines(first, baselines)
    column = "dice"
    patients = _same(found, column)
    if not patients:
        column = "dice_slice"
        patients = _same(found, column)
    normals = _same(found, "marked_share")
    return Comparison(
        column,
        first,
        patients,
        _collected(found, baselines, column, patients),
        _collected(found, baselines, "marked_share", normals),
    )


def table_lines(path) -> list[str]:
    """Return the lines of a table that `Comparison.write` wrote, with Dice of volumes.

    Raises:
        UserInputError: The file is no such table.
    """
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        names = [name for name in rows[0] if name not in ("patient", "fold")]
        values = {name: [float(row[name]) for row in rows] for name in names}
        first = next(iter(values.values()))
    except (OSError, ValueError, TypeError, IndexError, StopIteration) as error:
        raise UserInputError(
            f"{path}: expected a table that --table wrote, with the columns patient, fold and one per name; "
            f"received another file ({type(error).__name__}: {error})."
        ) from error
    return [volume_line(name, own, first) for name, own in values.items()]


def read_folders(folders: list[Path]) -> dict[str, dict]:
    """Return patient -> row of patients.csv, of all folders of one name, each row with its fold.

    A cross-validation with several repeats gives the mean of each number over the repeats.

    Raises:
        UserInputError: A folder holds no evaluation, one of an earlier version, or a patient of another one.
    """
    rows: dict[str, dict] = {}
    for index, folder in enumerate(map(Path, folders)):
        for row in _rows_of(folder, index):
            if row["patient"] in rows:
                raise UserInputError(
                    f"{folder}: patient {row['patient']} is in another folder of the same name as well; give "
                    f"every patient once."
                )
            rows[row["patient"]] = row
    return rows


def _rows_of(folder: Path, index: int) -> list[dict]:
    """Return the rows of one folder: a cross-validation, a run, or an evaluation."""
    is_folds = (folder / FIGURES).is_file()
    places = [folder / PATIENTS] if is_folds else [folder / "evaluation" / PATIENTS, folder / PATIENTS]
    file = next((path for path in places if path.exists()), None)
    if file is None:
        raise UserInputError(
            f"{folder}: expected a run folder, an evaluation or a cross-validation; it holds no "
            f"patients.csv. Evaluate the run first."
        )
    with open(file, newline="", encoding="utf-8") as stream:
        found = list(csv.DictReader(stream))
    if found and "marked_share" not in found[0]:
        raise UserInputError(
            f"{file}: expected the column marked_share; it is of an earlier version, whose Dice counts "
            f"patients without a lesion. Measure it again with clamnet-tf evaluate."
        )
    for row in found:
        row["patient"] = spreadsheet.restored(row["patient"])
    return _over_repeats(found, file) if is_folds else [{**row, "fold": index} for row in found]


def _over_repeats(rows: list[dict], file: Path) -> list[dict]:
    """Return one row per patient of a cross-validation: the means of its numbers over the repeats."""
    repeats = {row["repeat"] for row in rows}
    by_patient: dict[str, list[dict]] = {}
    for row in rows:
        by_patient.setdefault(row["patient"], []).append(row)
    merged = []
    for patient, own in by_patient.items():
        if len(own) != len(repeats):
            raise UserInputError(
                f"{file}: patient {patient} was measured in {len(own)} of {len(repeats)} repeats; the "
                f"cross-validation is not finished. Start clamnet-tf folds again."
            )
        first = own[0]
        row = {"patient": patient, "fold": first["fold"]}
        for column in first:
            if column in ("patient", "fold", "repeat", "site"):
                continue
            cells = [other[column] for other in own]
            row[column] = "" if "" in cells else f"{np.mean([float(cell) for cell in cells]):.6g}"
        merged.append(row)
    return merged


def volume_line(name: str, values, first) -> str:
    """Return the mean Dice over patients, and its difference to that of the first name."""
    text = f"{name}: Dice {_text(interval(values))}, {len(values)} patients with a lesion"
    if values is not first:
        text += f"; first less this {_text(paired(first, values), '+')}"
        if np.mean(values) > 0:
            share = ratio(first, values)
            text += f", ratio {share.mean:.2f}" + (
                "" if share.low is None else f" ({share.low:.2f} to {share.high:.2f})"
            )
        text += _reading(first, values)
    return text


def slice_line(name: str, values, first, slices) -> str:
    """Return the mean Dice of outlined slices, and its difference to that of the first name.

    Args:
        name: Name of the method.
        values: Mean over each patient's slices.
        first: Those of the first name.
        slices: Number of each patient's slices.
    """
    values, first, slices = (np.asarray(each, float) for each in (values, first, slices))
    text = (
        f"{name}: Dice per outlined slice {_text(pooled(values * slices, slices))}, "
        f"{int(slices.sum())} slices of {len(slices)} patients"
    )
    if values is not first and not np.array_equal(values, first):
        text += f"; first less this {_text(pooled((first - values) * slices, slices), '+')}"
        text += _reading(np.repeat(first, slices.astype(int)), np.repeat(values, slices.astype(int)))
    return text


def normal_line(name: str, shares) -> str:
    """Say of patients without a lesion how many are unmarked, and how much of their organ is marked."""
    unmarked = interval([float(share == 0) for share in shares])
    area = interval(shares)
    return (
        f"{name}: {_text(unmarked)} of {len(shares)} patients without a lesion left unmarked; marked "
        f"share of their organ {_text(area)}"
    )


def _text(found, sign="") -> str:
    """Format an interval: "0.800 (0.700 to 0.900)"."""
    mean, low, high = (each if each is None else f"{each:{sign}.3f}" for each in found)
    return f"{mean} (one patient: no interval)" if low is None else f"{mean} ({low} to {high})"


def _reading(ours, theirs) -> str:
    """Return what is said of two methods that both fail."""
    return "; neither marks the lesion" if max(np.mean(ours), np.mean(theirs)) < FLOOR else ""


def _same(found: dict, column: str) -> list[str]:
    """Return the patients who have a value in `column`; they must be the same for all names."""
    sets = {
        name: sorted(patient for patient, row in rows.items() if row[column]) for name, rows in found.items()
    }
    patients = next(iter(sets.values()))
    for name, own in sets.items():
        if own != patients:
            odd = sorted(set(own) ^ set(patients))
            raise UserInputError(
                f"{name}: expected the same {len(patients)} patients as the first name; {len(odd)} differ, "
                f"first {odd[0]}."
            )
    return patients


def _collected(found: dict, baselines, column: str, patients) -> dict[str, list[float]]:
    """Return name -> one value of `column` per patient, for every name and then for the baselines."""
    first = next(iter(found.values()))
    values = {name: _values_of(rows, patients, column) for name, rows in found.items()}
    return values | {name: _values_of(first, patients, f"{column}_{name}") for name in baselines}


def _values_of(rows: dict, patients, column: str) -> list[float]:
    """Return one number per patient. Raises UserInputError where one is missing."""
    lacking = [patient for patient in patients if not rows[patient].get(column)]
    if lacking:
        raise UserInputError(
            f"patient {lacking[0]}: expected a value of {column}; there is none. Measure all folders on the "
            f"same masks."
        )
    return [float(rows[patient][column]) for patient in patients]


def _check_baselines(first: dict, baselines) -> None:
    """Raise UserInputError for a baseline that was not measured."""
    row: dict = next(iter(first.values()), {})
    known = sorted(key.removeprefix("marked_share_") for key in row if key.startswith("marked_share_"))
    for name in baselines:
        if name not in known:
            raise UserInputError(f"--baseline {name}: expected one of {', '.join(known)}.")
