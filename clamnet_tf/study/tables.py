"""Make summary.md: a study's rows for a README."""

from clamnet_tf.reporting.wording import number, percent
from clamnet_tf.study import wording
from clamnet_tf.study.compare import Row
from clamnet_tf.study.further_figures import NOTE, TITLES, has_any, texts
from clamnet_tf.study.schema import Study
from clamnet_tf.study.times import duration
from clamnet_tf.study.wording import READINGS, budget_text, interval, p_text, seeds_text, signed

COLUMNS = (
    *(
        "Arm",
        "Seeds",
        "Dice per patient with a lesion (95 % interval)",
        "range over seeds",
        "difference to the reference",
        "p (Holm)",
        "reading",
    ),
    *(
        "share of the ceiling",
        "Dice per lesion slice",
        "HD95",
        "slice AUROC",
        "pointing game (near)",
        "marked on normal slices",
        "normal patients unmarked",
        "steps × slices",
        "training",
    ),
)


def summary_markdown(study: Study, rows: list[Row], intensity: tuple | None) -> str:
    """Return the tables as Markdown, one per group, oracle rows apart, with the notes that they need.

    Args:
        study: The study.
        rows: Rows from compare.compare.
        intensity: Result of gather.best_intensity.
    """
    reference = next(row for row in rows if row.name == study.reference)
    parts = [f"# {study.title}", *([study.about] if study.about else []), wording.method_note(study, rows)]
    parts += [note for note in (wording.missing_note(rows),) if note]
    for group in study.groups:
        group_rows = [row for row in rows if row.name in {arm.name for arm in group.arms}]
        parts += [f"## {group.title}", *([group.about] if group.about else [])]
        parts.append(
            table((*COLUMNS[:2], score_title(rows), *COLUMNS[3:]), [cells(row) for row in group_rows])
        )
        counted = [row for row in group_rows if has_any(row.secondary)]
        if counted:
            parts += ["Lesions, detection and calibration:", NOTE]
            parts.append(table(("Arm", *TITLES), [(row.title, *texts(row.secondary)) for row in counted]))
        if note := wording.budget_note(group_rows, reference):
            parts.append(f"**{note}**")
        parts += [
            wording.control_text(row, floor_of(study, rows))
            for row in group_rows
            if row.kind == "control" and study.floor
        ]
        parts += [f"{row.title}: {row.state}. {message}" for row in group_rows for message in row.messages]
    oracle = [row for row in rows if row.oracle is not None]
    if oracle:
        parts.append("## Oracle: thresholds chosen with the masks")
        parts.append(
            "These are bounds, not results: what each arm would reach with the threshold that is best for "
            "the masks."
        )
        parts += [wording.intensity_note(*intensity)] if intensity else []
        scores = [(row.title, number(row.oracle), number(row.dice[0])) for row in oracle if row.dice]
        parts.append(table(("Arm", "Dice with the best threshold", "Dice with its own"), scores))
    return "\n\n".join(parts) + "\n"


def score_title(rows: list[Row]) -> str:
    """Return the header of the Dice column."""
    return (
        COLUMNS[2]
        if all(row.column == "dice" for row in rows)
        else "Dice of a patient's outlined slices (95 % interval)"
    )


def floor_of(study: Study, rows: list[Row]) -> Row:
    """Return the row to whose level controls must fall."""
    return next(row for row in rows if row.name == study.floor)


def cells(row: Row) -> tuple:
    """Return one arm as text, column by column."""
    if row.dice is None:
        return (row.title, row.state, *[""] * (len(COLUMNS) - 2))
    metrics = row.secondary
    return (
        row.title,
        "–" if row.kind == "simple" else str(row.seeds) if row.state == "done" else row.state,
        interval(row.dice),
        seeds_text(row),
        "" if row.difference is None else interval(row.difference, signed),
        "" if row.p is None else p_text(row.p_holm),
        READINGS[row.verdict],
        "" if row.ratio is None else interval(row.ratio),
        _figure(metrics, "dice_slice", number),
        distance(metrics),
        _figure(metrics, "auroc_slice", number),
        pointing(metrics),
        _figure(metrics, "normal_area", percent),
        _figure(metrics, "specificity_patient", percent),
        budget_text(row),
        "–" if row.seconds is None else duration(row.seconds),
    )


def _figure(metrics: dict, name: str, form) -> str:
    """Format a metric; an en dash when it is missing."""
    return "–" if metrics.get(name) is None else form(metrics[name])


def pointing(metrics: dict) -> str:
    """Format the pointing game: inside the lesion, and in brackets in or within 8 of 224 pixels of it."""
    inside, near = (_figure(metrics, name, percent) for name in ("pointing_game", "pointing_near"))
    return inside if near == "–" else f"{inside} ({near})"


def distance(metrics: dict) -> str:
    """Format HD95 with its unit, which is mm when every slice has a spacing."""
    for unit in ("mm", "px"):
        if metrics.get(f"hd95_{unit}") is not None:
            return f"{metrics[f'hd95_{unit}']:.0f} {unit}"
    return "–"


def table(head, rows) -> str:
    """Return a Markdown table; bars inside cells are escaped."""
    lines = [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in (head, *rows)
    ]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
