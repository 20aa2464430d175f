"""What the finished runs of a study measured, read back from their files: figures and patients, per arm and seed."""

import csv
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from clamnet_tf.spreadsheet import restored
from clamnet_tf.study.folder import StudyFolder
from clamnet_tf.study.plan import Plan
from clamnet_tf.study.schema import Arm, Group

COLUMNS = (
    *("dice", "iou", "sensitivity", "precision", "hd95_px", "hd95_mm", "pointing", "normal_area"),
    *("slices", "slices_positive", "truth_px", "marked_px"),
)
"""Columns of patients.csv that study.csv repeats."""


@dataclass(frozen=True, eq=False)
class Repetition:
    """One arm with one seed, evaluated. seed: None for a simple arm.

    figures: content of metrics.json (see evaluation/figures.py). patients: rows of patients.csv by patient, numbers as
    float, None where nothing was measured. seconds: of training. folder: of the evaluation, with its pictures.
    """

    seed: int | None
    figures: dict
    patients: dict[str, dict]
    seconds: float | None = None
    commit: str | None = None
    folder: Path | None = None

    def scores(self) -> dict[str, float]:
        """Patient -> Dice of the volume; patients without a score are left out."""
        return {name: row["dice"] for name, row in self.patients.items() if row["dice"] is not None}


@dataclass(frozen=True, eq=False)
class Result:
    """One arm: its repetitions by seed as far as they are finished, and what is wrong with the others.

    steps: optimizer steps of all stages, batch_size: slices per step (None for a simple arm). missing: seeds not
    finished; messages: of those that failed or are not valid.
    """

    arm: Arm
    group: Group
    repetitions: list[Repetition]
    steps: int | None = None
    batch_size: int | None = None
    missing: list[int] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    @property
    def slices(self) -> int | None:
        """Slices that training looked at: steps x batch."""
        return self.steps * self.batch_size if self.steps else None

    def dice(self) -> dict[str, float]:
        """Patient -> mean Dice over the seeds; patients that lack a score with any seed are left out."""
        each = [repetition.scores() for repetition in self.repetitions]
        common = [name for name in each[0] if all(name in scores for scores in each)] if each else []
        return {name: math.fsum(scores[name] for scores in each) / len(each) for name in common}


def gather(plan: Plan, folder: StudyFolder, split: str | None = None) -> list[Result]:
    """Results of all arms in the order of the study file; split: the study's first side when None."""
    split = split or plan.study.splits[0]
    results = {arm.name: _trained(plan, folder, arm, split) for arm in plan.study.arms() if arm.kind != "simple"}
    reference = results[plan.study.reference].repetitions
    for arm in plan.study.arms():
        if arm.kind == "simple":
            results[arm.name] = _simple(plan, arm, reference)
    return [results[arm.name] for arm in plan.study.arms()]


def _trained(plan: Plan, folder: StudyFolder, arm: Arm, split: str) -> Result:
    found, missing, messages, run = [], [], [], None
    for trial in plan.of(arm.name):
        run = trial.run or run
        if trial.run is not None and folder.evaluated(trial, split):
            found.append(_repetition(folder, trial, split))
            continue
        missing.append(trial.seed)
        message = trial.problem
        if trial.run is not None and (state := folder.state(trial.run)).name == "failed":
            message = state.message
        if message and message not in messages:
            messages.append(message)
    return Result(arm, plan.group(arm.name), found, run and run.steps, run and run.batch_size, missing, messages)


def _repetition(folder: StudyFolder, trial, split: str) -> Repetition:
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
    """A baseline out of the evaluation of the reference arm: Dice and marked area, the same with every seed."""
    group = plan.group(arm.name)
    if not reference:
        return Result(arm, group, [], messages=[f"is measured when {plan.study.reference} is"])
    first = reference[0]
    if arm.baseline not in first.figures["baselines"]:
        known = ", ".join(first.figures["baselines"]) or "none"
        return Result(arm, group, [], messages=[f"baseline: expected one of those that the evaluation measured ({known}); received {arm.baseline}"])
    patients = {name: {"dice": row[f"dice_{arm.baseline}"]} for name, row in first.patients.items()}
    return Result(arm, group, [Repetition(None, first.figures["baselines"][arm.baseline], patients)])


def best_intensity(results: list[Result], reference: str) -> tuple[int, str, float] | None:
    """(how many, name, Dice) of the intensity baseline that is best on these patients: picked with the masks, an oracle."""
    measured = next((result.repetitions[0].figures["baselines"] for result in results if result.arm.name == reference and result.repetitions), {})
    scores = {name: row["dice_volume"]["mean"] for name, row in measured.items() if name != "whole_organ" and row["dice_volume"]["mean"] is not None}
    return (len(scores), max(scores, key=scores.get), max(scores.values())) if scores else None


def read_patients(path: Path) -> dict[str, dict]:
    """Rows of a patients.csv by patient: text of patient and site, all others float or None."""
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    text = ("patient", "site")
    rows = [{key: restored(value) if key in text else value for key, value in row.items()} for row in rows]
    return {row["patient"]: {key: value if key in text else float(value) if value else None for key, value in row.items()} for row in rows}


def patient_rows(results: list[Result]) -> list[dict]:
    """Rows of study.csv: one per arm, seed and patient."""
    return [
        {"arm": result.arm.name, "kind": result.arm.kind, "group": result.group.kind, "seed": repetition.seed, "patient": name}
        | {column: row.get(column) for column in COLUMNS}
        for result in results
        for repetition in result.repetitions
        for name, row in repetition.patients.items()
    ]
