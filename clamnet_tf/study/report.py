"""Write the results of a study from what is finished.

The files are study.csv, summary.csv, summary.md, boxes.png and index.html; each is written completely or not
at all.
"""

from pathlib import Path

import jinja2
from markupsafe import Markup

from clamnet_tf.evaluation.cases import write_rows
from clamnet_tf.evaluation.report import TEMPLATES
from clamnet_tf.files import write_bytes, write_text
from clamnet_tf.reporting import charts
from clamnet_tf.reporting import wording as figures_words
from clamnet_tf.study import further_figures, wording
from clamnet_tf.study.boxes import box_plot
from clamnet_tf.study.compare import Row, compare, flat
from clamnet_tf.study.folder import StudyFolder
from clamnet_tf.study.gather import Result, best_intensity, gather, patient_rows
from clamnet_tf.study.overlays import picture_sheets
from clamnet_tf.study.plan import Plan
from clamnet_tf.study.tables import distance, floor_of, pointing, summary_markdown
from clamnet_tf.study.times import duration


def write_results(plan: Plan, folder: StudyFolder) -> Path:
    """Write all results and return the page. What is not finished is named in them."""
    study, results = plan.study, gather(plan, folder)
    rows = compare(study, results)
    if patients := patient_rows(results):
        write_rows(folder.path / "study.csv", patients)
    write_rows(folder.path / "summary.csv", [flat(row) for row in rows])
    write_text(
        folder.path / "summary.md", summary_markdown(study, rows, best_intensity(results, study.reference))
    )
    if (picture := box_plot(results, study.reference, "png")) is not None:
        write_bytes(folder.path / "boxes.png", picture)
    page = folder.path / "index.html"
    write_text(page, render(plan, results, rows))
    return page


def render(plan: Plan, results: list[Result], rows: list[Row]) -> str:
    """Return the page as text."""
    study = plan.study
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(__file__).parent / "templates", TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": figures_words.number,
        "percent": figures_words.percent,
        "signed": wording.signed,
        "p": wording.p_text,
        "interval": wording.interval,
        "budget": wording.budget_text,
        "seeds": wording.seeds_text,
        "distance": distance,
        "pointing": pointing,
        "duration": duration,
        "further": further_figures.texts,
    }
    reference = next(row for row in rows if row.name == study.reference)
    measured = [
        repetition for result in results for repetition in result.repetitions if repetition.folder is not None
    ]
    floor = floor_of(study, rows) if study.floor else None
    return environment.get_template("study.html.j2").render(
        study=study,
        groups=[_group(study, group, rows, reference) for group in study.groups],
        rows=rows,
        reference=reference,
        headline=wording.headline(study, rows),
        missing=wording.missing_note(rows),
        method=wording.method_note(study, rows),
        controls=[
            (row, wording.control_text(row, floor), wording.fell(row))
            for row in rows
            if row.kind == "control" and floor
        ],
        oracle=[row for row in rows if row.oracle is not None and row.dice],
        intensity=wording.intensity_note(*best) if (best := best_intensity(results, study.reference)) else "",
        boxes=_inline(box_plot(results, study.reference)),
        sheets=picture_sheets(results, study.reference),
        readings=wording.READINGS,
        further_titles=further_figures.TITLES,
        further_note=further_figures.NOTE,
        bar=charts.interval_bar,
        split=study.splits[0],
        convention=measured[0].figures["hd95_convention"] if measured else "",
        source=_source(measured),
        volumes=all(row.column == "dice" for row in rows),
        patients=max((row.patients for row in rows), default=0),
    )


def _group(study, group, rows: list[Row], reference: Row) -> dict:
    """Return what the template needs of one group of arms."""
    group_rows = [row for row in rows if row.name in {arm.name for arm in group.arms}]
    if group.kind != "main" and reference not in group_rows:  # what they are compared with stands above them
        group_rows = [reference, *group_rows]
    span = (
        max(
            (
                abs(edge)
                for row in group_rows
                if row.difference
                for edge in row.difference
                if edge is not None
            ),
            default=0.0,
        )
        or 0.1
    )
    return {
        "group": group,
        "rows": group_rows,
        "span": (-span, span),
        "budget": wording.budget_note(group_rows, reference),
        "counted": [row for row in group_rows if further_figures.has_any(row.secondary)],
        "ratios": any(row.ratio for row in group_rows),
    }


def _source(measured) -> dict:
    """Return where the results come from: data, and the commits of the code, of which there should be only
    one.
    """
    if not measured:
        return {"data": "", "simulated": False, "commits": []}
    data = measured[0].figures["data"]
    commits = sorted({repetition.commit[:12] for repetition in measured if repetition.commit})
    return {"data": figures_words.data_name(data), "simulated": data["simulated"], "commits": commits}


def _inline(svg: bytes | None) -> Markup | None:
    """Return a drawing as part of the page: without XML header, and as wide as the page allows."""
    if svg is None:
        return None
    text = svg.decode("utf-8")
    opening = '<svg class="boxes" role="img" aria-label="Box plots of Dice per patient, one row per arm"'
    return Markup(text[text.index("<svg") :].replace("<svg", opening, 1))
