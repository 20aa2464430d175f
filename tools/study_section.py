"""Write the tables of docs/explanation/results.md from the studies that compare ways of learning."""

import csv
from pathlib import Path

from clamnet_tf.study.wording import READINGS

STUDIES = {
    "study_mri": "Glioma in brain MRI",
    "study_nodule": "Nodules in chest CT",
    "study_chest_ct": "Pneumonia in chest CT",
    "study_fractures": "Fractures in X-rays",
}
"""Name of a shipped study -> title of its table; recipes/results/NAME.csv is a copy of its summary.csv."""


def studies_section(folder: Path) -> str:
    """Return the tables of the studies whose summary.csv is in `folder`, as a section of a page; "" without
    any of them.

    Args:
        folder: has NAME.csv for the names of STUDIES.
    """
    parts = [
        f"### {title}\n\n{study_table(folder / f'{name}.csv')}"
        for name, title in STUDIES.items()
        if (folder / f"{name}.csv").exists()
    ]
    return "\n".join(["## Compared\n", *parts]) if parts else ""


def study_table(path: Path) -> str:
    """Return the essence of a study's summary.csv as a table with notes.

    It has all arms except the ablations, which are counted.

    Args:
        path: a copy of the summary.csv of `clamnet-tf study`.
    """
    with open(path, newline="", encoding="utf-8") as stream:
        arms = list(csv.DictReader(stream))
    measured = [arm for arm in arms if arm["dice"]]
    reference = next(arm for arm in measured if arm["verdict"] == "reference")
    head = (
        "| Arm | Dice per patient with a lesion (95 % interval) | from seed to seed | difference to the "
        "reference | reading | of the supervised | HD95 | slice AUROC | pointing | marked on normals | "
        "steps × slices |"
    )
    lines = [head, "|" + "---|" * 11, *(study_row(arm) for arm in measured if arm["group"] != "ablations")]
    lacking = [arm["title"].split(":")[0] for arm in arms if arm["state"] != "done" and not arm["dice"]]
    fewer = any(arm["state"] != "done" and arm["dice"] for arm in arms)
    shared = any("on the seeds that both have" in arm.get("message", "") for arm in arms)
    notes = [
        f"{reference['patients']} held-out patients with a lesion, "
        f"{'one seed' if reference['seeds'] == '1' else reference['seeds'] + ' seeds'}. Per patient "
        f"the seeds are averaged; intervals are bootstrapped over patients, "
        "differences paired by patient and tested by sign flips, corrected after Holm over all arms of the "
        "study.",
        ablations([arm for arm in measured if arm["group"] == "ablations"]),
        "Where fewer seeds have been trained so far the column of the seeds says so." if fewer else "",
        "Differences and shares are those on the seeds that both arms have." if shared else "",
        "Pointing in brackets: in or within 8 of 224 pixels of a lesion."
        if any(arm.get("pointing_near") for arm in arms)
        else "",
        f"Not trained yet: {'; '.join(lacking)}." if lacking else "",
        *(control(arm) for arm in measured if arm["kind"] == "control"),
    ]
    return "\n".join(
        [
            *lines,
            "",
            " ".join(note for note in notes if note),
            f"Written by `tools/readme-figures` from `recipes/results/{path.name}`.",
            "",
        ]
    )


def study_row(arm: dict) -> str:
    """Return one line of the study's table."""

    def within(name, form="{:.2f}"):
        if not arm[name]:
            return ""
        mean, low, high = (
            arm[key] and form.format(float(arm[key])) for key in (name, f"{name}_low", f"{name}_high")
        )
        return f"{mean} ({low} to {high})" if low else mean

    def plain(name, form="{:.2f}", factor=1):
        return form.format(factor * float(arm[name])) if arm[name] else ""

    distance = plain("hd95_mm", "{:.0f} mm") or plain("hd95_px", "{:.0f} px")
    trained = int(arm["seeds"]) if arm["steps"] and arm["seed_lowest"] else 0
    seeds = f" ({arm['seeds']} so far)" if arm["state"] != "done" else ""
    cells = [
        arm["title"].split(":")[0],
        within("dice"),
        f"{plain('seed_lowest')} to {plain('seed_highest')}{seeds}"
        if trained > 1
        else "one seed"
        if trained
        else "",
        within("difference", "{:+.2f}").replace("-", "−"),
        READINGS[arm["verdict"]],
        within("ratio"),
        distance,
        plain("auroc_slice"),
        plain("pointing_game") + (f" ({plain('pointing_near')})" if arm.get("pointing_near") else ""),
        plain("normal_area", "{:.1f} %", 100),
        f"{int(arm['steps']):,} × {arm['batch_size']}" if arm["steps"] else "",
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def control(arm: dict) -> str:
    """Say whether a control fell to the level of a run that learned nothing; "" when it is not known."""
    if not arm.get("to_floor_low"):
        return ""
    title = arm["title"].split(":")[0]
    if float(arm["to_floor_low"]) <= 0:
        return f"The control fell, as it must ({title})."
    above, low, high = (float(arm[f"to_floor{end}"]) for end in ("", "_low", "_high"))
    return (
        f"**The control did not fall** ({title}): Dice {float(arm['dice']):.2f}, {above:.2f} ({low:.2f} to "
        f"{high:.2f}) above the level of a run that learned nothing. So much of the Dice does not come from "
        "the labels; read the other arms with that in mind."
    )


def ablations(arms: list) -> str:
    """Say how many single changes made a difference, and name those that did."""
    if not arms:
        return ""
    named = {
        verdict: [arm["title"].split(":")[0] for arm in arms if arm["verdict"] == verdict]
        for verdict in ("better", "worse")
    }
    said = [f"{len(found)} {verdict} ({'; '.join(found)})" for verdict, found in named.items() if found]
    return (
        f"Of {len(arms)} single changes: "
        f"{', '.join([*said, f'no difference shown for {len(arms) - sum(map(len, named.values()))}'])}."
    )
