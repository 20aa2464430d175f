"""Which of a recipe's markers a slice shows: the manifest's column markers, checked and as a table of yes and no."""

import numpy as np

from clamnet_tf.data.manifest import Manifest, listed, nearest
from clamnet_tf.errors import DataError


def marker_account(manifest: Manifest, names) -> list[str]:
    """Lines that say how often each of the recipe's markers `names` is named, and what is left out; nothing for no names.

    An abnormal image (label 1 or above) that names none of them shows something else, or its kind is not known: it is left out of
    training and of the figures that go by labels, and the lines say how many there are.

    DataError, every problem at once, for names that the recipe does not have.
    """
    if not names:
        return []
    unknown = {}
    for case in manifest.cases:
        for name in case.markers:
            if name not in names:
                unknown.setdefault(name, []).append(case.image)
    problems = [f"{name!r} of {len(images)} image(s), first {images[0]}{nearest(name, names)}" for name, images in unknown.items()]
    if problems:
        raise DataError(
            f"{manifest.root}: the column markers names what the recipe does not have (its markers: {', '.join(names)}):\n{listed(problems)}\n"
            "Correct the names; leave the cell of an image empty that shows something else."
        )
    several = sum(len(case.markers) > 1 for case in manifest.cases)
    other = sum(bool(case.label) and not case.markers for case in manifest.cases)
    shown = ", ".join(f"{name} {sum(name in case.markers for case in manifest.cases)}" for name in names)
    lines = [f"Markers: {shown}" + (f", several at once {several}." if several else ".")]
    if any(line.startswith("Markers: ") for line in manifest.account):  # said when the folder was recognised
        lines = [f"Several markers at once: {several} images."] if several else []
    if other:
        lines.append(f"Left out of training and of figures by label: {other} abnormal images that name none of these markers.")
    return lines


def membership(markers: np.ndarray, names) -> np.ndarray:
    """Column markers of a SliceTable (N,), names joined by + -> (N, len(names)) bool, the order of `names`."""
    found = [set(text.split("+")) for text in markers.tolist()]
    return np.array([[name in each for name in names] for each in found], bool).reshape(len(found), len(names))
