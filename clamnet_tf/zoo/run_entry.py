"""Make the Entry of a run from the run's own files and from the given texts."""

import hashlib
from pathlib import Path

from clamnet_tf.errors import ZooError
from clamnet_tf.networks.average import head_activation
from clamnet_tf.networks.evidence_maps import is_evidence_maps
from clamnet_tf.preprocessing.mask_table import TAUGHT, counts, read_uses
from clamnet_tf.recipe.objectives import OBJECTIVES
from clamnet_tf.reporting.wording import atlas_comparison, count, levels
from clamnet_tf.runs import RunFolder
from clamnet_tf.zoo.about import About
from clamnet_tf.zoo.classes import trained_eta
from clamnet_tf.zoo.entry import ENTRY_FILE, Entry
from clamnet_tf.zoo.measured import metrics_of
from clamnet_tf.zoo.read import entry_of

UNITS = {
    "mri": "those of the scanner; MR intensities have none, the normalisation takes them out.",
    "ct": "Hounsfield units (slope and intercept of the file applied).",
    "xray": "stored values of the detector or picture.",
}
SPACING = "any; a slice is scaled so that the organ's box fills it, and millimetres are not used."


def _units(recipe) -> str:
    """Return the unit of the pixels before normalisation, in words."""
    if recipe.modality == "ct" and recipe.data.window is None:
        return "values as the files give them, Hounsfield units or shades of a picture; no window is fixed."
    return UNITS[recipe.modality]


def _taught_by(recipe, run: RunFolder, selection: dict) -> str:
    """Say what taught the network where lesions are, and how many patients had masks that taught."""
    outlined = counts(read_uses(run.masks), TAUGHT)["patients"]
    of_patients = f" of {count(outlined, 'patient')}" if outlined else ""
    if recipe.training.supervision == "masks":
        return f"outlines{of_patients}, drawn by hand." if outlined else "outlines drawn by hand."
    objective = OBJECTIVES[recipe.loss.objective].label(recipe.loss, recipe.selection.prevalence)
    teacher = {
        "first_network": objective or "pairs of abnormal and normal slices",
        "normal_atlas": atlas_comparison(recipe.data.normal_atlas),
        "attribution": "image classifiers learn the labels; the regions they look at are outlined by the "
        "image's own intensities"
        if recipe.self_training.rounds
        else "image classifiers learn the labels; the places that they find telling are the result, and no "
        "network learns from them",
    }[recipe.self_training.teacher]
    if recipe.training.supervision == "mixed":
        return (
            f"outlines{of_patients}, drawn or corrected by hand, and image labels of the others: {teacher}."
        )
    labels = {
        "study": "labels of whole studies alone (which slices of an abnormal study show the lesion was "
        "estimated)",
        "slice and study": "image labels of some studies and labels of whole studies of others",
    }.get(levels(selection.get("labels") or {}), "image labels alone")
    return f"{labels}: {teacher}."


def _learning(run: RunFolder) -> list[str] | None:
    """Return the sentences of the run's learning.json; None for runs without it."""
    learning = run.read_learning()
    return None if learning is None else [" ".join(sentence.split()) for sentence in learning["sentences"]]


def entry_of_run(
    target: Path, kind, run: RunFolder, recipe, network, cut, selection, metrics, about: About, changelog
) -> Entry:
    """Make the entry of a run.

    Args:
        target: Folder of the entry; its last part is the entry's name.
        kind: "marker" or "organ".
        run: RunFolder of the run.
        recipe: Its recipe.
        network: Its Keras model.
        cut: Sections `threshold` (without head and rule) and `markers` of the entry.
        selection: Content of selection.json.
        metrics: Content of metrics.json.
        about: Texts of the entry.
        changelog: Changelog, newest version first.

    Raises:
        ZooError: The run does not record the versions it was trained with, or the entry breaks a rule.
    """
    environment, content = run.read_environment(), run.model.read_bytes()
    packages = environment.get("packages", {})
    tensorflow = packages.get("tensorflow") or packages.get("tensorflow-cpu")
    if not (tensorflow and packages.get("keras") and packages.get("clamnet-tf")):
        raise ZooError(
            f"{run.environment}: expected the versions of clamnet-tf, TensorFlow and Keras; received "
            f"{', '.join(packages) or 'none'}. Train the run again."
        )
    heads = sorted(network.output)
    classes = about.classes or ["background", *([row["name"] for row in cut["markers"]] or ["marker"])]
    return entry_of(
        {
            "name": target.name,
            "version": changelog[0]["version"],
            "kind": kind,
            "modality": recipe.modality,
            "condition": recipe.condition,
            "summary": about.summary,
            "recipe": "recipe.yaml",
            "weights": {
                "file": "model.keras",
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "licence": about.weights_licence,
            },
            "input": {
                "modality": recipe.modality,
                "channels": int(network.inputs[0].shape[3]),
                "channel_order": about.channel_order,
                "missing_channels": about.missing_channels,
                "units": _units(recipe),
                "spacing": SPACING,
                "window": recipe.data.window and recipe.data.window.model_dump(),
                "normalization": recipe.data.normalization,
                "side": recipe.data.side,
                "organ": recipe.organ.model_dump(mode="json"),
            },
            "output": {
                "heads": heads,
                "classes": classes,
                "activation": "linear" if is_evidence_maps(network) else head_activation(network, heads[0]),
            },
            "eta": trained_eta(recipe),
            "threshold": {
                "head": recipe.inference.head,
                **cut["threshold"],
                "rule": selection["threshold_rule"],
            },
            "metrics": metrics_of(metrics, recipe),
            "markers": cut["markers"] or None,
            "training_data": about.training_data.model_dump(),
            "taught_by": _taught_by(recipe, run, selection),
            "learning": _learning(run),
            "intended_use": about.intended_use,
            "limits": about.limits,
            "notes": about.notes,
            "made_with": {
                "clamnet_tf": packages["clamnet-tf"],
                "tensorflow": tensorflow,
                "keras": packages["keras"],
                "python": environment["python"],
                "commit": (environment.get("git") or {}).get("commit"),
                "machine": f"{environment['machine']}, {environment['processors']} processors",
                "training_seconds": selection["seconds"],
            },
            "changelog": changelog,
        },
        str(target / ENTRY_FILE),
    )
