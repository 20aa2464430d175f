"""The weights that a run starts from (`fit --init`): of a zoo entry or a run, with what was different when
they were trained.
"""

import hashlib

from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.zoo.resolve import open_model


def initial_weights(model: str, recipe: Recipe, reporter: Reporter):
    """A function that gives a RunFolder the weights of `model`; says what `recipe` has otherwise than they
    were trained with.

    Args:
        model: a zoo entry's name or folder, or a run folder.

    Raises:
        ZooError, RunError: there is no such model, or it is damaged.
    """
    found = open_model(model, reporter)
    theirs = load_recipe(str(found.recipe))
    for key, before, now in _told_apart(theirs, recipe):
        if before != now:
            reporter.line(
                f"Note: the weights of {model} were trained with {key} {before}; this recipe has {now}."
            )
    digest = hashlib.sha256(found.model.read_bytes()).hexdigest()
    origin = {"from": model, "folder": str(found.path), "recipe": theirs.name, "sha256": digest}
    return lambda run: run.begin_with(found.model, origin)


def _told_apart(theirs: Recipe, recipe: Recipe) -> list[tuple]:
    """(key, value of their recipe, value of this one) of what weights depend on."""
    pairs = [
        ("modality", theirs.modality, recipe.modality),
        ("organ.method", theirs.organ.method, recipe.organ.method),
        (
            "classes",
            *(", ".join(one.name for one in each.classes or ()) or "null" for each in (theirs, recipe)),
        ),
    ]
    return pairs + [
        (f"data.{key}", getattr(theirs.data, key), getattr(recipe.data, key))
        for key in ("normalization", "side")
    ]
