"""summary.csv and summary.md: a study's rows for machines and for a README."""

from clamnet_tf.reporting.wording import number, percent
from clamnet_tf.study import wording
from clamnet_tf.study.compare import Row
from clamnet_tf.study.schema import Study
from clamnet_tf.study.times import duration
from clamnet_tf.study.wording import READINGS, budget_text, interval, p_text, seeds_text, signed

COLUMNS = (
    *(
        "Arm",
        "Seeds",
        "Dice per patient with a lesion (95 % interval)",
        "from seed to seed",
        "difference to the reference",
        "p (Holm)",
        "reading",
    ),
    *(
        "of the ceiling",
        "Dice per lesion slice",
        "HD95",
        "slice AUROC",
        "pointing game",
        "marked on normals",
        "normal patients unmarked",
        "steps × slices",
        "training",
    ),
)


def summary_markdown(study: Study, rows: list[Row], intensity: tuple | None) -> str:
    """The tables as Markdown, one per group, oracle rows apart, with the notes that they need; intensity: of
    gather.best_intensity.
    """
    reference = next(row for row in rows if row.name == study.reference)
    parts = [f"# {study.title}", *([study.about] if study.about else []), wording.method_note(study, rows)]
    parts += [note for note in (wording.missing_note(rows),) if note]
    for group in study.groups:
        own = [row for row in rows if row.name in {arm.name for arm in group.arms}]
        parts += [f"## {group.title}", *([group.about] if group.about else [])]
        parts.append(table((*COLUMNS[:2], score_title(rows), *COLUMNS[3:]), [cells(row) for row in own]))
        if note := wording.budget_note(own, reference):
            parts.append(f"**{note}**")
        parts += [
            wording.control_text(row, floor_of(study, rows))
            for row in own
            if row.kind == "control" and study.floor
        ]
        parts += [f"{row.title}: {row.state}. {message}" for row in own for message in row.messages]
    oracle = [row for row in rows if row.oracle is not None]
    if oracle:
        parts.append("## Oracle: thresholds chosen with the masks")
        parts.append(
            "Not results, but bounds: what each arm would reach, had somebody told it the best threshold."
        )
        parts += [wording.intensity_note(*intensity)] if intensity else []
        scores = [(row.title, number(row.oracle), number(row.dice[0])) for row in oracle if row.dice]
        parts.append(table(("Arm", "Dice with the best threshold", "Dice with its own"), scores))
    return "\n\n".join(parts) + "\n"


def score_title(rows: list[Row]) -> str:
    """Head of the column of Dice."""
    return (
        COLUMNS[2]
        if all(row.column == "dice" for row in rows)
        else "Dice of a patient's outlined slices (95 % interval)"
    )


def floor_of(study: Study, rows: list[Row]) -> Row:
    """The row that controls must fall to."""
    return next(row for row in rows if row.name == study.floor)


def cells(row: Row) -> tuple:
    """One arm as text, column by column."""
    if row.dice is None:
        return (row.title, row.state, *[""] * (len(COLUMNS) - 2))
    found = row.secondary
    return (
        row.title,
        "–" if row.kind == "simple" else str(row.seeds) if row.state == "done" else row.state,
        interval(row.dice),
        seeds_text(row),
        "" if row.difference is None else interval(row.difference, signed),
        "" if row.p is None else p_text(row.p_holm),
        READINGS[row.verdict],
        "" if row.ratio is None else interval(row.ratio),
        _figure(found, "dice_slice", number),
        distance(found),
        _figure(found, "auroc_slice", number),
        _figure(found, "pointing_game", percent),
        _figure(found, "normal_area", percent),
        _figure(found, "specificity_patient", percent),
        budget_text(row),
        "–" if row.seconds is None else duration(row.seconds),
    )


def _figure(found: dict, name: str, form) -> str:
    return "–" if found.get(name) is None else form(found[name])


def distance(found: dict) -> str:
    """HD95 with its unit: millimetres when every slice has a spacing."""
    for unit in ("mm", "px"):
        if found.get(f"hd95_{unit}") is not None:
            return f"{found[f'hd95_{unit}']:.0f} {unit}"
    return "–"


def table(head, rows) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in (head, *rows)
    ]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
