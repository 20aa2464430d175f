"""Write the YAML header of an entry's card, from which the Hugging Face Hub takes licence, tags and metrics.

The keys are those of the Hub's model cards; the metrics are a model-index, whose rows have no field for an
interval, so that it is part of each metric's name.
"""

import re
from pathlib import Path

import yaml

from clamnet_tf.errors import ZooError
from clamnet_tf.files import write_text
from clamnet_tf.recipe.writer import yaml_text
from clamnet_tf.zoo.card_metrics import is_separate, within
from clamnet_tf.zoo.entry import CARD_FILE, Entry, Figure
from clamnet_tf.zoo.read import read_entry

LIBRARY = "clamnet-tf"
TASK = "image-segmentation"  # pipeline_tag, and the task of the model-index
#: Licences that the Hub knows by an identifier and that weights or data have; all others are "other" there.
HUB_LICENCES = frozenset(
    "apache-2.0 mit bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear isc unlicense openrail mpl-2.0 gpl-2.0 "
    "gpl-3.0 lgpl-2.1 lgpl-3.0 agpl-3.0 cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 "
    "cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 "
    "cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 odc-by odbl pddl".split()
)
_DIGITS = 4  # of a metric's value; the name has the two of the card's table
_LONGEST_NAME = 60  # characters of license_name
_FENCE = "---\n"


def card_header(entry: Entry) -> str:
    """Return the YAML header of an entry's card, between two lines of three hyphens."""
    return f"{_FENCE}{yaml_text(header_content(entry))}{_FENCE}"


def with_header(text: str, entry: Entry) -> str:
    """Return the card `text` with the entry's header, in place of a header that it may have.

    What stands below the header stays as it is; keys that were added to the header by hand stay behind those
    of the entry.
    """
    old, body = split_header(text)
    own = header_content(entry)
    owned = {*own, "license_name"}
    added = {key: value for key, value in old.items() if key not in owned}
    return f"{_FENCE}{yaml_text(own | added)}{_FENCE}\n{body.lstrip(chr(10))}"


def renew_header(folder) -> bool:
    """Write the header of the card in an entry's folder, and return whether that changed the file.

    Raises:
        ZooError: The folder is no entry, or its card is missing or has a header that cannot be read.
    """
    entry, path = read_entry(folder), Path(folder) / CARD_FILE
    if not path.is_file():
        raise ZooError(f"{path}: missing. clamnet-tf zoo publish writes the card.")
    with open(path, encoding="utf-8", newline="") as stream:
        text = stream.read()
    new = with_header(text, entry)
    if new != text:
        write_text(path, new)
    return new != text


def split_header(text: str) -> tuple[dict, str]:
    """Return the content of a card's YAML header ({} without one) and the text below it.

    Raises:
        ZooError: The card begins with a header that is not closed or not a YAML mapping.
    """
    if not text.startswith(_FENCE):
        return {}, text
    header, fence, body = text[len(_FENCE) :].partition(f"\n{_FENCE}")
    try:
        content = yaml.safe_load(header) if fence else None
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict):
        raise ZooError(
            "README.md: expected a YAML mapping between two lines ---; received a header that cannot be read."
            " Mend it, or remove it and run clamnet-tf zoo card FOLDER."
        )
    return content, body


def wrong_keys(text: str, entry: Entry) -> list[str]:
    """Return the keys of a card's header that do not say what the entry says; none for a card without a
    header, as versions before November 2026 wrote them.
    """
    old, _ = split_header(text)
    return [key for key, value in header_content(entry).items() if old.get(key) != value] if old else []


def header_content(entry: Entry) -> dict:
    """Return the keys and values of the header, in their order."""
    figures = entry_metrics(entry)
    return {
        "library_name": LIBRARY,
        "pipeline_tag": TASK,
        **licence_keys(entry.weights.licence),
        "tags": _tags(entry),
        "metrics": list(dict.fromkeys(row["type"] for row in figures)),
        "model-index": [
            {
                "name": entry.name,
                "results": [
                    {
                        "task": {"type": TASK, "name": f"{_aim(entry)} segmentation"},
                        "dataset": _dataset(entry),
                        "metrics": figures,
                    }
                ],
            }
        ],
    }


def licence_keys(licence: str) -> dict:
    """Return the header's keys for the text of a licence.

    Args:
        licence: Licence of the weights in words.

    Returns:
        {"license": identifier} when the text is, or begins with, a licence that the Hub knows and goes on
        with a new clause or sentence; else {"license": "other", "license_name": its first words}.
    """
    first = re.split(r"[,;:(\n]|\.(?:\s|$)", licence.strip(), maxsplit=1)[0].strip()
    name = re.sub(r"\s+(licence|license)$", "", first, flags=re.IGNORECASE)
    identifier = re.sub(r"[\s-]+", "-", name.lower())
    identifier = {"cc0": "cc0-1.0"}.get(identifier, identifier)
    if identifier in HUB_LICENCES:
        return {"license": identifier}
    words = re.sub(r"[^a-z0-9.]+", "-", first.lower()).strip("-.")
    return {"license": "other", "license_name": words[:_LONGEST_NAME].rstrip("-.") or "as-the-card-says"}


def entry_metrics(entry: Entry) -> list[dict]:
    """Return the metrics of the model-index: type, value and name, in which the interval stands.

    With several lesion classes the metrics of all together come first, then the Dice of each.
    """
    metrics = entry.metrics
    outlined, unmarked = metrics.outlined_slices, metrics.patients_without_lesion
    rows = [
        ("dice", _per_patient(entry), metrics.dice_volume),
        ("dice", f"Dice per slice with a lesion, {outlined} slices", metrics.dice_slice),
        ("roc_auc", "AUROC of slices", metrics.auroc_slice),
        ("roc_auc", "AUROC of patients", metrics.auroc_patient),
        ("pointing_game", "Pixel of highest probability inside the lesion", metrics.pointing_game),
        ("recall", f"Share of {metrics.lesions} lesions found", metrics.lesion_recall),
        ("f1", "F1 of lesions", metrics.lesion_f1),
        ("cpm", "Lesions found, mean over 1/8 to 8 false marks per image", metrics.lesion_cpm),
        ("marked_area", "Marked area on normal slices, % of the organ", _percent(metrics.normal_area)),
        ("specificity", f"{unmarked} patients without a lesion left unmarked", metrics.specificity_patient),
    ]
    for section in entry.markers or ():
        own = section.metrics
        counted = f"{own.patients_with_lesion} patients" if is_separate(entry) else f"{own.patients} patients"
        rows += [
            ("dice", f"Dice per patient, {section.name}, {counted}", own.dice_volume),
            ("roc_auc", f"AUROC of slices, {section.name}", own.auroc_slice),
        ]
    return [
        {"type": kind, "value": round(figure.value, _DIGITS), "name": _named(title, figure)}
        for kind, title, figure in rows
        if figure is not None
    ]


def _percent(share: Figure | None) -> Figure | None:
    """Return a share as per cent."""
    if share is None:
        return None
    ends = {key: None if end is None else 100 * end for key, end in share}
    return share.model_copy(update=ends)


def _per_patient(entry: Entry) -> str:
    """Name the Dice of volumes: whom it counts depends on when it was measured."""
    if is_separate(entry):
        return f"Dice per patient with a lesion, {entry.metrics.patients_with_lesion} patients"
    return f"Dice per patient volume, measured before November 2026, {entry.metrics.patients} patients"


def _named(title: str, figure: Figure) -> str:
    """Return the name of a metric with its value and interval, as the card's table formats them."""
    return f"{title}: {within(figure)}" if figure.low is not None else title


def _dataset(entry: Entry) -> dict:
    """Return the data that the metrics were measured on."""
    metrics = entry.metrics
    words = "simulated patients" if metrics.simulated else "patients"
    measured = f"{metrics.patients} {words}, {metrics.slices} slices; intervals: {metrics.interval}"
    return {
        "type": re.sub(r"[^A-Za-z0-9._]+", "-", metrics.data).strip("-") or "unnamed",
        "name": f"{metrics.data} ({measured})",
        **({"split": metrics.split} if metrics.split else {}),
    }


def _tags(entry: Entry) -> list[str]:
    """Return the tags: format, field, modality, condition, and how it was taught where the entry says so."""
    by_labels = (entry.taught_by or "").startswith(("image labels", "labels of whole studies"))
    return [
        "keras",
        *(["onnx"] if entry.weights.onnx else []),
        "medical-imaging",
        entry.modality,
        entry.condition.replace(" ", "-"),
        f"{_aim(entry).lower()}-segmentation",
        *(["weakly-supervised"] if by_labels else []),
    ]


def _aim(entry: Entry) -> str:
    """Return what is segmented."""
    return "Organ" if entry.kind == "organ" else "Lesion"
