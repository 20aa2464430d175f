"""Write the table of docs/how-to/masks.md from the studies of masks of a few patients."""

import csv
from pathlib import Path

STUDIES = {"study_masks_nodule": "Nodules (CT)", "study_masks": "Glioma (MRI)"}
"""Name of a shipped study -> title of its columns; recipes/results/NAME.csv is a copy of its summary.csv."""


def masks_section(folder: Path) -> str:
    """Return the Dice of every number of masked patients, of the studies in `folder`, as a section of a page.

    A row is a number of training patients whose masks taught. Of each study, one column has the arms in which
    the image labels of all other patients taught as well, one those in which nothing else did. Without any
    of the files there is no table.

    Args:
        folder: has the summary.csv of studies, named as the studies.
    """
    studies = {}
    for name in STUDIES:
        if (folder / f"{name}.csv").exists():
            with open(folder / f"{name}.csv", newline="", encoding="utf-8") as stream:
                studies[name] = {arm["name"]: arm for arm in csv.DictReader(stream) if arm["dice"]}
    if not studies:
        return ""
    found = {
        arm.split("_")[1]
        for arms in studies.values()
        for arm in arms
        if arm.startswith(("mixed_", "supervised_"))
    }
    numbers = ["0", *sorted(found - {"all"}, key=int), *(["all"] if "all" in found else [])]
    head, lines, notes = "| Masks of |", [], []
    for name, arms in studies.items():
        head += f" {STUDIES[name]}: beside all image labels | masks alone |"
        seeds = {int(arm["seeds"]) for arm in arms.values() if arm["seed_lowest"]}
        notes.append(f"{STUDIES[name]}: {arms['labels']['patients']} held-out patients, {_seeds(seeds)}.")
    for number in numbers:
        cells = [f"{number} patient{'' if number == '1' else 's'}"]
        for arms in studies.values():
            beside = "labels" if number == "0" else f"mixed_{number}"
            cells += [_dice(arms.get(beside)), _dice(arms.get(f"supervised_{number}"))]
        lines.append("| " + " | ".join(cells) + " |")
    notes.append(
        "Dice per patient with a lesion, 95 % intervals over patients. An empty cell was not measured."
    )
    written = ", ".join(f"`recipes/results/{name}.csv`" for name in studies)
    return "\n".join(
        [
            head,
            "|" + "---|" * (1 + 2 * len(studies)),
            *lines,
            "",
            " ".join(notes),
            f"Written by `tools/readme-figures` from {written}.",
            "",
        ]
    )


def _dice(arm: dict | None) -> str:
    """Return the Dice of an arm with its interval; "" without the arm."""
    return (
        f"{float(arm['dice']):.2f} ({float(arm['dice_low']):.2f} to {float(arm['dice_high']):.2f})"
        if arm
        else ""
    )


def _seeds(counts: set) -> str:
    """Say how many trainings stand behind a column."""
    low, high = min(counts), max(counts)
    if low < high:
        return f"{low} to {high} seeds"
    return "one seed" if low == 1 else f"{low} seeds"
