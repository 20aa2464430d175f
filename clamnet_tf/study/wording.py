"""Put a study's results into words that a radiologist reads, with no more certainty than the intervals
allow.
"""

from clamnet_tf.evaluation.report_tables import spaced
from clamnet_tf.reporting.wording import FLOOR, count, number, percent
from clamnet_tf.study.compare import LEVEL, Row
from clamnet_tf.study.schema import Study

READINGS = {
    "reference": "the reference",
    "better": "better",
    "worse": "worse",
    "open": "no difference shown",
    "uncertain": "not significant after Holm's correction",
    "neither": "neither marks the lesion",
    "": "",
}
"""Row.verdict -> text in the tables."""


def interval(value: tuple | None, form=number) -> str:
    """Format (mean, low, high): "0.62 (0.47 to 0.74)", "0.62" without an interval, an en dash for None."""
    if value is None:
        return "–"
    mean, low, high = value
    return form(mean) if low is None else f"{form(mean)} ({form(low)} to {form(high)})"


def signed(value: float | None) -> str:
    """Format a difference: +0.02, −0.30; an en dash for None."""
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def p_text(value: float | None) -> str:
    """Format a p-value: "0.012", "below 0.001"; an en dash for None."""
    return "–" if value is None else "below 0.001" if value < 0.001 else f"{value:.3f}"


def seeds_text(row: Row) -> str:
    """Return the range over the seeds, "0.60 to 0.64"; empty for a single seed."""
    return f"{min(row.seed_dice):.2f} to {max(row.seed_dice):.2f}" if len(row.seed_dice) > 1 else ""


def budget_text(row: Row) -> str:
    """Return the budget, "220 × 16" (steps × slices per step)."""
    return "–" if row.steps is None else f"{row.steps:,} × {row.batch_size}"


def headline(study: Study, rows: list[Row]) -> list[str]:
    """Say in sentences what the study shows, most important first."""
    by_name = {row.name: row for row in rows}
    reference, sentences = by_name[study.reference], []
    if reference.dice is None:
        return [
            f"{reference.title} is the reference of all comparisons and is not measured yet, so there is "
            f"nothing to compare with."
        ]
    spread = ", so the spread between trainings is not known"
    if len(reference.seed_dice) > 1:
        spread = f", which range from {seeds_text(reference)}"
    sentences.append(
        f"{reference.title}: its masks overlap with the reference outlines with a Dice score of "
        f"{interval(reference.dice)} {per_patient(reference)} "
        f"({count(reference.patients, 'patient')} with a lesion, mean of "
        f"{count(reference.seeds, 'training')}{spread})."
    )
    if reference.dice[0] < FLOOR:
        sentences.append(
            f"It does not mark the lesion: a Dice score below {number(FLOOR)} is hardly any overlap."
        )
    ceiling = by_name.get(study.ceiling)
    if ceiling is not None and reference.ratio:
        sentences.append(
            f"{ceiling.title}, trained with outlines drawn by hand, reaches {interval(ceiling.dice)}; "
            f"the reference reaches {interval(reference.ratio, percent)} of that"
            + (f" ({'; '.join(reference.ratio_seeds)})." if reference.ratio_seeds else ".")
            + (
                f" It was trained with another budget ({budget_text(ceiling)} slices against "
                f"{budget_text(reference)})."
                if ceiling.other_budget
                else ""
            )
        )
    main, ablations = ([row for row in rows if row.group == kind] for kind in ("main", "ablations"))
    sentences += _groups_of_others(
        main,
        "On the same images, the reference does better than",
        "and worse than",
        "No difference is shown to",
    )
    sentences += _groups_of_others(
        ablations,
        "Changed one at a time, these make it worse:",
        "these make it better:",
        "No difference is shown for",
    )
    return sentences


def _groups_of_others(rows: list[Row], losing: str, winning: str, undecided: str) -> list[str]:
    """Say in a few sentences which arms of a table are worse, better or undecided."""
    by_verdict = {verdict: [_short(row) for row in rows if row.verdict == verdict] for verdict in READINGS}
    parts = [
        f"{phrase} {listed(by_verdict[kind])}"
        for phrase, kind in ((losing, "worse"), (winning, "better"))
        if by_verdict[kind]
    ]
    sentence = "; ".join(parts)
    sentences = [sentence[:1].upper() + sentence[1:] + "."] if sentence else []
    if by_verdict["neither"]:
        sentences.append(
            f"Neither the reference nor {listed(by_verdict['neither'])} marks the lesion; which of them "
            f"scores higher means nothing."
        )
    if by_verdict["open"] + by_verdict["uncertain"]:
        why = "the interval includes 0, or the difference is not significant after Holm's correction"
        sentences.append(f"{undecided} {listed(by_verdict['open'] + by_verdict['uncertain'])}: {why}.")
    return sentences


def _short(row: Row) -> str:
    """Return the title up to its first colon, in quotes."""
    return f"“{row.title.split(':')[0]}”"


def listed(words: list[str]) -> str:
    """Join words: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def control_text(row: Row, floor: Row) -> str:
    """Say whether a control fell to the floor, as it must."""
    expected = (
        f"Expected: the level of “{floor.title}”, Dice "
        f"{number(floor.dice[0]) if floor.dice else '(not measured yet)'}, or below."
    )
    if row.to_floor is None:
        unknown = f"Not known: it {'; '.join(row.floor_seeds)}." if row.floor_seeds else "Not measured yet."
        return f"{expected} {unknown}"
    mean, low, high = row.to_floor
    measured = f"Dice {number(row.dice[0])}, difference {signed(mean)}" + (
        "" if low is None else f" ({signed(low)} to {signed(high)})"
    )
    if low is None:
        return f"{expected} Found: {measured}; a single patient gives no interval, so nothing is shown."
    if low > 0:
        warning = (
            "what the network still finds does not come from the labels. Read all other results with "
            "that in mind."
        )
        return f"{expected} Found: {measured}. It did NOT fall to that level: {warning}"
    return f"{expected} Found: {measured}. It fell to that level: " + (
        "it lies below." if high < 0 else "no difference shown."
    )


def fell(row: Row) -> bool | None:
    """Return whether the control fell to the floor; None when this is not known."""
    return None if row.to_floor is None or row.to_floor[1] is None else row.to_floor[1] <= 0


def per_patient(row: Row) -> str:
    """Say what a Dice is a mean over."""
    return (
        "per patient with a lesion"
        if row.column == "dice"
        else "over a patient's outlined slices (no patient is fully outlined)"
    )


def intensity_note(amount: int, name: str, dice: float) -> str:
    """Name the best method by intensity, which nobody could have known beforehand."""
    return (
        f"The best of {count(amount, 'intensity method')}, picked with the masks, reaches {number(dice)} "
        f"({spaced(name)})."
    )


def budget_note(rows: list[Row], reference: Row) -> str:
    """Name the arms that were trained with another budget than the reference; empty when there are none."""
    differing = [f"{_short(row)} ({budget_text(row)})" for row in rows if row.other_budget]
    reference_text = (
        f"the reference learned from {budget_text(reference)} slices (optimizer steps × slices per step)"
    )
    return f"Not the same budget: {reference_text}, {listed(differing)}." if differing else ""


def method_note(study: Study, rows: list[Row]) -> str:
    """Say how intervals and p-values were computed."""
    tested, volumes = sum(row.p is not None for row in rows), all(row.column == "dice" for row in rows)
    of_whom = "of each volume of a patient with a lesion" if volumes else "of each patient's outlined slices"
    return (
        f"The Dice {of_whom} is averaged over the trainings (seeds) first, then over these patients, the "
        f"same ones for all arms; a missed lesion counts 0. Patients without a lesion are reported "
        f"separately: how many stay unmarked. Intervals: 95 %, bootstrap over patients. Differences are "
        f"paired by patient; p-values come from the two-sided sign-flip permutation test on the mean "
        f"difference, corrected for {count(tested, 'comparison')} after Holm. A difference is shown when its "
        f"interval does not include 0 and the corrected p-value is below {LEVEL}; where both Dice lie below "
        f"{number(FLOOR)}, neither arm marks the lesion, whatever their difference. Intervals do not include "
        f"the spread between trainings, which is given next to them."
    )


def missing_note(rows: list[Row]) -> str:
    """Name what is not finished; empty when everything is."""
    unfinished = [f"{_short(row)} ({row.state})" for row in rows if row.state != "done"]
    return (
        f"Not complete: {listed(unfinished)}. Their results are missing or will change." if unfinished else ""
    )
