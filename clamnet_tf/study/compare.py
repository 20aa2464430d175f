"""The figures of a study: one row per arm, with intervals, paired differences to the reference, and ratios to
the ceiling.

Per patient with a lesion the Dice of the volume is averaged over seeds first; patients are then what
intervals resample and what differences pair. So an interval speaks of patients, and the spread over seeds
stands beside it. Patients without a lesion have figures
of their own: how many of them stay unmarked, and how much of their organ is marked.
"""

from dataclasses import asdict, dataclass, field

import numpy as np

from clamnet_tf.evaluation import bootstrap
from clamnet_tf.reporting.wording import FLOOR
from clamnet_tf.study.gather import Repetition, Result
from clamnet_tf.study.schema import Study
from clamnet_tf.study.significance import holm, sign_flip_p

LEVEL = 0.05
"""Of the corrected p-value below which a difference is called shown."""
OTHER_PATIENTS = (
    "its Dice is of {} patients and that of the reference of {}; the difference is of the {} that both have"
)
SECONDARY = (
    *("dice_slice", "hd95_mm", "hd95_px", "auroc_slice", "pointing_game", "normal_area"),
    *("specificity_slice", "normal_area_patient", "specificity_patient"),
)
"""Figures of metrics.json that are averaged over seeds."""


@dataclass
class Row:
    """One arm. Intervals are (mean, low, high) or None; differences are arm - reference, paired by patient.

    state: done, "1 of 3 seeds", failed, missing. verdict: reference, better, worse, open (the interval
    includes 0), uncertain (it does not, but the corrected p-value is not below LEVEL), neither (both Dice lie
    below words.FLOOR: neither arm marks the lesion, whatever their difference), or "" without a comparison.
    patients: with a lesion, whom dice is a mean over.
    """

    name: str
    title: str
    kind: str
    group: str
    state: str
    seeds: int
    patients: int
    dice: tuple | None = None
    seed_dice: list[float] = field(default_factory=list)
    difference: tuple | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: str = ""
    ratio: tuple | None = None
    to_floor: tuple | None = None
    secondary: dict = field(default_factory=dict)
    oracle: float | None = None
    seconds: float | None = None
    steps: int | None = None
    batch_size: int | None = None
    slices: int | None = None
    other_budget: bool = False
    messages: list[str] = field(default_factory=list)
    column: str = "dice"


def compare(study: Study, results: list[Result], samples: int = bootstrap.SAMPLES) -> list[Row]:
    """Rows in the order of the study file."""
    by_name = {result.arm.name: result for result in results}
    rows, failing = [_row(result, samples) for result in results], {}
    reference = by_name[study.reference]
    for row, result in zip(rows, results):
        row.other_budget = _other_budget(result, reference)
        if row.name == study.reference:
            row.verdict = "reference"
        elif (pairs := _pairs(result, reference)) is not None:
            row.difference = _tuple(bootstrap.paired(*pairs, samples=samples))
            row.p = sign_flip_p(np.subtract(*pairs))
            failing[row.name] = max(map(np.mean, pairs)) < FLOOR
            if len(result.dice()) != len(reference.dice()):
                row.messages = [
                    *row.messages,
                    OTHER_PATIENTS.format(len(result.dice()), len(reference.dice()), len(pairs[0])),
                ]
        if row.kind == "weak":
            row.ratio = _ratio(result, by_name.get(study.ceiling), samples)
        if row.kind == "control" and (pairs := _pairs(result, by_name.get(study.floor))) is not None:
            row.to_floor = _tuple(bootstrap.paired(*pairs, samples=samples))
    tested = [row for row in rows if row.p is not None]
    for row, adjusted in zip(tested, holm([row.p for row in tested])):
        row.p_holm, row.verdict = (
            adjusted,
            "neither" if failing[row.name] else _verdict(row.difference, adjusted),
        )
    return rows


def _row(result: Result, samples: int) -> Row:
    arm, repetitions = result.arm, result.repetitions
    scores = list(result.dice().values())
    row = Row(
        arm.name,
        arm.title,
        arm.kind,
        result.group.kind,
        _state(result),
        len(repetitions),
        len(scores),
        messages=result.messages,
        column=result.column,
    )
    row.steps, row.batch_size, row.slices = result.steps, result.batch_size, result.slices
    if scores:
        row.dice = _tuple(bootstrap.interval(scores, samples=samples))
        row.seed_dice = [
            float(np.mean([each.scores(result.column)[name] for name in result.dice()]))
            for each in repetitions
        ]
    if repetitions:
        row.secondary = {name: _mean(_figure(each, name) for each in repetitions) for name in SECONDARY}
    if arm.kind != "simple" and repetitions:
        row.oracle = _mean(each.figures["oracle"]["dice_volume"]["mean"] for each in repetitions)
        row.seconds = _mean(each.seconds for each in repetitions)
    return row


def _state(result: Result) -> str:
    if not result.missing:
        return "done" if result.repetitions else "missing"
    if result.repetitions:
        return f"{len(result.repetitions)} of {len(result.repetitions) + len(result.missing)} seeds"
    return "failed" if result.messages else "missing"


def _other_budget(result: Result, reference: Result) -> bool:
    """Whether it was trained on another number of slices or steps than the reference."""
    return result.steps is not None and (result.steps, result.batch_size) != (
        reference.steps,
        reference.batch_size,
    )


def _pairs(ours: Result, theirs: Result | None) -> tuple[list[float], list[float]] | None:
    """Scores of the patients that both have, in one order; None without any."""
    first, second = ours.dice(), theirs.dice() if theirs is not None else {}
    common = [name for name in first if name in second]
    return ([first[name] for name in common], [second[name] for name in common]) if common else None


def _ratio(result: Result, ceiling: Result | None, samples: int) -> tuple | None:
    pairs = _pairs(result, ceiling)
    return _tuple(bootstrap.ratio(*pairs, samples=samples)) if pairs and np.mean(pairs[1]) >= FLOOR else None


def _verdict(difference: tuple, adjusted: float) -> str:
    _, low, high = difference
    if low is None or low <= 0 <= high:
        return "open"
    if adjusted >= LEVEL:
        return "uncertain"
    return "better" if low > 0 else "worse"


def _figure(repetition: Repetition, name: str) -> float | None:
    value = repetition.figures.get(name)
    return value["mean"] if isinstance(value, dict) else value


def _mean(values) -> float | None:
    """Mean of the values; None when one is missing, so that arms are not compared on different seeds."""
    values = list(values)
    return None if not values or None in values else float(np.mean(values))


def _tuple(interval: bootstrap.Interval) -> tuple:
    return interval.mean, interval.low, interval.high


def flat(row: Row) -> dict:
    """A row of summary.csv: tuples become <name>, <name>_low, <name>_high."""
    content = asdict(row)
    secondary, seeds, messages = content.pop("secondary"), content.pop("seed_dice"), content.pop("messages")
    out = {}
    for name, value in content.items():
        if name in ("dice", "difference", "ratio", "to_floor"):
            value = value or (None, None, None)
            out |= {name: value[0], f"{name}_low": value[1], f"{name}_high": value[2]}
        else:
            out[name] = value
    lowest, highest = (min(seeds), max(seeds)) if seeds else (None, None)
    out |= {"seed_lowest": lowest, "seed_highest": highest} | {
        name: secondary.get(name) for name in SECONDARY
    }
    return out | {"message": " | ".join(message.replace("\n", "; ") for message in messages)}
