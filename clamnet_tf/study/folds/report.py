"""Write the results of a cross-validation, from what is finished: patients.csv, figures.json, index.html."""

from pathlib import Path

import jinja2

from clamnet_tf.evaluation.cases import write_rows
from clamnet_tf.evaluation.report import TEMPLATES
from clamnet_tf.evaluation.report_tables import spaced
from clamnet_tf.files import write_json, write_text
from clamnet_tf.reporting import charts
from clamnet_tf.reporting.wording import FLOOR, count, data_name, number, percent, within
from clamnet_tf.study.folder import StudyFolder
from clamnet_tf.study.folds.figures import PLAIN, mean_dice, over_repeats, pooled_figures
from clamnet_tf.study.folds.plan import FoldPlan
from clamnet_tf.study.folds.results import FoldResult, read_results

FIGURES, PATIENTS, PAGE = "figures.json", "patients.csv", "index.html"
NAMES = {
    "auroc_slice": "Slice AUROC",
    "auroc_slice_within": "Slice AUROC, pairs of one fold",
    "auroc_patient": "Patient AUROC",
    "auroc_patient_within": "Patient AUROC, pairs of one fold",
    "pointing_game": "Pointing game",
    "normal_area": "Marked on normal slices, share of the organ",
    "specificity_slice": "Normal slices unmarked",
    "normal_area_patient": "Marked on normal patients, share of the organ",
    "specificity_patient": "Normal patients unmarked",
    "iou": "Intersection over union",
    "sensitivity": "Sensitivity of pixels",
    "precision": "Precision of pixels",
    "hd95_mm": "Border distance HD95, mm",
    "hd95_px": "Border distance HD95, pixels",
}
"""Figure -> its name on the page, for the names in figures.PLAIN."""


def write_results(planned: FoldPlan, folder: StudyFolder) -> Path:
    """Write the results and return the page; folds that are not finished are named on it.

    patients.csv has one row per repeat and patient: repeat, fold, and the columns of an evaluation's
    patients.csv. figures.json has `repeats` (pooled_figures of each), `folds` (of each training), `mean_dice`
    and `over_repeats`.
    """
    results = read_results(planned, folder)
    content = figures_of(planned, results)
    rows = [
        {"repeat": result.repeat, "fold": result.fold.number, **row}
        for result in results
        for row in result.patients
    ]
    if rows:
        columns = dict.fromkeys(column for row in rows for column in row)
        write_rows(folder.path / PATIENTS, [{column: row.get(column) for column in columns} for row in rows])
    write_json(folder.path / FIGURES, content)
    page = folder.path / PAGE
    write_text(page, render(planned, results, content, folder))
    return page


def figures_of(planned: FoldPlan, results: list[FoldResult]) -> dict:
    """Return the content of figures.json."""
    repeats = [
        [result for result in results if result.repeat == repeat]
        for repeat in range(1, planned.division.repeats + 1)
    ]
    finished = [own for own in repeats if own]
    pooled = [pooled_figures(own) for own in finished]
    return {
        "division": planned.division.words(),
        "recipe": planned.plan.study.title,
        "finished": len(results),
        "trainings": len(planned.members),
        "repeats": [{"repeat": own[0].repeat, **row} for own, row in zip(finished, pooled)],
        "folds": [
            {"repeat": result.repeat, "fold": result.fold.name, **pooled_figures([result])}
            for result in results
        ],
        "mean_dice": mean_dice(results),
        "over_repeats": over_repeats(pooled),
    }


def headline(content: dict) -> list[str]:
    """Return the sentences that stand at the top of the page and at the end of the command."""
    if not content["finished"]:
        return ["No fold is finished yet."]
    lines = []
    if content["finished"] < content["trainings"]:
        lines.append(
            f"Not complete: {content['finished']} of {content['trainings']} trainings are finished; the "
            f"figures are of their patients alone."
        )
    lines.append(_dice_line(content))
    first = content["repeats"][0]
    volumes = first["dice_volume"]["mean"] is not None
    for name in ("auroc_patient", "auroc_slice", "specificity_patient"):
        value = first[name]
        if value["mean"] is not None:
            form = percent if name == "specificity_patient" else number
            lines.append(
                f"{NAMES[name]}: {form(value['mean'])}{_in_brackets(value, form)}{_spread(content, name)}."
            )
    best = max(
        (row for row in first["simple_methods"].items() if row[0] != "whole_organ"),
        key=lambda item: item[1]["dice"]["mean"],
        default=None,
    )
    if best and volumes:
        gap = best[1]["difference"]
        side = "higher" if gap["mean"] >= 0 else "lower"
        lines.append(
            f"The best of {count(len(first['simple_methods']), 'method')} without a network, picked with the "
            f"masks, reaches {number(best[1]['dice']['mean'])} ({spaced(best[0])}); the "
            f"networks' Dice is {abs(gap['mean']):.2f} {side}"
            f"{_in_brackets(gap, lambda value: f'{value:+.2f}')}."
        )
    return lines


def _dice_line(content: dict) -> str:
    """Say what the out-of-fold Dice is."""
    first, repeats = content["repeats"][0], len(content["repeats"])
    if first["dice_volume"]["mean"] is None:
        value = first["dice_slice"]
        if value["mean"] is None:
            return "No Dice: no patient of the data has a mask with a lesion."
        return (
            f"Dice per outlined slice, out of fold: {number(value['mean'], 3)}{_in_brackets(value)} over "
            f"{count(value['slices'], 'slice')}; no patient is fully outlined"
            f"{_spread(content, 'dice_slice')}."
        )
    mean = content["mean_dice"]
    if mean["mean"] is None:
        mean = first["dice_volume"]
    text = (
        f"Dice per patient, out of fold: {number(mean['mean'], 3)}{_in_brackets(mean)} over "
        f"{count(mean['patients'], 'patient')} with a lesion"
    )
    text += f", mean of {repeats} repeats" if repeats > 1 else ""
    text += _spread(content, "dice_volume") + "."
    return text + (
        " It does not mark the lesion: that is hardly any overlap." if mean["mean"] < FLOOR else ""
    )


def _in_brackets(value: dict, form=number) -> str:
    """Return " (0.70 to 0.80)", or nothing without an interval."""
    text = within(value, form)
    return f" ({text})" if text else ""


def _spread(content: dict, name: str) -> str:
    """Return the spread over the repeats, or nothing for a single one."""
    row = content["over_repeats"].get(name)
    if row is None or row["sd"] is None:
        return ""
    return (
        f"; over {len(content['repeats'])} repeats {row['mean']:.3f} ± {row['sd']:.3f} "
        f"({row['lowest']:.3f} to {row['highest']:.3f})"
    )


def render(planned: FoldPlan, results: list[FoldResult], content: dict, folder: StudyFolder) -> str:
    """Return the page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(
            [Path(__file__).parent / "templates", Path(__file__).parents[1] / "templates", TEMPLATES]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "within": within}
    unfinished = [
        (member.run.title, folder.state(member.run))
        for member in planned.members
        if not folder.evaluated(member.trial, "test")
    ]
    volumes = any(row["dice_volume"]["mean"] is not None for row in content["repeats"])
    key = "dice_volume" if volumes else "dice_slice"
    reports = [result.folder.relative_to(folder.path).as_posix() + "/report.html" for result in results]
    data: dict = results[0].metrics["data"] if results else {"simulated": False, "root": ""}
    return environment.get_template("folds.html.j2").render(
        content=content,
        headline=headline(content),
        unfinished=unfinished,
        key=key,
        what="Dice per patient with a lesion" if volumes else "Dice per outlined slice",
        folds=list(zip(content["folds"], reports)),
        further=[
            (NAMES[name], [row[name] for row in content["repeats"]], content["over_repeats"].get(name))
            for name in PLAIN
            if any(row[name]["mean"] is not None for row in content["repeats"])
        ],
        bar=charts.interval_bar,
        simulated=data["simulated"],
        data=data_name(data),
    )
