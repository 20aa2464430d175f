"""Any image file or DICOM folder -> Volume. Masks: see `mask_files`."""

from collections.abc import Callable
from pathlib import Path

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


def suffix_of(path: Path) -> str | None:
    """The suffix of `SUFFIXES` that a name ends with ('scan.NII.GZ' -> '.nii.gz'), None for any other."""
    name = Path(path).name.lower()
    return next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), None)


def read_volume(path: Path, *, dicom_backend: str = "pydicom", series: str | None = None, presentation: bool = False) -> Volume:
    """An image as `volume.Volume`: float32 (slices, rows, columns, channels) in LPS order where the file knows it.

    path: a file (DICOM, NIfTI, NRRD, MetaImage, PNG, JPEG, TIFF, npy), which its content tells, whatever it is
    called, or a folder of one DICOM series; with `series`, the SeriesInstanceUID to take from several.
    dicom_backend: pydicom or tensorflow_io.
    presentation: of DICOM the values that the file says to show (see `imaging.presentation`), instead of physical ones.
    ImageError, whose message starts with the path, for everything that cannot be read in full; nothing is guessed.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return read_dicom_folder(path, series=series, backend=dicom_backend, presentation=presentation)
        kind = kind_of(path)
        if kind is None:
            raise ImageError(not_readable(path))
        if kind == "dicom":
            return read_dicom_file(path, backend=dicom_backend, presentation=presentation)
        return READERS[kind](path)
    except MemoryError as error:
        raise ImageError(f"{path}: this machine has not enough free memory to read it. Close other programs, or shrink it.") from error


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
