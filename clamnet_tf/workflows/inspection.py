"""Find the reasons for which `fit` would refuse a data folder, for `data inspect --recipe`."""

from pathlib import Path
from typing import Literal

import numpy as np

from clamnet_tf.datasets.classes import class_account
from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.errors import UserInputError
from clamnet_tf.preprocessing.cache import Prepared
from clamnet_tf.preprocessing.mask_access import open_masks
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.classes import class_names
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.training.trainable import check_trainable
from clamnet_tf.workflows.dataset import prepare_split


def training_problems(
    recipe: Recipe, manifest: Manifest, cache: str | Path | None, reporter: Reporter
) -> list[str]:
    """Prepare the slices like `fit`, which finds them again, and return its reasons to refuse them, if any.

    Args:
        recipe: The recipe.
        manifest: Manifest with every case's split set.
        cache: Folder of prepared slices; None: the default one.
        reporter: Reporter for progress.
    """
    try:
        for line in class_account(manifest, class_names(recipe)):
            reporter.line(line)
        prepared = prepare_split(recipe, manifest, cache, reporter)
        check_trainable(recipe, manifest, prepared)
        _check_masks(recipe, manifest, prepared)
    except UserInputError as error:
        return [str(error)]
    return []


def _check_masks(recipe: Recipe, manifest: Manifest, prepared: Prepared) -> None:
    """Open the masks that `fit` opens: of the test side to evaluate and, if needed, of the training side to
    train.
    """
    table, classes = prepared.table, len(class_names(recipe))
    to_open: list[tuple[str, Literal["evaluation", "supervision"]]] = [("test", "evaluation")]
    if recipe.training.supervision != "labels":
        to_open.append(("train", "supervision"))
    for side, purpose in to_open:
        rows = np.flatnonzero(table.split == side)
        for volume in np.unique(table.volume[rows]):
            volume_rows = rows[table.volume[rows] == volume]
            open_masks(manifest, prepared, volume_rows, purpose=purpose, grid="original", classes=classes)
