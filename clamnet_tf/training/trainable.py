"""Refuse prepared slices that `fit` cannot train on; `data inspect --recipe` calls the same function."""

import numpy as np

from clamnet_tf.errors import DataError, UnfitImages
from clamnet_tf.preprocessing.trainable import check_test_side, without_pairs
from clamnet_tf.training.slices import TrainingSlices


def check_trainable(recipe, manifest, prepared) -> None:
    """Check that the recipe can be trained on these slices.

    Args:
        recipe: the recipe.
        manifest: the manifest whose cases have their split.
        prepared: its Prepared slices.

    Raises:
        DataError: it cannot.
    """
    check_test_side(manifest)
    slices = TrainingSlices.of(recipe, prepared)
    channels, main_channel = prepared.images.shape[3], recipe.pairs.augmentation.main_channel
    if main_channel is not None and 1 < channels <= main_channel:
        raise UnfitImages(
            f"pairs.augmentation.main_channel: expected 0 to {channels - 1}, or null, since these images have"
            f" {channels} channels; received {main_channel}."
        )
    attribution = recipe.attribution
    if attribution is not None and attribution.refinement.channel >= channels:
        expected = (
            f"expected 0 to {channels - 1}, since these images have {channels} "
            f"channel{'s' if channels > 1 else ''}"
        )
        raise DataError(
            f"attribution.refinement.channel: {expected}; received {attribution.refinement.channel}."
        )
    label = slices.table.label[slices.rows]
    _check_study_labels(recipe, slices)
    if recipe.training.supervision != "masks":
        if problem := without_pairs(int(np.sum(label > 0)), int(np.sum(label == 0))):
            raise DataError(problem)
        return
    cases = slices.table.case[slices.rows]
    if not any(manifest.cases[case].mask is not None or manifest.cases[case].label == 0 for case in cases):
        raise DataError(
            "training.supervision: masks needs masks of training slices; the manifest names none. Use"
            " supervision: labels."
        )


def _check_study_labels(recipe, slices: TrainingSlices) -> None:
    """Refuse labels of studies, which a manifest may hold, where the recipe learns labels of slices."""
    if recipe.training.supervision == "masks" or not slices.unsure.any():
        return
    unsure = slices.rows[slices.unsure.any(axis=1)]
    studies = f"{len(np.unique(slices.table.studies()[unsure]))} abnormal studies"
    if recipe.training.supervision == "mixed":
        raise DataError(
            f"training.supervision: expected labels or masks, since {studies} have labels of their own "
            "(column label_level), and mixed weighs slices by their own labels; received mixed."
        )
    if recipe.loss.objective != "hybrid":
        raise DataError(
            f"loss.objective: expected hybrid, which weighs the slices of a study by eta, since {studies} "
            f"have labels of their own (column label_level); received {recipe.loss.objective}."
        )
    if recipe.self_training.teacher in ("attribution", "auto"):
        raise DataError(
            f"self_training.teacher: expected first_network or normal_atlas, since {studies} have labels of "
            "their own (column label_level), and the classifiers of an attribution learn the label of each "
            f"slice; received {recipe.self_training.teacher}."
        )
