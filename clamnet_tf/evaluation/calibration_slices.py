"""Slices to calibrate an int8 network on, from a folder of any kind, with masks where they are known."""

import dataclasses
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.unlabelled_inputs import find_inputs
from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing.dataset import prepare_with_progress
from clamnet_tf.preprocessing.mask_access import open_masks
from clamnet_tf.recipe.classes import class_names


@dataclasses.dataclass(frozen=True, eq=False)
class CalibrationSlices:
    """images: (N, side, side, C) float16 prepared; organ: (N, side, side) bool; truth: per slice a label map
    (side, side) or None; None: no masks.
    """

    images: np.ndarray
    organ: np.ndarray
    truth: list | None


def calibration_slices(path, recipe, *, cache, reporter) -> CalibrationSlices:
    """From a folder of prepared slices (with images.npy and organ.npy), of labelled images, or of images
    alone.

    Slices without an organ are left out. DataError: nothing in it can be used, or too little.
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
    return CalibrationSlices(
        images[rows], organ[rows] > 0, None if truth is None else [truth[row] for row in rows]
    )


def _cases(path: Path, recipe):
    """(manifest, whether its masks can be trusted to be known)"""
    try:
        return recognize(path), True
    except DataError:
        found = find_inputs([path], stacks=recipe.modality != "xray")
        return found.manifest, False
