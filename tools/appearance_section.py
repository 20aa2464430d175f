"""Write the table of docs/how-to/predict.md on images unlike those that taught."""

import csv
from pathlib import Path

WAYS = ("as it is", "upside down", "turned by 90 degrees", "inverted")
NOTES = ("unlike", "upside_down", "on_side", "inverted")
NAMES = {  # of manifests, as they were given to tools/measure-appearance
    "pneu": "chest X-rays of adults, other hospitals (cxr_covid)",
    "kermany": "chest X-rays of children (Kermany)",
    "cxr_covid": "chest X-rays of adults (cxr_covid)",
    "fracatlas": "X-rays of limbs (FracAtlas)",
    "mias": "mammograms (MIAS)",
    "chest_ct": "chest CT",
    "ct_ich": "head CT (CT-ICH)",
    "lidc": "patches of lung CT (LIDC)",
    "kaggle_3m": "brain MRI (LGG)",
    "built-in cohort": "built-in cohort (simulated)",
}


def appearance_section(path: Path) -> str:
    """Return how often images get a note, by model, data and how the images are stored, as a section.

    Args:
        path: appearance.csv as tools/measure-appearance writes it. Without the file there is no table.
    """
    if not path.exists():
        return ""
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    found: dict[tuple[str, str], dict[str, dict]] = {}
    for row in rows:
        found.setdefault((row["model"], row["data"]), {})[row["stored"]] = row
    lines = []
    for (model, data), ways in found.items():
        name = data.removesuffix(", held out")
        title = NAMES.get(name, name) + (", held out" if name != data else "")
        shown = WAYS if name != data else WAYS[:1]  # how images of another kind lie does not matter
        shares = [100 * sum(float(ways[way][note]) for note in NOTES) for way in shown]
        cells = [f"`{model}`", title, ways[WAYS[0]]["volumes"], *(f"{share:.0f} %" for share in shares)]
        cells += [""] * (len(WAYS) - len(shown))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [
            "| Model | Images | Number | noted as they are | upside down | lying on their side | inverted |",
            "|" + "---|" * 7,
            *lines,
            "",
            "Share of images that get a note, of whatever kind. Of held-out images of the model's own data, "
            "notes on images as they are were false alarms (children taught `xray_pneumonia`, and adults of "
            "other hospitals are held out).",
            "Written by `tools/readme-figures` from `recipes/results/appearance.csv` "
            "(`tools/measure-appearance`).",
            "",
        ]
    )
