"""Decide which lesion classes of a recipe a slice shows, by the manifest's labels and its column markers."""

from pathlib import Path

import numpy as np

from clamnet_tf.datasets.manifest import Manifest, nearest
from clamnet_tf.datasets.problems import listed
from clamnet_tf.errors import DataError
from clamnet_tf.recipe.classes import UNNAMED


def class_account(manifest: Manifest, names) -> list[str]:
    """Return lines that say how often each of the recipe's classes `names` occurs, and which images are left
    out.

    There are no lines for a single class without a name. An abnormal image (label 1 or above) that names none
    of the classes shows something else, or its kind is not known. It is left out of training and of the
    metrics by label, and the lines say how many such images there are.

    Args:
        manifest: the cases.
        names: names of the recipe's lesion classes, in its order.

    Raises:
        DataError: the manifest has names that the recipe does not have; the message lists all of them.
    """
    if UNNAMED in names:
        return []
    unknown: dict[str, list[Path]] = {}
    for case in manifest.cases:
        for name in case.markers:
            if name not in names:
                unknown.setdefault(name, []).append(case.image)
    problems = [
        f"{name!r} of {len(images)} image(s), first {images[0]}{nearest(name, names)}"
        for name, images in unknown.items()
    ]
    if problems:
        raise DataError(
            f"{manifest.root}: the column markers holds names that the recipe does not have (its classes: "
            f"{', '.join(names)}):\n{listed(problems)}\n"
            "Correct the names; leave the cell empty for an image that shows something else."
        )
    several = sum(len(case.markers) > 1 for case in manifest.cases)
    other = sum(bool(case.label) and not case.markers for case in manifest.cases)
    counts = ", ".join(f"{name} {sum(name in case.markers for case in manifest.cases)}" for name in names)
    lines = [f"Lesion classes: {counts}" + (f", several at once {several}." if several else ".")]
    if any(line.startswith("Lesion classes: ") for line in manifest.account):  # counted at recognition
        lines = [f"Several lesion classes at once: {several} images."] if several else []
    if other:
        lines.append(
            f"Left out of training and of metrics by label: {other} abnormal images that name none of these "
            f"classes."
        )
    return lines


def shown_classes(labels: np.ndarray, markers: np.ndarray, names) -> np.ndarray:
    """Return which of the lesion classes `names` each slice shows.

    Args:
        labels: (N,) int, 0 normal, 1.. abnormal, -1 unknown; a class without a name is shown where the label
            is above 0.
        markers: (N,) text, the column markers of a SliceTable, names joined by +.
        names: names of the M lesion classes.

    Returns:
        (N, M) bool, in the order of `names`.
    """
    class_sets = [set(text.split("+")) for text in markers.tolist()]
    columns = [
        np.asarray(labels) > 0
        if name == UNNAMED
        else np.array([name in classes for classes in class_sets], bool)
        for name in names
    ]
    return np.stack(columns, axis=1)
