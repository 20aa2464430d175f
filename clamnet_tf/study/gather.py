"""Read the results of a study's finished runs from their files: metrics and patients, per arm and seed."""

import csv
import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from clamnet_tf.spreadsheet import restored
from clamnet_tf.study.folder import StudyFolder
from clamnet_tf.study.plan import Plan
from clamnet_tf.study.schema import Arm, Group

COLUMNS = (
    *(
        "dice",
        "iou",
        "sensitivity",
        "precision",
        "hd95_px",
        "hd95_mm",
        "pointing",
        "normal_area",
        "dice_slice",
        "marked_share",
    ),
    *("slices", "slices_positive", "outlined_slices", "truth_px", "marked_px"),
)
"""Columns of patients.csv that study.csv repeats."""
EARLIER = (
    "its evaluation was made by an earlier version, whose Dice counts patients without a lesion; the same "
    "study command makes it again"
)


@dataclass(frozen=True, eq=False)
class Repetition:
    """Hold the evaluation of one arm with one seed.

    Attributes:
        seed: Seed; None for a simple arm.
        figures: Content of metrics.json (see evaluation/figures.py).
        patients: Patient -> row of patients.csv, numbers as float, None where nothing was measured.
        seconds: Training time.
        commit: git commit of the code.
        folder: Folder of the evaluation, with its pictures.
    """

    seed: int | None
    figures: dict
    patients: dict[str, dict]
    seconds: float | None = None
    commit: str | None = None
    folder: Path | None = None

    def scores(self, column: str = "dice") -> dict[str, float]:
        """Return patient -> Dice of the volume (or another column).

        Patients without a score, who have no lesion or are not fully outlined, are left out.
        """
        return {name: row[column] for name, row in self.patients.items() if row.get(column) is not None}


@dataclass(frozen=True, eq=False)
class Result:
    """Hold the finished repetitions of one arm, and what is wrong with the others.

    Attributes:
        arm: The arm.
        group: Its group.
        repetitions: Finished repetitions, by seed.
        steps: Optimizer steps of all stages; None for a simple arm.
        batch_size: Slices per step; None for a simple arm.
        missing: Seeds that are not finished.
        messages: Why seeds failed or are not valid.
        column: What is compared, the same for all arms: "dice" of volumes, or, where no patient is fully
            outlined, "dice_slice", the mean over a patient's outlined slices.
    """

    arm: Arm
    group: Group
    repetitions: list[Repetition]
    steps: int | None = None
    batch_size: int | None = None
    missing: list[int] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    column: str = "dice"

    @property
    def slices(self) -> int | None:
        """Return how many slices training has seen: steps x batch size."""
        return self.steps * self.batch_size if self.steps else None

    @property
    def seeds(self) -> set[int]:
        """Return the seeds that are finished; none for a simple arm."""
        return {repetition.seed for repetition in self.repetitions if repetition.seed is not None}

    def of_seeds(self, seeds: set[int]) -> "Result":
        """Return the result of these seeds alone."""
        return replace(
            self, repetitions=[repetition for repetition in self.repetitions if repetition.seed in seeds]
        )

    def dice(self) -> dict[str, float]:
        """Return patient -> mean Dice over the seeds; patients that lack a score for any seed are left
        out.
        """
        scores_per_seed = [repetition.scores(self.column) for repetition in self.repetitions]
        common = (
            [name for name in scores_per_seed[0] if all(name in scores for scores in scores_per_seed)]
            if scores_per_seed
            else []
        )
        return {
            name: math.fsum(scores[name] for scores in scores_per_seed) / len(scores_per_seed)
            for name in common
        }


def gather(plan: Plan, folder: StudyFolder, split: str | None = None) -> list[Result]:
    """Return the results of all arms, in the order of the study file.

    Args:
        plan: The study.
        folder: Its folder.
        split: Evaluated split; None: the first one of the study.
    """
    split = split or plan.study.splits[0]
    results = {
        arm.name: _trained(plan, folder, arm, split) for arm in plan.study.arms() if arm.kind != "simple"
    }
    reference = results[plan.study.reference].repetitions
    for arm in plan.study.arms():
        if arm.kind == "simple":
            results[arm.name] = _simple(plan, arm, reference)
    measured = [repetition for result in results.values() for repetition in result.repetitions]
    volumes, slices = (
        any(repetition.scores(column) for repetition in measured) for column in ("dice", "dice_slice")
    )
    column = "dice_slice" if slices and not volumes else "dice"
    return [replace(results[arm.name], column=column) for arm in plan.study.arms()]


def _trained(plan: Plan, folder: StudyFolder, arm: Arm, split: str) -> Result:
    """Return the result of an arm that is trained."""
    repetitions, missing, messages, run = [], [], [], None
    for trial in plan.of(arm.name):
        run = trial.run or run
        if trial.run is not None and folder.evaluated(trial, split):
            repetitions.append(_repetition(folder, trial, split))
            continue
        missing.append(trial.seed)
        message = trial.problem
        if trial.run is not None and folder.earlier(trial, split):
            message = EARLIER
        if trial.run is not None and (state := folder.state(trial.run)).name == "failed":
            message = state.message
        if message and message not in messages:
            messages.append(message)
    return Result(
        arm, plan.group(arm.name), repetitions, run and run.steps, run and run.batch_size, missing, messages
    )


def _repetition(folder: StudyFolder, trial, split: str) -> Repetition:
    """Read one finished repetition."""
    where = folder.evaluation(trial, split)
    environment = folder.run(trial.run).read_environment()
    return Repetition(
        seed=trial.seed,
        figures=json.loads((where / "metrics.json").read_text(encoding="utf-8")),
        patients=read_patients(where / "patients.csv"),
        seconds=folder.state(trial.run).seconds,
        commit=(environment.get("git") or {}).get("commit"),
        folder=where,
    )


def _simple(plan: Plan, arm: Arm, reference: list[Repetition]) -> Result:
    """Return the result of a simple arm, taken from the evaluation of the reference arm.

    It has Dice and marked area, which are the same for every seed.
    """
    group = plan.group(arm.name)
    if not reference:
        return Result(arm, group, [], messages=[f"is measured together with {plan.study.reference}"])
    repetition = reference[0]
    if arm.baseline not in repetition.figures["baselines"]:
        known = ", ".join(repetition.figures["baselines"]) or "none"
        return Result(
            arm,
            group,
            [],
            messages=[
                f"baseline: expected one of those that the evaluation measured ({known}); received "
                f"{arm.baseline}"
            ],
        )
    columns = ("dice", "dice_slice", "marked_share")
    patients = {
        name: {column: row.get(f"{column}_{arm.baseline}") for column in columns}
        for name, row in repetition.patients.items()
    }
    return Result(arm, group, [Repetition(None, repetition.figures["baselines"][arm.baseline], patients)])


def best_intensity(results: list[Result], reference: str) -> tuple[int, str, float] | None:
    """Return (number of methods, name, Dice) of the best intensity baseline, or None.

    The choice uses the masks: an oracle.
    """
    result = next((result for result in results if result.arm.name == reference and result.repetitions), None)
    if result is None:
        return None
    key = {"dice": "dice_volume", "dice_slice": "dice_slice"}[result.column]
    rows = result.repetitions[0].figures["baselines"].items()
    scores = {
        name: row[key]["mean"] for name, row in rows if name != "whole_organ" and row[key]["mean"] is not None
    }
    return (len(scores), max(scores, key=scores.get), max(scores.values())) if scores else None


def read_patients(path: Path) -> dict[str, dict]:
    """Return patient -> row of a patients.csv: patient and site are text, all others float or None."""
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    text = ("patient", "site")
    rows = [{key: restored(value) if key in text else value for key, value in row.items()} for row in rows]
    return {
        row["patient"]: {
            key: value if key in text else float(value) if value else None for key, value in row.items()
        }
        for row in rows
    }


def patient_rows(results: list[Result]) -> list[dict]:
    """Return the rows of study.csv: one per arm, seed and patient."""
    return [
        {
            "arm": result.arm.name,
            "kind": result.arm.kind,
            "group": result.group.kind,
            "seed": repetition.seed,
            "patient": name,
        }
        | {column: row.get(column) for column in COLUMNS}
        for result in results
        for repetition in result.repetitions
        for name, row in repetition.patients.items()
    ]
