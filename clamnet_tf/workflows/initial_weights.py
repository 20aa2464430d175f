"""Take the weights that a run starts from (`fit --init`) from a zoo entry or a run."""

import hashlib

from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.zoo.resolve import open_model


def initial_weights(model: str, recipe: Recipe, reporter: Reporter):
    """Return a function that gives a RunFolder the weights of a model.

    It also reports in what `recipe` differs from the recipe of these weights.

    Args:
        model: Name or folder of a zoo entry, or a run folder.
        recipe: Recipe of the new run.
        reporter: Reporter for the differences.

    Raises:
        ZooError, RunError: There is no such model, or it is damaged.
    """
    run_folder = open_model(model, reporter)
    trained_recipe = load_recipe(str(run_folder.recipe))
    for key, before, now in _differences(trained_recipe, recipe):
        if before != now:
            reporter.line(
                f"Note: the weights of {model} were trained with {key} {before}; this recipe has {now}."
            )
    digest = hashlib.sha256(run_folder.model.read_bytes()).hexdigest()
    origin = {"from": model, "folder": str(run_folder.path), "recipe": trained_recipe.name, "sha256": digest}
    return lambda run: run.begin_with(run_folder.model, origin)


def _differences(trained_recipe: Recipe, recipe: Recipe) -> list[tuple]:
    """Return (key, value of the trained recipe, value of this one) for every key that weights depend on."""
    pairs = [
        ("modality", trained_recipe.modality, recipe.modality),
        ("organ.method", trained_recipe.organ.method, recipe.organ.method),
        (
            "classes",
            *(
                ", ".join(lesion_class.name for lesion_class in some_recipe.classes or ()) or "null"
                for some_recipe in (trained_recipe, recipe)
            ),
        ),
    ]
    return pairs + [
        (f"data.{key}", getattr(trained_recipe.data, key), getattr(recipe.data, key))
        for key in ("normalization", "side")
    ]
