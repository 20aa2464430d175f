"""Find overridden settings that a recipe's training does not use."""

from clamnet_tf.recipe.schema import Recipe

_CLASSIFIERS = {
    "training.steps": "attribution.classifier.steps",
    "training.batch_size": "attribution.classifier.batch_size",
    "training.optimizer": "attribution.classifier.optimizer",
    "network": "attribution.classifier",
    "pairs": "attribution.classifier.augmentation and attribution.classifier.matching",
}
_STUDENT = {
    "training.steps": "self_training.steps",
    "network": "self_training.network",
    "pairs.matching": "self_training.matching",
}


def unused_settings(recipe: Recipe, overrides) -> list[str]:
    """Return a sentence for each override that changes nothing in this recipe's training.

    Args:
        recipe: The recipe, overrides applied.
        overrides: Texts KEY=VALUE, as given to --set.
    """
    unused = _unused(recipe)
    sentences = []
    for override in overrides:
        key = override.partition("=")[0].strip()
        found = next((start for start in unused if key == start or key.startswith(f"{start}.")), None)
        if found is not None:
            instead = f" Use {unused[found]}." if unused[found] else ""
            sentences.append(
                f"--set {override} changes nothing: with self_training.teacher "
                f"{recipe.self_training.teacher} and self_training.rounds {recipe.self_training.rounds}, "
                f"{found} is not used.{instead}"
            )
    return sentences


def _unused(recipe: Recipe) -> dict[str, str]:
    """Return {start of a key: what to set instead, or ""}."""
    teaching = recipe.self_training
    if teaching.teacher == "auto":  # which sections are used is decided later
        return {}
    unused: dict[str, str] = {}
    if teaching.teacher == "attribution" and not teaching.rounds:
        unused |= _CLASSIFIERS
        unused |= dict.fromkeys(("attribution.share", "attribution.refinement", "selection.checkpoint"), "")
    elif teaching.teacher != "first_network":
        unused |= _STUDENT
    if not teaching.rounds:
        unused |= {f"self_training.{key}": "" for key in ("steps", "network", "matching")}
    if teaching.teacher != "attribution":
        unused["attribution"] = ""
    return unused
