"""One image or volume in memory: values, geometry, and the way back onto the grid of its file.

The axis order is always slices, rows (height), columns (width), channels. A single picture is a volume of one
slice.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.limits import require_memory, require_slices, shown
from clamnet_tf.imaging.orientation import reorient, restore

if TYPE_CHECKING:  # only modules that read or write NIfTI load nibabel
    from nibabel import Nifti1Header

SMALLEST_SIDE = 8  # rows and columns; also distinguishes channels from columns in a bare array (npy.py)
LARGEST_COUNT = 2**30  # values of one volume, all channels: 4 GB as float32
# Of unpacked to packed bytes; deflate (gzip, zip, PNG, TIFF) cannot reach more than 1,032.
LARGEST_RATIO = 1100
SET_ASIDE = " was set aside: "  # between the name of an image and the reason, in every note on a stray


@dataclass(frozen=True)
class SliceReference:
    """The origin of one slice of a volume.

    Attributes:
        path: the file.
        frame: page, frame or plane inside the file, counted from 0.
        sop_class_uid, sop_instance_uid: DICOM only.
        position: DICOM only, ImagePositionPatient in mm.
        number: number by which the column `slice` of tables calls it: k of img[:, :, k], frame, page, or
            InstanceNumber in a folder.
    """

    path: Path
    frame: int = 0
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    position: tuple[float, float, float] | None = None
    number: int | None = 0


@dataclass(frozen=True)
class Grid:
    """The grid of the file, and how the volume's (slices, rows, columns) were taken from it.

    Attributes:
        kind: dicom, nifti, picture or npy.
        shape: shape of the file's own array without channels: (rows, columns) of a picture, (slices, rows,
            columns) of a stack, (i, j, k) of NIfTI.
        axes: `axes[n]` is the axis of that array (with a leading axis of 1 before a two-dimensional one) that
            became axis n of the volume.
        flips: `flips[n]` says that this axis runs backwards.
        order: `order[s]` is the index in the file of slice s of the sorted stack, the first axis before
            `axes` and `flips` apply; None = as stored.
        references: one per slice of the volume; for DICOM one per slice of the sorted stack, which differs
            when `axes[0]` is not 0 (a sagittal or coronal series).
        nifti_affine: 4x4 RAS of the file as stored.
        nifti_header: header for writing a mask beside the image; for NIfTI-2 a subclass.
        eight_bits: whether the image is a picture whose values are shades 0..255, not measurements.
        modality: DICOM only, Modality (0008,0060): CT, MR, DX ...
        largest: for a mask as stored where white is 0: the largest value that its bits can hold.
        photometric: PhotometricInterpretation of DICOM; PALETTE or WHITE_IS_ZERO of a picture that is stored
            so.
        notes: facts that the user should know, such as gantry tilt or an assumed order.
    """

    kind: str
    shape: tuple[int, ...]
    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)
    order: tuple[int, ...] | None = None
    references: tuple[SliceReference, ...] = ()
    nifti_affine: np.ndarray | None = None
    nifti_header: "Nifti1Header | None" = None
    eight_bits: bool = False
    modality: str = ""
    largest: float = 0.0
    photometric: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Volume:
    """An image or volume with its geometry.

    Attributes:
        array: (slices, rows, columns, channels) float32, finite; values after slope and intercept, before any
            window or normalisation; MONOCHROME1 is already inverted, so that bright means bright.
        spacing_mm: distance between slice planes (perpendicular), rows, columns in millimetres; None when the
            file does not say. For a single slice without thickness the first number is 1.0 and means nothing.
        affine: 4x4, (slice, row, column, 1) index of a voxel's centre -> patient millimetres, LPS axes (DICOM
            PS3.3 C.7.6.2.1.1); sheared for a tilted gantry; None when the file does not say.
        sources: one path per slice, or one for all.
        grid: the grid of the file.
        excluded: bool (slices, rows, columns), True where no patient is shown (padding, shutter, collimator);
            None when nowhere.
    """

    array: np.ndarray
    spacing_mm: tuple[float, float, float] | None
    affine: np.ndarray | None
    sources: tuple[Path, ...]
    grid: Grid = field(repr=False)
    excluded: np.ndarray | None = field(default=None, repr=False)

    def to_original(self, values: np.ndarray) -> np.ndarray:
        """Return values on this volume's grid in the file's own axis order and shape.

        Values are moved, never interpolated.

        Args:
            values: (slices, rows, columns) of any dtype, for example a mask.

        Returns:
            An array of shape `grid.shape` and the same dtype.

        Raises:
            ValueError: the shape is not this volume's.
        """
        values = np.asarray(values)
        if values.shape != self.array.shape[:3]:
            raise ValueError(
                f"to_original needs shape {self.array.shape[:3]} (slices, rows, columns), got {values.shape}"
            )
        stored = to_stored(values, self.grid)
        return np.ascontiguousarray(stored.reshape(self.grid.shape))


def from_stored(stored: np.ndarray, grid: Grid) -> np.ndarray:
    """Return (a, b, c[, channels]) in the file's order as (slices, rows, columns[, channels]).

    This is the inverse of `to_stored`.
    """
    return reorient(stored if grid.order is None else stored[list(grid.order)], grid.axes, grid.flips)


def to_stored(values: np.ndarray, grid: Grid) -> np.ndarray:
    """Return (slices, rows, columns[, channels]) as (a, b, c[, channels]) in the file's order."""
    return unsorted(restore(values, grid.axes, grid.flips), grid)


def unsorted(stack: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the sorted stack (slices first) in the order in which the file holds its slices."""
    if grid.order is None:
        return stack
    values = np.empty_like(stack)
    values[list(grid.order)] = stack
    return values


def check_size(
    path,
    shape: tuple[int, ...],
    *,
    bytes_each: float,
    deflated_bytes: int | None = None,
    file_bytes: int | None = None,
) -> None:
    """Refuse an image that is too small to use or too large for memory, before pixels are decoded.

    Args:
        path: file or folder, named in messages.
        shape: (slices, rows, columns, channels) as announced by the file's header.
        bytes_each: largest number of bytes that reading takes per value, with copies and the float32 result
            (see `limits`).
        deflated_bytes: size of the announced values unpacked, for a file that is stored plainly or by
            deflate; more than such a file can hold is refused.
        file_bytes: size of all files together when `path` is a folder.

    Raises:
        ImageError: the image is too small or too large.
    """
    slices, rows, columns, channels = (int(side) for side in shape)
    if min(slices, channels) < 1 or min(rows, columns) < SMALLEST_SIDE:
        raise ImageError(
            f"{path}: too small: {rows} rows x {columns} columns, {slices} slices, {channels} channels; "
            f"at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels are needed. Remove it or name another image."
        )
    if slices * rows * columns * channels > LARGEST_COUNT:
        raise ImageError(
            f"{path}: too large: it announces {shown(slices)} slices of {shown(rows)} x {shown(columns)} "
            f"pixels with {shown(channels)} channels, "
            f"more than {LARGEST_COUNT:,} values. A damaged or hostile file does that; if it is genuine, "
            f"split or shrink it."
        )
    require_slices(path, slices)
    if deflated_bytes is not None and deflated_bytes > LARGEST_RATIO * Path(path).stat().st_size:
        raise ImageError(
            f"{path}: too large: it announces {shown(deflated_bytes)} bytes of pixels, more than its "
            f"{Path(path).stat().st_size:,} bytes can "
            "hold even if compressed. The file is damaged, cut off or hostile; copy or export it again."
        )
    what = f"{slices} slices of {rows} x {columns} pixels with {channels} channels"
    require_memory(path, int(slices * rows * columns * channels * bytes_each), what, file_bytes=file_bytes)


def finite_float32(path, array: np.ndarray) -> np.ndarray:
    """Return `array` as float32; raise ImageError that counts NaN and infinite values.

    Values beyond the range of float32 count as infinite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.ascontiguousarray(array, dtype=np.float32)
    if not all(np.isfinite(part).all() for part in values):
        nan = sum(int(np.isnan(part).sum()) for part in values)
        infinite = sum(int(np.isinf(part).sum()) for part in values)
        raise ImageError(
            f"{path}: {nan:,} NaN and {infinite:,} infinite values of {values.size:,}; images must be "
            f"finite numbers. "
            f"Replace them (by 0 or the background's value) and save the image again."
        )
    return values
