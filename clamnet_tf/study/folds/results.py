"""Read the evaluations of the finished folds, each made on patients that its network had not seen."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.datasets.folds import Fold
from clamnet_tf.errors import RunError
from clamnet_tf.spreadsheet import restored
from clamnet_tf.study.folder import StudyFolder
from clamnet_tf.study.folds.plan import FoldPlan

_TEXT = ("patient", "image", "site", "missing")


@dataclass(frozen=True, eq=False)
class FoldResult:
    """Hold the evaluation of one fold.

    Attributes:
        repeat: Number of the repeat, from 1.
        fold: The fold.
        metrics: Content of metrics.json.
        patients: Rows of patients.csv; numbers are float, None where nothing was measured.
        slices: Rows of cases.csv, likewise.
        folder: Folder of the evaluation.
    """

    repeat: int
    fold: Fold
    metrics: dict
    patients: list[dict]
    slices: list[dict]
    folder: Path


def read_results(planned: FoldPlan, folder: StudyFolder) -> list[FoldResult]:
    """Return the results of all finished folds, repeat by repeat.

    Raises:
        RunError: A patient was measured twice in one repeat.
    """
    results = []
    for repeat in range(1, planned.division.repeats + 1):
        seen: dict[str, str] = {}
        for member in planned.of_repeat(repeat):
            if not folder.evaluated(member.trial, "test"):
                continue
            result = read_result(folder.evaluation(member.trial, "test"), repeat, member.fold)
            for row in result.patients:
                if row["patient"] in seen:
                    raise RunError(
                        f"{result.folder}: patient {row['patient']} was measured in {seen[row['patient']]} "
                        f"already; expected every patient in one fold. Remove {folder.path} and start again."
                    )
                seen[row["patient"]] = member.fold.name
            results.append(result)
    return results


def read_result(evaluation: Path, repeat: int, fold: Fold) -> FoldResult:
    """Read the folder of one evaluation."""
    return FoldResult(
        repeat,
        fold,
        json.loads((evaluation / "metrics.json").read_text(encoding="utf-8")),
        read_rows(evaluation / "patients.csv"),
        read_rows(evaluation / "cases.csv"),
        evaluation,
    )


def read_rows(path: Path) -> list[dict]:
    """Return the rows of patients.csv or cases.csv: names are text, all others float or None."""
    with open(path, newline="", encoding="utf-8") as stream:
        return [
            {
                key: restored(value) if key in _TEXT else float(value) if value else None
                for key, value in row.items()
            }
            for row in csv.DictReader(stream)
        ]
