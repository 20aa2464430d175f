"""Masks turned as their image is: those with a place in the patient turn by it, pictures and arrays as
the image's own grid does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.imaging.orientation import IDENTITY, reorient
from clamnet_tf.imaging.readers import SUFFIXES, read_mask, read_volume, suffix_of
from clamnet_tf.imaging.volume import Volume

_WITHOUT_PLACE = ("png", "jpeg", "tiff", "npy")


def read_mask_of(
    mask: Path,
    image: Path,
    open_image: Callable[[Path], Volume] = read_volume,
    read: Callable[[Path], np.ndarray] = read_mask,
) -> np.ndarray:
    """Return a mask as `read` gives it, (slices, rows, columns), turned like the volume of `image`.

    Args:
        mask, image: their files; a mask without a place in the patient holds its values in the order of
            the image's file.
        open_image: gives the image's volume; called for such masks of images that do have a place.
        read: reads the mask, e.g. `readers.read_mask`.

    Raises:
        DataError: the mask does not have the shape of the image as stored, so that it cannot be turned
            with it.
    """
    values = read(mask)
    if _kind(mask) not in _WITHOUT_PLACE or _kind(image) in _WITHOUT_PLACE:
        return values
    volume = open_image(image)
    grid = volume.grid
    if (grid.axes, grid.flips) == IDENTITY:
        return values
    if grid.kind == "nifti":
        stored = (*grid.shape, *[1] * (3 - len(grid.shape)))
        if len(values) == 1 or stored not in (values.shape, volume.array.shape[:3]):
            return values  # a slice, or a volume in the order of read_volume
        if stored != volume.array.shape[:3]:
            return np.ascontiguousarray(reorient(values, grid.axes, grid.flips))
    elif len(values) == 1 and not grid.axes[0]:
        return np.ascontiguousarray(reorient(values, grid.axes, grid.flips))
    raise DataError(
        f"{mask}: a mask of shape {values.shape} without a place in the patient, for {image}, whose slices "
        f"are turned to axial ones; there is no "
        "telling how it lies. Save the mask as NIfTI with the affine of the image."
    )


def _kind(path: Path) -> str | None:
    suffix = suffix_of(path)
    return SUFFIXES[suffix] if suffix else None
