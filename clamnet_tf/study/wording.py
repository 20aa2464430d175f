"""A study's figures in words that a radiologist reads, as certain as their intervals and no more."""

from clamnet_tf.reporting.wording import FLOOR, count, number, percent
from clamnet_tf.study.compare import LEVEL, Row
from clamnet_tf.study.schema import Study

READINGS = {
    "reference": "the reference",
    "better": "better",
    "worse": "worse",
    "open": "no difference shown",
    "uncertain": "not shown among so many comparisons",
    "neither": "neither marks the lesion",
    "": "",
}
"""Row.verdict -> what the tables say."""


def interval(value: tuple | None, form=number) -> str:
    """ "0.62 (0.47 to 0.74)", "0.62" without an interval, an en dash for None."""
    if value is None:
        return "–"
    mean, low, high = value
    return form(mean) if low is None else f"{form(mean)} ({form(low)} to {form(high)})"


def signed(value: float | None) -> str:
    """+0.02, −0.30."""
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def p_text(value: float | None) -> str:
    """ "0.012", "below 0.001"."""
    return "–" if value is None else "below 0.001" if value < 0.001 else f"{value:.3f}"


def seeds_text(row: Row) -> str:
    """ "0.60 to 0.64" over the seeds, empty for one alone."""
    return f"{min(row.seed_dice):.2f} to {max(row.seed_dice):.2f}" if len(row.seed_dice) > 1 else ""


def budget_text(row: Row) -> str:
    """ "220 steps x 16"."""
    return "–" if row.steps is None else f"{row.steps:,} × {row.batch_size}"


def headline(study: Study, rows: list[Row]) -> list[str]:
    """What the study shows, in sentences, most important first."""
    by_name = {row.name: row for row in rows}
    reference, said = by_name[study.reference], []
    if reference.dice is None:
        return [
            f"{reference.title} is the reference of all comparisons and is not measured yet: there is "
            f"nothing to compare with."
        ]
    spread = ", so nothing is known of the spread between trainings"
    if len(reference.seed_dice) > 1:
        spread = f", which lie between {seeds_text(reference).replace(' to ', ' and ')}"
    said.append(
        f"{reference.title}: its masks overlap with the reference outlines with a Dice score of "
        f"{interval(reference.dice)} {per_patient(reference)} "
        f"({count(reference.patients, 'patient')} with a lesion, mean of "
        f"{count(reference.seeds, 'training')}{spread})."
    )
    if reference.dice[0] < FLOOR:
        said.append(f"It does not mark the lesion: a Dice score below {number(FLOOR)} is hardly any overlap.")
    ceiling = by_name.get(study.ceiling)
    if ceiling is not None and reference.ratio:
        said.append(
            f"{ceiling.title}, taught by outlines drawn by hand, reaches {interval(ceiling.dice)}; "
            f"the reference reaches {interval(reference.ratio, percent)} of that."
            + (
                f" It learned with another budget ({budget_text(ceiling)} slices against "
                f"{budget_text(reference)})."
                if ceiling.other_budget
                else ""
            )
        )
    main, ablations = ([row for row in rows if row.group == kind] for kind in ("main", "ablations"))
    said += _groups_of_others(
        main,
        "On the same labels, the reference does better than",
        "and worse than",
        "No difference is shown to",
    )
    said += _groups_of_others(
        ablations,
        "Changed one at a time, these make it worse:",
        "these make it better:",
        "No difference is shown for",
    )
    return said


def _groups_of_others(rows: list[Row], losing: str, winning: str, undecided: str) -> list[str]:
    """The arms of a table sorted by verdict, in one or two sentences."""
    named = {verdict: [_short(row) for row in rows if row.verdict == verdict] for verdict in READINGS}
    parts = [
        f"{words} {listed(named[kind])}"
        for words, kind in ((losing, "worse"), (winning, "better"))
        if named[kind]
    ]
    sentence = "; ".join(parts)
    said = [sentence[:1].upper() + sentence[1:] + "."] if sentence else []
    if named["neither"]:
        said.append(
            f"Neither the reference nor {listed(named['neither'])} marks the lesion; which of them is ahead "
            f"says nothing."
        )
    if named["open"] + named["uncertain"]:
        why = "the interval of the difference includes 0, or it does not hold among so many comparisons"
        said.append(f"{undecided} {listed(named['open'] + named['uncertain'])}: {why}.")
    return said


def _short(row: Row) -> str:
    """The title up to its first colon, in quotes."""
    return f"“{row.title.split(':')[0]}”"


def listed(words: list[str]) -> str:
    """a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def control_text(row: Row, floor: Row) -> str:
    """Whether a control fell to the floor, as it must."""
    expected = (
        f"Expected: the level of “{floor.title}”, Dice "
        f"{number(floor.dice[0]) if floor.dice else '(not measured yet)'}, or below."
    )
    if row.to_floor is None:
        return f"{expected} Not measured yet."
    mean, low, high = row.to_floor
    found = f"Dice {number(row.dice[0])}, difference {signed(mean)}" + (
        "" if low is None else f" ({signed(low)} to {signed(high)})"
    )
    if low is None:
        return f"{expected} Found: {found}; one patient alone gives no interval, so nothing is shown."
    if low > 0:
        warning = (
            "what the network still finds does not come from the labels. Read all other figures with "
            "that in mind."
        )
        return f"{expected} Found: {found}. It did NOT fall to that level: {warning}"
    return f"{expected} Found: {found}. It fell to that level: " + (
        "it lies below." if high < 0 else "no difference shown."
    )


def fell(row: Row) -> bool | None:
    """True: the control fell; False: it did not; None: not known."""
    return None if row.to_floor is None or row.to_floor[1] is None else row.to_floor[1] <= 0


def per_patient(row: Row) -> str:
    """What a Dice is a mean over, in words."""
    return (
        "per patient with a lesion"
        if row.column == "dice"
        else "over a patient's outlined slices (no patient is outlined whole)"
    )


def intensity_note(amount: int, name: str, dice: float) -> str:
    """The best way to mark by intensity, which nobody could have known beforehand."""
    return (
        f"The best of {count(amount, 'intensity method')}, picked with the masks, reaches {number(dice)} "
        f"({name.replace('_', ' ')})."
    )


def budget_note(rows: list[Row], reference: Row) -> str:
    """Which arms were trained for another number of steps x slices than the reference; empty when none."""
    others = [f"{_short(row)} ({budget_text(row)})" for row in rows if row.other_budget]
    own = f"the reference learned from {budget_text(reference)} slices (optimizer steps × slices per step)"
    return f"Not the same budget: {own}, {listed(others)}." if others else ""


def method_note(study: Study, rows: list[Row]) -> str:
    """How intervals and p-values were made."""
    tested, volumes = sum(row.p is not None for row in rows), all(row.column == "dice" for row in rows)
    return (
        f"Dice {'of each volume of a patient with a lesion' if volumes else 'of the outlined slices of each patient'} is averaged over the "
        "trainings (seeds) first, then over these patients, the same ones for all arms; a lesion that is "
        "missed counts 0. "
        "Patients without a lesion are counted apart: how many stay unmarked. Intervals: 95 %, bootstrap "
        "over patients. "
        "Differences are taken patient by patient; p-values come from the sign-flip permutation test on the "
        "mean difference (two-sided), "
        f"corrected for {count(tested, 'comparison')} after Holm; a difference is called shown when its "
        f"interval leaves out 0 and the "
        f"corrected p-value is below {LEVEL}; where both Dice lie below {number(FLOOR)} neither arm marks "
        f"the lesion, whatever their difference. "
        "Intervals do not hold the spread between trainings; it stands beside them."
    )


def missing_note(rows: list[Row]) -> str:
    """What is not finished, by name; empty when all is."""
    lacking = [f"{_short(row)} ({row.state})" for row in rows if row.state != "done"]
    return f"Not complete: {listed(lacking)}. Their figures are missing or will change." if lacking else ""
