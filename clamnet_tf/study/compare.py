"""Compute the results of a study: one row per arm, with intervals, paired differences and ratios.

For each patient with a lesion, the Dice of the volume is averaged over seeds first; intervals resample
patients, and differences pair them. So an interval describes patients, and the spread over seeds is given
separately. Two arms are compared on the seeds that both have. Patients without a lesion have their own
metrics: how many of them stay unmarked, and how much of their organ is marked.
"""

from dataclasses import asdict, dataclass, field

import numpy as np

from clamnet_tf.evaluation import bootstrap
from clamnet_tf.reporting.wording import FLOOR
from clamnet_tf.study.further_figures import KEYS, further_figures, learning_messages
from clamnet_tf.study.gather import Repetition, Result
from clamnet_tf.study.schema import Study
from clamnet_tf.study.significance import holm, sign_flip_p

LEVEL = 0.05
"""Corrected p-value below which a difference is reported as shown."""
OTHER_PATIENTS = (
    "its Dice is of {} patients, that of the reference of {}; the difference is of the {} that both have"
)
OTHER_SEEDS = "compared with {} on the seeds that both have: {}"
NO_COMMON_SEED = "has no seed in common with {}: the difference is that of the seeds, too"
SECONDARY = (
    *("dice_slice", "hd95_mm", "hd95_px", "auroc_slice", "pointing_game", "pointing_near", "normal_area"),
    *("specificity_slice", "normal_area_patient", "specificity_patient"),
)
"""Metrics of metrics.json that are averaged over seeds."""


@dataclass
class Row:
    """Hold the results of one arm.

    Intervals are (mean, low, high) or None; differences are arm - reference, paired by patient.

    Attributes:
        state: "done", "1 of 3 seeds", "failed" or "missing".
        patients: Number of patients with a lesion over whom `dice` is a mean.
        verdict: "reference", "better", "worse", "open" (the interval includes 0), "uncertain" (it does not,
            but the corrected p-value is not below LEVEL), "neither" (both Dice lie below FLOOR: neither arm
            marks the lesion, whatever their difference), or "" without a comparison.
        ratio: Mean Dice of the arm over that of the ceiling.
        to_floor: Difference to the floor arm, for controls.
        secondary: Metric -> mean over seeds.
        oracle: Dice with the threshold that is best for the masks.
        seconds: Training time, mean over seeds.
        other_budget: Whether the arm was trained with another number of steps or slices than the reference.
        ratio_seeds, floor_seeds: On which seeds `ratio` and `to_floor` are, when not on all of both arms.
            There is no `to_floor` without a common seed, since a verdict on a control hangs on it.
        column: What `dice` is: "dice" of volumes or "dice_slice".
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
    ratio_seeds: list[str] = field(default_factory=list)
    floor_seeds: list[str] = field(default_factory=list)
    column: str = "dice"


def compare(study: Study, results: list[Result], samples: int = bootstrap.SAMPLES) -> list[Row]:
    """Return one row per arm, in the order of the study file."""
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
            row.messages = [*row.messages, *_seed_messages(result, reference, "the reference")]
        ceiling, floor = by_name.get(study.ceiling), by_name.get(study.floor)
        if row.kind in ("weak", "mixed"):
            row.ratio = _ratio(result, ceiling, samples)
            if row.ratio is not None:
                row.ratio_seeds = _seed_messages(result, ceiling, "the supervised arm")
        if row.kind == "control" and (pairs := _pairs(result, floor)) is not None:
            row.floor_seeds = _seed_messages(result, floor, f"“{floor.arm.title}”")
            if not (result.seeds and floor.seeds and result.seeds.isdisjoint(floor.seeds)):
                row.to_floor = _tuple(bootstrap.paired(*pairs, samples=samples))
        row.messages = [*row.messages, *row.ratio_seeds, *row.floor_seeds]
    tested = [row for row in rows if row.p is not None]
    for row, adjusted in zip(tested, holm([row.p for row in tested])):
        row.p_holm, row.verdict = (
            adjusted,
            "neither" if failing[row.name] else _verdict(row.difference, adjusted),
        )
    return rows


def _row(result: Result, samples: int) -> Row:
    """Make the row of one arm, without comparisons."""
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
            float(np.mean([repetition.scores(result.column)[name] for name in result.dice()]))
            for repetition in repetitions
        ]
    if repetitions:
        row.secondary = {
            name: _mean(_figure(repetition, name) for repetition in repetitions) for name in SECONDARY
        }
        further = [further_figures(repetition.figures) for repetition in repetitions]
        row.secondary |= {name: _mean(figures[name] for figures in further) for name in KEYS}
        row.messages = [*row.messages, *learning_messages(repetitions)]
    if arm.kind != "simple" and repetitions:
        row.oracle = _mean(repetition.figures["oracle"]["dice_volume"]["mean"] for repetition in repetitions)
        row.seconds = _mean(repetition.seconds for repetition in repetitions)
    return row


def _state(result: Result) -> str:
    """Say how far an arm is."""
    if not result.missing:
        return "done" if result.repetitions else "missing"
    if result.repetitions:
        return f"{len(result.repetitions)} of {len(result.repetitions) + len(result.missing)} seeds"
    return "failed" if result.messages else "missing"


def _other_budget(result: Result, reference: Result) -> bool:
    """Return whether the arm was trained with another number of steps or slices per step than the
    reference.
    """
    return result.steps is not None and (result.steps, result.batch_size) != (
        reference.steps,
        reference.batch_size,
    )


def _pairs(ours: Result, theirs: Result | None) -> tuple[list[float], list[float]] | None:
    """Return the scores of the patients that both arms have, in the same order; None when there are none.

    Where both were trained with a common seed, the scores are means over the common seeds.
    """
    if theirs is not None and (shared := ours.seeds & theirs.seeds):
        ours, theirs = ours.of_seeds(shared), theirs.of_seeds(shared)
    our_scores, their_scores = ours.dice(), theirs.dice() if theirs is not None else {}
    common = [name for name in our_scores if name in their_scores]
    return (
        ([our_scores[name] for name in common], [their_scores[name] for name in common]) if common else None
    )


def _seed_messages(ours: Result, theirs: Result, name: str) -> list[str]:
    """Say on which seeds two arms are compared; empty when both have the same, or one was not trained."""
    if not ours.seeds or not theirs.seeds or ours.seeds == theirs.seeds:
        return []
    shared = ", ".join(map(str, sorted(ours.seeds & theirs.seeds)))
    return [OTHER_SEEDS.format(name, shared) if shared else NO_COMMON_SEED.format(name)]


def _ratio(result: Result, ceiling: Result | None, samples: int) -> tuple | None:
    """Return the ratio to the ceiling with its interval; None when the ceiling does not mark the lesion."""
    pairs = _pairs(result, ceiling)
    return _tuple(bootstrap.ratio(*pairs, samples=samples)) if pairs and np.mean(pairs[1]) >= FLOOR else None


def _verdict(difference: tuple, adjusted: float) -> str:
    """Return the verdict on a difference (mean, low, high) with a corrected p-value."""
    _, low, high = difference
    if low is None or low <= 0 <= high:
        return "open"
    if adjusted >= LEVEL:
        return "uncertain"
    return "better" if low > 0 else "worse"


def _figure(repetition: Repetition, name: str) -> float | None:
    """Return a metric of a repetition as one number."""
    value = repetition.figures.get(name)
    return value["mean"] if isinstance(value, dict) else value


def _mean(values) -> float | None:
    """Return the mean; None when a value is missing, so that arms are not compared on different seeds."""
    values = list(values)
    return None if not values or None in values else float(np.mean(values))


def _tuple(interval: bootstrap.Interval) -> tuple:
    """Return an interval as (mean, low, high)."""
    return interval.mean, interval.low, interval.high


def flat(row: Row) -> dict:
    """Return a row of summary.csv; tuples become <name>, <name>_low, <name>_high."""
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
        name: secondary.get(name) for name in (*SECONDARY, *KEYS)
    }
    return out | {"message": " | ".join(message.replace("\n", "; ") for message in messages)}
