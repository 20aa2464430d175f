"""Any image file or DICOM folder -> Volume; any mask file -> array."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.dicom import read_dicom_file, read_dicom_folder
from clamnet_tf.imaging.itk_files import read_itk
from clamnet_tf.imaging.nifti import read_nifti
from clamnet_tf.imaging.npy import read_npy
from clamnet_tf.imaging.other_formats import advice
from clamnet_tf.imaging.picture import read_picture, read_tiff
from clamnet_tf.imaging.volume import Volume

READERS: dict[str, Callable[[Path], Volume]] = {  # what a file is -> its reader
    "dicom": read_dicom_file,
    "nifti": read_nifti,
    "png": read_picture,
    "jpeg": read_picture,
    "tiff": read_tiff,
    "npy": read_npy,
    "nrrd": read_itk,
    "metaimage": read_itk,
}
SUFFIXES: dict[str, str] = {  # what a file's name promises; it counts only where the content says nothing
    ".dcm": "dicom",
    ".dcm.gz": "dicom",
    ".dicom": "dicom",
    ".ima": "dicom",
    ".ima.gz": "dicom",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".hdr": "nifti",
    ".hdr.gz": "nifti",
    ".img": "nifti",
    ".img.gz": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".npy": "npy",
}
_JPEG_MASK = 128  # JPEG smears 0 and 255 into their neighbours: marker from here upwards


def suffix_of(path: Path) -> str | None:
    """The suffix of `SUFFIXES` that a name ends with ('scan.NII.GZ' -> '.nii.gz'), None for any other."""
    name = Path(path).name.lower()
    return next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), None)


def read_volume(path: Path, *, dicom_backend: str = "pydicom", series: str | None = None) -> Volume:
    """An image as `volume.Volume`: float32 (slices, rows, columns, channels) in LPS order where the file knows it.

    path: a file (DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG, TIFF, npy), which its content tells, whatever it is
    called, or a folder of one DICOM series; with `series`, the SeriesInstanceUID to take from several.
    dicom_backend: pydicom or tensorflow_io.
    ImageError, whose message starts with the path, for everything that cannot be read in full; nothing is guessed.
    """
    path = Path(path)
    if path.is_dir():
        return read_dicom_folder(path, series=series, backend=dicom_backend)
    kind = kind_of(path)
    if kind is None:
        raise ImageError(not_readable(path))
    if kind == "dicom":
        return read_dicom_file(path, backend=dicom_backend)
    return READERS[kind](path)


def read_mask(path: Path, like: Volume | None = None) -> np.ndarray:
    """A mask as uint8 (slices, rows, columns), 1 = marker, in the orientation that `read_volume` gives its image.

    Every nonzero value of any channel is marker; in a JPEG, whose zeros are not exact, values from 128. With `like`,
    the mask must lie on the grid of that image: ImageError that states both shapes or how far the grids are apart.
    """
    path = Path(path)
    volume = read_volume(path)
    smeared = volume.grid.kind == "picture" and sniff.sniff(path) == "jpeg"
    values = volume.array >= _JPEG_MASK if smeared else volume.array != 0
    mask = values.any(axis=-1).astype(np.uint8)
    if like is not None:
        _require_same_grid(path, volume, like)
    return mask


def read_classes(path: Path, classes: int) -> np.ndarray:
    """A mask of several markers as uint8 (slices, rows, columns): 0 background, 1 .. `classes`; the greatest of its channels counts.

    ImageError for other values, and for JPEG, which does not keep values.
    """
    path = Path(path)
    volume = read_volume(path)
    if volume.grid.kind == "picture" and sniff.sniff(path) == "jpeg":
        raise ImageError(f"{path}: a mask of several markers cannot be a JPEG, which does not keep values. Save it as PNG, TIFF or NIfTI.")
    values = volume.array.max(axis=-1)
    found = np.unique(values)
    if not np.isin(found, np.arange(classes + 1)).all():
        shown = ", ".join(f"{value:g}" for value in found[:8])
        raise ImageError(
            f"{path}: expected the values 0 to {classes}, background and the recipe's markers in their order; received {shown}. "
            "Write the mask with these values, or leave it out of the manifest."
        )
    return values.astype(np.uint8)


def kind_of(path: Path) -> str | None:
    """What a file is read as, a key of READERS: by its content, else by what its name promises; else None.

    ImageError when the file is missing, a folder or unreadable.
    """
    found = sniff.sniff(path)
    if found in READERS:
        return found
    suffix = suffix_of(path)
    return SUFFIXES[suffix] if suffix else None


def not_readable(path: Path) -> str:
    """The message for a file that cannot be read as an image: what it is, and what makes one of it."""
    found = sniff.sniff(path)
    return (
        f"{path}: holds {sniff.WORDS[found]}, not an image that can be read. {advice(found)} "
        "Readable are DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG, TIFF and npy."
    )


def _require_same_grid(path, mask: Volume, image: Volume):
    ours, theirs = mask.array.shape[:3], image.array.shape[:3]
    name = image.sources[0]
    if ours != theirs:
        raise ImageError(f"{path}: a mask of {ours} slices, rows, columns for an image of {theirs} ({name}). They must be equal.")
    if mask.affine is None or image.affine is None:
        return
    corners = np.array(np.meshgrid(*[(0, side - 1) for side in ours], (1,), indexing="ij")).reshape(4, -1)
    apart = np.linalg.norm(((mask.affine - image.affine) @ corners)[:3], axis=0).max()
    if apart > 0.5 * min(image.spacing_mm):
        raise ImageError(f"{path}: the mask lies up to {apart:.1f} mm away from its image ({name}). Resample it onto the image's grid.")
