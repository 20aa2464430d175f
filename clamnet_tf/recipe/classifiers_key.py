"""Tell which recipes train equal image classifiers, whatever follows them."""

import hashlib
import json

from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.recipe.writer import resolve

_LATER = ("name", "description", "network", "twin", "pairs", "loss", "selection", "inference")
_LATER_IN_TRAINING = ("supervision", "masked_patients", "masked_share", "steps", "batch_size", "optimizer")


def what_decides_classifiers(recipe: Recipe) -> dict | None:
    """Return the part of a recipe that the trained classifiers of an attribution depend on.

    Everything is part of it but what is known to act later only, so that a new key keeps runs apart. With
    erasure, the classifiers learn from their own attribution, and the whole section counts.

    Args:
        recipe: the recipe.

    Returns:
        Plain values, or None when the recipe trains no classifiers.
    """
    if recipe.self_training.teacher != "attribution" or recipe.attribution is None:
        return None
    content = resolve(recipe).model_dump(mode="json")
    kept = {key: value for key, value in content.items() if key not in _LATER}
    kept["self_training"] = {"teacher": "attribution"}
    kept["training"] = {
        key: value for key, value in content["training"].items() if key not in _LATER_IN_TRAINING
    }
    if not recipe.attribution.classifier.erasure.weight:
        kept["attribution"] = {"classifier": content["attribution"]["classifier"]}
    return kept


def key_of_classifiers(recipe: Recipe, data: str) -> str:
    """Return the sha256 (64 hexadecimal digits) of everything that decides the trained classifiers; "" when
    the recipe trains none.

    Args:
        recipe: the recipe.
        data: identity of the prepared slices, the training rows and their labels.
    """
    content = what_decides_classifiers(recipe)
    if content is None:
        return ""
    return hashlib.sha256(json.dumps([content, data], sort_keys=True).encode()).hexdigest()
