"""Describe the model that makes the marks, for DICOM segmentations and pages."""

import datetime
import hashlib
import json

from clamnet_tf import __version__
from clamnet_tf.prediction.dicom_seg import Algorithm
from clamnet_tf.recipe.classes import named


def algorithm_of(trained, recipe, model: dict[str, str]) -> Algorithm:
    """Describe the model, for DICOM segmentations.

    Args:
        trained: inference.trained_model.Trained.
        recipe: Recipe of the model.
        model: fingerprint.fingerprint of the run; "model" is the sha256 of the network.
    """
    settings = hashlib.sha256(json.dumps(sorted(model.items())).encode()).hexdigest()
    return Algorithm(
        recipe.name,
        recipe.condition,
        model["model"],
        trained.marking.threshold,
        named(trained.classes),
        settings,
    )


def facts_of(trained, recipe, algorithm: Algorithm, about=()) -> dict[str, str]:
    """Return what a page says about how it was made.

    Args:
        trained: inference.trained_model.Trained.
        recipe: Recipe of the model.
        algorithm: What made the marks.
        about: (name, text) on the model.
    """
    own_cut = (
        "; each volume is then cut where the contrast across the border of its marks is highest"
        if recipe.inference.volume_threshold == "border_contrast"
        else ""
    )
    return {
        **dict(about),
        "Recipe": f"{recipe.name} ({recipe.modality.upper()}, {recipe.condition})",
        "Model": algorithm.model_sha256[:12],
        "Threshold": f"{trained.marking.threshold:.3f}, {trained.marking.rule}{own_cut}",
        "Program": f"clamnet-tf {__version__}",
        "Made": datetime.datetime.now().isoformat(sep=" ", timespec="minutes"),
    }
