"""Read masks in the orientation of their image.

A mask with a place in the patient is turned by that place; pictures and arrays are turned as the image's own
grid is.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.stacking import stored_affine, turn_of
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.formats import picture_formats, volume_formats
from clamnet_tf.imaging.mask_files import Mask, needs_image, read_mask
from clamnet_tf.imaging.orientation import IDENTITY, reorient, restore
from clamnet_tf.imaging.readers import kind_of, read_volume
from clamnet_tf.imaging.volume import Volume

_WITHOUT_PLACE, _WITH_AFFINE = picture_formats(), volume_formats()


def read_mask_of(
    mask: Path,
    image: Path,
    open_image: Callable[[Path], Volume] = read_volume,
    classes: int = 1,
    *,
    ignored: bool = False,
) -> Mask:
    """Read a mask, (slices, rows, columns), turned like the volume of `image`.

    Args:
        mask: file or folder of the mask; a mask without a place in the patient holds its values in the order
            of the image's file.
        image: file or folder of the image.
        open_image: returns the image's volume; called for masks that are placed on their image, and for masks
            without a place whose image has one.
        classes: how many lesion classes the recipe has.
        ignored: see `imaging.mask_files.read_mask`.

    Raises:
        DataError: the mask does not have the shape of the image as stored, so that it cannot be turned with
            it.
        ImageError: see `imaging.mask_files.read_mask`; also for a mask on the image's grid that its affine
            puts elsewhere in the patient.
    """
    if needs_image(mask):
        return _placed(mask, open_image(image), classes)
    read = read_mask(mask, classes, ignored=ignored)
    values = read.values
    if _kind(mask) in _WITH_AFFINE and _kind(image) in _WITH_AFFINE:
        volume = open_image(image)
        if values.shape == volume.array.shape[:3]:
            read_mask(
                mask, classes, like=volume, ignored=ignored
            )  # refuses one that lies elsewhere in the patient
    if _kind(mask) not in _WITHOUT_PLACE or _kind(image) in _WITHOUT_PLACE:
        return read
    volume = open_image(image)
    grid = volume.grid
    if (grid.axes, grid.flips) == IDENTITY:
        return read
    if grid.kind == "nifti":
        stored = (*grid.shape, *[1] * (3 - len(grid.shape)))
        if len(values) == 1 or stored not in (values.shape, volume.array.shape[:3]):
            return read  # a slice, or a volume in the order of read_volume
        if stored != volume.array.shape[:3]:
            return replace(read, values=np.ascontiguousarray(reorient(values, grid.axes, grid.flips)))
    elif len(values) == 1 and not grid.axes[0]:
        return replace(read, values=np.ascontiguousarray(reorient(values, grid.axes, grid.flips)))
    raise DataError(
        f"{mask}: a mask of shape {values.shape} without a place in the patient, for {image}, whose slices "
        "are turned to axial ones, so its orientation is unknown. Save the mask as NIfTI with the affine of "
        "the image."
    )


def _placed(mask: Path, volume: Volume, classes: int) -> Mask:
    """Place a segmentation or structure set on the slices as the image's files hold them, then turn it like
    the image.
    """
    axes, flips = turn_of(volume)
    if (axes, flips) == IDENTITY:
        return read_mask(mask, classes, image=volume)
    stack = np.ascontiguousarray(restore(volume.array, axes, flips))
    affine = stored_affine(volume)
    spacing = (
        volume.spacing_mm
        if affine is None
        else tuple(float(side) for side in np.linalg.norm(affine[:3, :3], axis=0))
    )
    grid = replace(volume.grid, axes=IDENTITY[0], flips=IDENTITY[1])
    stored = replace(volume, array=stack, affine=affine, spacing_mm=spacing, grid=grid, excluded=None)
    read = read_mask(mask, classes, image=stored)
    return replace(read, values=np.ascontiguousarray(reorient(read.values, axes, flips)))


def _kind(path: Path) -> str | None:
    return "dicom" if path.is_dir() else kind_of(path)
