"""Define one volume as it is read from its files, before the organ is sought."""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.imaging.orientation import IDENTITY
from clamnet_tf.imaging.volume import Grid


@dataclass(frozen=True)
class AssembledVolume:
    """One volume, ready for the organ step.

    Attributes:
        array: (S, H, W, C) float32, chosen channels, every slice of the volume; axial where its files have a
            place in the patient.
        wanted: per requested slice (index along axis 0, index of its case, slice inside its file, position
            0..1 in the volume).
        spacing_mm: between slices, rows and columns, in mm; None = unknown.
        organ: bool (S, H, W) mask given with the image, or None.
        grids: the way back to the files: of the one file of several slices, or of each file of one slice, in
            order.
        affines: per grid, 4x4, (slice, row, column, 1) of the stack -> mm, LPS; None = unknown. The stack
            holds the slices of DICOM as their files do, in the order of position; for all other files it is
            `array`.
        axes, flips: how `array` was taken from the stack, see `imaging.orientation.reorient`.
        cases: per grid, index of its case.
        excluded: bool (S, H, W), where no patient is shown (see `imaging.volume.Volume`); None = nowhere.
        notes: what was accepted or changed to read it, beside the notes of the grids.
    """

    array: np.ndarray
    wanted: tuple[tuple[int, int, int, float], ...]
    spacing_mm: tuple[float, float, float] | None
    organ: np.ndarray | None
    grids: tuple[Grid, ...]
    affines: tuple[np.ndarray | None, ...]
    axes: tuple[int, int, int] = IDENTITY[0]
    flips: tuple[bool, bool, bool] = IDENTITY[1]
    cases: tuple[int, ...] = (0,)
    excluded: np.ndarray | None = None
    notes: tuple[str, ...] = ()
