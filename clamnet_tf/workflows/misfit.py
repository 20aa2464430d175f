"""Notice images that a recipe is not for, and point to `clamnet-tf init`."""

import shlex

import numpy as np

from clamnet_tf.errors import UnfitImages
from clamnet_tf.preprocessing.cache import Prepared
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.workflows.dataset import Source


def advice(source: Source) -> str:
    """Return the sentence that points to `clamnet-tf init`."""
    command = shlex.join(["clamnet-tf", "init", str(source.data)])
    return f"A recipe that fits these images: {command}"


def pointing_to_init(error: UnfitImages, source: Source) -> UnfitImages:
    """Return the error with the advice to have a recipe suggested, where the images are the user's own."""
    return error if source.data is None else UnfitImages(f"{error}\n{advice(source)}")


def misfit_lines(recipe: Recipe, prepared: Prepared, source: Source) -> list[str]:
    """Return warnings on prepared slices that do not look like those that the recipe is for.

    Args:
        recipe: The recipe.
        prepared: Prepared slices, some or all.
        source: Where the images are; of the built-in cohort only labels of studies are spoken of.
    """
    table, lines, count = prepared.table, [], len(prepared.table)
    taught_by_study = bool((table.by_study & (table.split == "train")).any())
    if taught_by_study and recipe.self_training.teacher != "normal_atlas":
        lines.append(
            "ATTENTION: labels of studies teach, and self_training.teacher is "
            f"{recipe.self_training.teacher}: on simulated chest CT that lost most of the Dice of labels of "
            "slices (0.20 instead of 0.73; recipes/EXPERIMENTS.md SL11). With normal_atlas as the teacher "
            "(recipe ct_trauma) nothing was lost (SL8 to SL10)."
        )
    if source.data is None or not count:
        return lines
    if 2 * prepared.fallback >= count:
        lines.append(
            f"ATTENTION: organ.method {recipe.organ.method} finds nothing plausible in {prepared.fallback} "
            f"of {count} slices: are they of the body region of recipe {recipe.name}? {advice(source)}"
        )
    single = np.bincount(prepared.table.volume).max() == 1
    if recipe.learns_from_pairs and recipe.pairs.matching.on == "position" and single:
        lines.append(
            "ATTENTION: pairs.matching.on is position, and these are single images without a position in a "
            f"volume, so that partners are drawn at random. {advice(source)}"
        )
    return lines
