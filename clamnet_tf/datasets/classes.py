"""Which lesion classes of a recipe a slice shows, by the manifest's labels and its column markers."""

import numpy as np

from clamnet_tf.datasets.manifest import Manifest, listed, nearest
from clamnet_tf.errors import DataError
from clamnet_tf.recipe.classes import UNNAMED


def class_account(manifest: Manifest, names) -> list[str]:
    """Return lines that say how often each of the recipe's classes `names` is named, and what is left out.

    There are none for a class without a name.

    An abnormal image (label 1 or above) that names none of them shows something else, or its kind is not
    known: it is left out of training and of the figures that go by labels, and the lines say how many there
    are.

    DataError, every problem at once, for names that the recipe does not have.
    """
    if UNNAMED in names:
        return []
    unknown = {}
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
            f"{manifest.root}: the column markers names what the recipe does not have (its markers: "
            f"{', '.join(names)}):\n{listed(problems)}\n"
            "Correct the names; leave the cell of an image empty that shows something else."
        )
    several = sum(len(case.markers) > 1 for case in manifest.cases)
    other = sum(bool(case.label) and not case.markers for case in manifest.cases)
    shown = ", ".join(f"{name} {sum(name in case.markers for case in manifest.cases)}" for name in names)
    lines = [f"Markers: {shown}" + (f", several at once {several}." if several else ".")]
    if any(line.startswith("Markers: ") for line in manifest.account):  # said when the folder was recognised
        lines = [f"Several markers at once: {several} images."] if several else []
    if other:
        lines.append(
            f"Left out of training and of figures by label: {other} abnormal images that name none of these "
            f"markers."
        )
    return lines


def shown_classes(labels: np.ndarray, markers: np.ndarray, names) -> np.ndarray:
    """Return which of the lesion classes `names` each slice shows.

    Args:
        labels: (N,) int, 0 normal, 1.. abnormal, -1 unknown: what a class without a name goes by.
        markers: (N,) text, the column markers of a SliceTable, names joined by +.

    Returns:
        (N, M) bool, in the order of `names`.
    """
    named = [set(text.split("+")) for text in markers.tolist()]
    columns = [
        np.asarray(labels) > 0 if name == UNNAMED else np.array([name in each for each in named], bool)
        for name in names
    ]
    return np.stack(columns, axis=1)
