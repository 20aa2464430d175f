"""List what keeps labelled slices from being trained on.

`fit` refuses with these functions, `data inspect` warns with them.
"""

from pathlib import Path

import numpy as np

from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.datasets.split import split_manifest
from clamnet_tf.errors import DataError
from clamnet_tf.recipe.schema_data import SplitSection


def split_problems(
    manifest: Manifest,
    section: SplitSection | None = None,
    split_file: Path | None = None,
    *,
    both_classes: bool = True,
) -> tuple[Manifest | None, list[str]]:
    """Return (the manifest with a side for every case, []), or (None, why `split_manifest` refuses it)."""
    try:
        split = split_manifest(manifest, section or SplitSection(), split_file, both_classes=both_classes)
        check_test_side(split)
    except DataError as error:
        return None, [str(error)]
    return split, []


def check_test_side(manifest: Manifest) -> None:
    """Raise DataError when no patient is held out, since a training ends with metrics of the test side."""
    if not any(case.split == "test" for case in manifest.cases):
        raise DataError(
            f"{manifest.root}: no patient is on the side test, on which the metrics of a run are measured; "
            "give some of the patients that side (--split-file, or data.split.test above 0)."
        )


def lacking_slices(
    label, split, usable, *, shown=None, names=(), pairs: bool = False, advice: str = ""
) -> list[str]:
    """Return why the usable slices do not suffice, one message per reason.

    Args:
        label: (N,) int, 0 normal, 1.. abnormal.
        split: (N,) text.
        usable: (N,) bool, slices that show enough of the organ.
        shown: (N, M) bool, which of the lesion classes `names` a slice shows; None: not checked.
        names: the M lesion classes of the recipe.
        pairs: whether abnormal slices are trained in pairs with normal ones.
        advice: text added to the advice of a message.
    """
    label, split, usable = np.asarray(label), np.asarray(split), np.asarray(usable, bool)
    train, validation = (usable & (split == side) for side in ("train", "val"))
    abnormal = train & (label > 0)
    problems = [
        f"There are no {name} that show enough of the organ. Check labels, split and"
        f" data.minimum_organ_fraction{advice}."
        for name, rows in (("abnormal training slices", abnormal), ("validation slices", validation))
        if not rows.any()
    ]
    missing = (
        [] if shown is None else [name for name, rows in zip(names, shown[abnormal].T) if not rows.any()]
    )
    if missing and abnormal.any():
        problems.append(
            f"No training slice shows {' or '.join(missing)}, which is one of the recipe's lesion classes."
            " Name it in the manifest's column markers, check the split, or take it out of the recipe."
        )
    if (
        pairs
        and abnormal.any()
        and (problem := without_pairs(int(abnormal.sum()), int((train & (label == 0)).sum())))
    ):
        problems.append(problem)
    return problems


def without_pairs(abnormal: int, normal: int) -> str | None:
    """Return why no pairs can be made of so many abnormal and normal training slices; None when they can be
    made.
    """
    if abnormal and normal:
        return None
    return (
        f"training needs abnormal and normal slices; received {abnormal} abnormal and {normal} normal. "
        "Check the labels, and data.minimum_organ_fraction, which drops blank slices."
    )
