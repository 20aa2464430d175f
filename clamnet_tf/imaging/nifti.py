"""Read NIfTI volumes of any orientation as axial slices.

Stored axes are reordered and reversed, never interpolated, to the nearest of: slices from inferior to
superior, rows from anterior to posterior, columns from right to left (LPS, as axial DICOM is shown).
`Volume.to_original` undoes this exactly.
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
from clamnet_tf.imaging.companions import header_of, image_of, is_gzipped
from clamnet_tf.imaging.limits import BoundedFile
from clamnet_tf.imaging.orientation import check_turned, index_transform, spacing_of, to_axial
from clamnet_tf.imaging.volume import Grid, SliceReference, Volume, check_size, finite_float32, from_stored

UNPLACED = "neither sform nor qform: orientation and spacing are not known, axes taken as stored"
_LONGEST_NIFTI_1 = 32767  # values along an axis
_LARGEST_OFFSET = 2**26  # bytes before the values: header and extensions
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_nifti(path: Path) -> Volume:
    """Read a .nii or .nii.gz file or a pair .hdr and .img (NIfTI-1 or 2), of 2, 3 or 4 dimensions.

    The fourth dimension are channels; RGB types are read too. Values are those after scl_slope and scl_inter.
    affine and spacing_mm are None and a note says so when the file has neither sform nor qform; axes are then
    taken as stored, as nibabel does.

    Raises:
        ImageError: the file is cut off or damaged, holds complex numbers or NaN, has more dimensions, sides
            under 8 pixels, or an affine that is not invertible.
    """
    path = _header(Path(path))
    sniff.require(path, "nifti")
    with opened(path) as stream:
        with _readable(path):
            head = stream.read(348)
        stream.seek(0)
        # The first four bytes are the size of the header: 540 in NIfTI-2, 348 in NIfTI-1.
        is_nifti_2 = head[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
        if b"ni" in (head[344:346], head[4:6]):  # the values lie in a file of their own
            values = image_of(path)
            if values is None:
                raise ImageError(
                    f"{path}: a NIfTI header without its values, the .img of that name beside it. Copy both"
                    " files together."
                )
            with opened(values) as image:
                return _read(
                    path,
                    _map(header=stream, image=image),
                    nibabel.Nifti2Pair if is_nifti_2 else nibabel.Nifti1Pair,
                    values,
                )
        image_class = nibabel.Nifti2Image if is_nifti_2 else nibabel.Nifti1Image
        return _read(path, _map(image=stream), image_class, path)


def is_gray(path: Path) -> bool:
    """Return whether the header of a NIfTI file announces one channel."""
    shape = tuple(nibabel.load(path).header.get_data_shape())  # type: ignore[attr-defined]
    return len(shape) <= 3 or set(shape[3:]) == {1}


def _header(path: Path) -> Path:
    """Return the header of a volume of two files, whichever of them is named; any other path unchanged."""
    if not path.name.lower().endswith((".img", ".img.gz")) or sniff.sniff(path) == "nifti":
        return path
    header = header_of(path)
    if header is None and sniff.sniff(path) == "unknown":
        raise ImageError(
            f"{path}: values (.img) without the header that describes them, the .hdr of that name beside it."
            " Copy both files together."
        )
    return header or path


@contextlib.contextmanager
def opened(path: Path):
    """Yield a file as a stream, unpacked when it is gzip."""
    with (
        BoundedFile(path) as file,
        gzip.GzipFile(fileobj=file) if is_gzipped(path) else contextlib.nullcontext(file) as stream,
    ):
        yield stream


def _readable(path):
    return decoding(
        lambda reason: ImageError(f"{path}: not a readable NIfTI file: {reason}. Export or copy it again.")
    )


def _map(**streams) -> dict:
    return {name: nibabel.FileHolder(fileobj=stream) for name, stream in streams.items()}


def _read(path, file_map, kind, values: Path) -> Volume:
    with _readable(path):
        image = kind.from_file_map(file_map)
    return volume_of(path, image, values)


def nifti_image(stored, affine: np.ndarray, *, placed: bool):
    """Return the nibabel image that `volume_of` takes, made from values that another reader has read.

    Args:
        stored: array or nibabel ArrayProxy (i, j[, k[, channels]]).
        affine: 4x4 RAS.
        placed: whether the file states the position in the patient.
    """
    large = max(stored.shape) > _LONGEST_NIFTI_1
    header = nibabel.Nifti2Header() if large else nibabel.Nifti1Header()
    header.set_data_dtype(stored.dtype)
    image = (nibabel.Nifti2Image if large else nibabel.Nifti1Image)(stored, affine, header)
    image.header["qform_code"], image.header["sform_code"] = 0, 1 if placed and len(stored.shape) > 2 else 0
    return image


def volume_of(path: Path, image, values: Path, *, unplaced: str = UNPLACED) -> Volume:
    """Return the Volume of an image that nibabel has opened.

    Args:
        path: the file.
        image: the nibabel image.
        values: the file that holds the values, `path` or another.
        unplaced: the note for an image without a position in the patient.
    """
    with _readable(path):
        header = image.header
        shape = tuple(int(side) for side in image.shape)
        coded = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        affine = np.asarray(image.affine, dtype=np.float64)
        dtype, offset = header.get_data_dtype(), int(getattr(image.dataobj, "offset", 0))
        spatial, channels = _dimensions(path, shape, dtype)
        axes, flips = _to_axial(path, affine)
        turned = _RAS_TO_LPS @ affine @ index_transform(spatial, axes, flips) if coded else None
    count = 3 if dtype.names else channels
    announced = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
    if not 0 <= offset <= _LARGEST_OFFSET:
        raise ImageError(
            f"{path}: its values begin at byte {offset:,} (vox_offset), beyond any header. Export or copy "
            f"it again."
        )
    bytes_each = 2 * dtype.itemsize / (3 if dtype.names else 1) + 4
    check_size(
        values, (*(spatial[axis] for axis in axes), count), bytes_each=bytes_each, deflated_bytes=announced
    )
    stored = _values(path, image, dtype).reshape(*spatial, count)
    notes: tuple[str, ...] = () if coded else (unplaced,)
    if turned is not None and axes[0] != 2:
        notes = check_turned(
            path, tuple(spatial[axis] for axis in axes), turned, "coronal" if axes[1] == 2 else "sagittal"
        )
    grid = Grid(
        kind="nifti",
        shape=shape[:3] if len(shape) > 2 else shape,
        axes=axes,
        flips=flips,
        references=tuple(
            SliceReference(path, plane, number=plane) for plane in _planes(spatial[axes[0]], flips[0])
        ),
        nifti_affine=affine,
        nifti_header=header.copy(),
        notes=notes,
    )
    spacing = None if turned is None else spacing_of(turned)
    return Volume(finite_float32(path, from_stored(stored, grid)), spacing, turned, (path,), grid)


def _dimensions(path, shape, dtype):
    """Return ((i, j, k), channels), without trailing axes of 1."""
    if dtype.kind == "c":
        raise ImageError(f"{path}: holds complex numbers; save magnitude or phase as an image of its own.")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 5 and shape[3] == 1:
        shape = (*shape[:3], shape[4])  # vector images keep their components in the fifth dimension
    if len(shape) < 2 or len(shape) > 4 or (dtype.names and len(shape) == 4):
        raise ImageError(
            f"{path}: an array of shape {shape}; needed are 2, 3 or 4 dimensions, the fourth being channels."
        )
    spatial = (*shape[:3], *[1] * (3 - min(len(shape), 3)))
    return spatial, shape[3] if len(shape) == 4 else 1


def check_affine(path, affine: np.ndarray) -> None:
    """Refuse a 4x4 affine that is not finite or cannot be inverted, with ImageError."""
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ImageError(
            f"{path}: its affine cannot be inverted: {np.round(affine, 4).tolist()}. Repair sform or qform."
        )


def _to_axial(path, affine):
    check_affine(path, affine)
    return to_axial(path, _RAS_TO_LPS @ affine)


def _values(path, image, dtype):
    """Return the values after slope and intercept, as float32 where they are scaled.

    They are scaled slab by slab, because nibabel's float64 of the complete array would take too much memory.
    """
    with decoding(
        lambda reason: ImageError(
            f"{path}: damaged or cut off NIfTI data: {reason}. Export or copy it again."
        )
    ):
        if isinstance(image.dataobj, np.ndarray):  # values that another reader has decoded
            return image.dataobj
        stored = image.dataobj.get_unscaled()
        slope, inter = image.dataobj.slope, image.dataobj.inter
        if not dtype.names and (slope, inter) != (1.0, 0.0):
            scaled = np.empty(stored.shape, np.float32)
            with np.errstate(over="ignore", invalid="ignore"):  # counted by finite_float32
                for slab in range(stored.shape[-1]):
                    scaled[..., slab] = apply_read_scaling(stored[..., slab], slope, inter)
            return scaled
    if dtype.names:
        if dtype.names[:3] != ("R", "G", "B"):
            raise ImageError(f"{path}: values of type {dtype} cannot be used as an image.")
        return np.stack([stored[name] for name in ("R", "G", "B")], axis=-1)
    return stored


def _planes(count, flip):
    """Return the index of each slice along the file's own axis."""
    return range(count - 1, -1, -1) if flip else range(count)
