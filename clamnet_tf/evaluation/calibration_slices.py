"""Collect the slices that calibrate an int8 network, with reference masks where these are known."""

import dataclasses
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.unlabelled_inputs import find_inputs
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.mask_values import IGNORED
from clamnet_tf.preprocessing.dataset import prepare_with_progress
from clamnet_tf.preprocessing.mask_access import open_masks
from clamnet_tf.recipe.classes import class_names


@dataclasses.dataclass(frozen=True, eq=False)
class CalibrationSlices:
    """Hold N prepared slices for calibration.

    Attributes:
        images: (N, side, side, C) float16, prepared as for the network.
        organ: (N, side, side) bool, True inside the organ.
        truth: Per slice a label map (side, side), or None where the slice has no mask; None instead of the
            list when no slice has a mask.
    """

    images: np.ndarray
    organ: np.ndarray
    truth: list | None


def calibration_slices(path, recipe, *, cache, reporter) -> CalibrationSlices:
    """Read calibration slices from a folder.

    The folder holds prepared slices (images.npy and organ.npy), labelled images in a known layout, or images
    alone. Slices without an organ are left out.

    Args:
        path: The folder.
        recipe: Recipe by which images are prepared.
        cache: Folder of the cache of prepared slices, or None.
        reporter: Reporter for progress lines.

    Raises:
        DataError: The folder holds nothing that can be used, or fewer than 2 slices with an organ.
    """
    path = Path(path)
    if (path / "images.npy").is_file() and (path / "organ.npy").is_file():
        images, organ, truth = (
            np.load(path / "images.npy", mmap_mode="r"),
            np.load(path / "organ.npy", mmap_mode="r"),
            None,
        )
        reporter.line(f"Calibration: {len(images)} prepared slices of {path}")
    else:
        manifest, labelled = _cases(path, recipe)
        reporter.line(f"Calibration: {len(manifest.cases)} files of {path}")
        prepared = prepare_with_progress(recipe, manifest, cache, reporter)
        images, organ = prepared.images, prepared.organ
        truth = (
            open_masks(
                manifest,
                prepared,
                range(len(images)),
                purpose="evaluation",
                grid="prepared",
                classes=len(class_names(recipe)),
            )
            if labelled
            else None
        )
    rows = np.flatnonzero(organ.reshape(len(organ), -1).any(axis=1))
    if len(rows) < 2:
        raise DataError(
            f"--calibrate {path}: expected at least 2 slices with an organ; found {len(rows)}. Give more "
            f"images."
        )
    inside = organ[rows] > 0
    for index, row in enumerate(rows):
        if truth is not None and (mask := truth[row]) is not None:
            inside[index] &= mask != IGNORED
    return CalibrationSlices(images[rows], inside, None if truth is None else [truth[row] for row in rows])


def _cases(path: Path, recipe):
    """Return the manifest of a folder, and whether its layout gives labels and masks."""
    try:
        return recognize(path), True
    except DataError:
        inputs = find_inputs([path], stacks=recipe.modality != "xray")
        return inputs.manifest, False
