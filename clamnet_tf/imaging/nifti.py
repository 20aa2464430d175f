"""NIfTI in: volumes of any orientation as axial slices, and back.

Stored axes are reordered and reversed, never interpolated, to the nearest of: slices from inferior to superior, rows
from anterior to posterior, columns from right to left (LPS, as axial DICOM is shown). `Volume.to_original` undoes it
exactly.
"""

import contextlib
import gzip
from pathlib import Path

import nibabel
import numpy as np
from nibabel.volumeutils import apply_read_scaling

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.limits import BoundedFile
from clamnet_tf.imaging.volume import Grid, SliceReference, Volume, check_size, finite_float32, from_stored

_AXIAL = nibabel.orientations.axcodes2ornt(("S", "P", "L"))
_LARGEST_OFFSET = 2**26  # bytes before the values: header and extensions
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_nifti(path: Path) -> Volume:
    """A .nii or .nii.gz file (NIfTI-1 or 2) with 2, 3 or 4 dimensions, the fourth being channels; RGB types too.

    Values after scl_slope and scl_inter. affine and spacing_mm are None and a note says so when the file has neither
    sform nor qform; axes are then taken as stored, like nibabel. ImageError: cut off or damaged, complex numbers,
    more dimensions, NaN, sides under 8 pixels, an affine that is not invertible.
    """
    path = Path(path)
    sniff.require(path, "nifti")
    with BoundedFile(path) as file, gzip.GzipFile(fileobj=file) if _is_gzipped(path) else contextlib.nullcontext(file) as stream:
        return _read(path, stream)


def _is_gzipped(path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _read(path, stream) -> Volume:
    with decoding(lambda reason: ImageError(f"{path}: not a readable NIfTI file: {reason}. Export or copy it again.")):
        two = stream.read(4) in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")  # size of the header: 540 in NIfTI-2, 348 in NIfTI-1
        stream.seek(0)
        image = (nibabel.Nifti2Image if two else nibabel.Nifti1Image).from_stream(stream)
        header = image.header
        shape = tuple(int(side) for side in image.shape)
        coded = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        affine = np.asarray(image.affine, dtype=np.float64)
        dtype, offset = header.get_data_dtype(), int(image.dataobj.offset)
        spatial, channels = _dimensions(path, shape, dtype)
        axes, flips = _to_axial(path, affine)
    count = 3 if dtype.names else channels
    announced = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
    if not 0 <= offset <= _LARGEST_OFFSET:
        raise ImageError(f"{path}: its values begin at byte {offset:,} (vox_offset), beyond any header. Export or copy it again.")
    each = 2 * dtype.itemsize / (3 if dtype.names else 1) + 4
    check_size(path, (*(spatial[axis] for axis in axes), count), bytes_each=each, deflated_bytes=announced)
    stored = _values(path, image, dtype).reshape(*spatial, count)
    notes = () if coded else ("neither sform nor qform: orientation and spacing are not known, axes taken as stored",)
    grid = Grid(
        kind="nifti",
        shape=shape[:3] if len(shape) > 2 else shape,
        axes=axes,
        flips=flips,
        references=tuple(SliceReference(path, _plane(n, spatial[axes[0]], flips[0])) for n in range(spatial[axes[0]])),
        nifti_affine=affine,
        nifti_header=header.copy(),
        notes=notes,
    )
    array = finite_float32(path, from_stored(stored, grid))
    turned = _RAS_TO_LPS @ affine @ _index_transform(spatial, axes, flips) if coded else None
    spacing = None if turned is None else _spacing(turned)
    return Volume(array, spacing, turned, (path,), grid)


def _dimensions(path, shape, dtype):
    """((i, j, k), channels); trailing axes of 1 do not count."""
    if dtype.kind == "c":
        raise ImageError(f"{path}: holds complex numbers; save magnitude or phase as an image of its own.")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 5 and shape[3] == 1:
        shape = (*shape[:3], shape[4])  # vector images keep their components in the fifth dimension
    if len(shape) < 2 or len(shape) > 4 or (dtype.names and len(shape) == 4):
        raise ImageError(f"{path}: an array of shape {shape}; needed are 2, 3 or 4 dimensions, the fourth being channels.")
    spatial = (*shape[:3], *[1] * (3 - min(len(shape), 3)))
    return spatial, shape[3] if len(shape) == 4 else 1


def _to_axial(path, affine):
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ImageError(f"{path}: its affine cannot be inverted: {np.round(affine, 4).tolist()}. Repair sform or qform.")
    found = nibabel.orientations.io_orientation(affine)
    if np.isnan(found).any():
        raise ImageError(f"{path}: the direction of some axis is not defined by its affine. Repair sform or qform.")
    change = nibabel.orientations.ornt_transform(found, _AXIAL)  # per stored axis: place in the volume, direction
    axes = tuple(int(axis) for axis in np.argsort(change[:, 0]))
    return axes, tuple(bool(change[axis, 1] < 0) for axis in axes)


def _values(path, image, dtype):
    """Values after slope and intercept, float32 where they are scaled; slab by slab, as nibabel's float64 of all would take too much."""
    with decoding(lambda reason: ImageError(f"{path}: damaged or cut off NIfTI data: {reason}. Export or copy it again.")):
        stored = image.dataobj.get_unscaled()
        slope, inter = image.dataobj.slope, image.dataobj.inter
        if not dtype.names and (slope, inter) != (1.0, 0.0):
            scaled = np.empty(stored.shape, np.float32)
            with np.errstate(over="ignore", invalid="ignore"):  # counted by finite_float32
                for place in range(stored.shape[-1]):
                    scaled[..., place] = apply_read_scaling(stored[..., place], slope, inter)
            return scaled
    if dtype.names:
        if dtype.names[:3] != ("R", "G", "B"):
            raise ImageError(f"{path}: values of type {dtype} cannot be used as an image.")
        return np.stack([stored[name] for name in ("R", "G", "B")], axis=-1)
    return stored


def _index_transform(spatial, axes, flips):
    """4x4: index in the volume (slice, row, column, 1) -> stored index (i, j, k, 1)."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for place, (axis, flip) in enumerate(zip(axes, flips)):
        matrix[axis, place] = -1.0 if flip else 1.0
        matrix[axis, 3] = spatial[axis] - 1 if flip else 0.0
    return matrix


def _spacing(affine):
    """Between slice planes (perpendicular), rows and columns, in mm."""
    slices, rows, columns = affine[:3, :3].T
    normal = np.cross(rows, columns)
    between = abs(slices @ normal) / np.linalg.norm(normal)
    return float(between), float(np.linalg.norm(rows)), float(np.linalg.norm(columns))


def _plane(slice_number, count, flip):
    return count - 1 - slice_number if flip else slice_number
