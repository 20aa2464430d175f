"""Any image file or DICOM folder -> Volume. Masks: see `mask_files`."""

from pathlib import Path

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.dicom import read_dicom_folder
from clamnet_tf.imaging.formats import FORMATS, format_promised, titles
from clamnet_tf.imaging.other_formats import advice
from clamnet_tf.imaging.volume import Volume


def read_volume(
    path: Path, *, dicom_backend: str = "pydicom", series: str | None = None, presentation: bool = False
) -> Volume:
    """An image as `volume.Volume`: float32 (slices, rows, columns, channels) in LPS order where the file
    knows it.

    path: a file of any format of `formats`, which its content tells, whatever it is
    called, or a folder of one DICOM series; with `series`, the SeriesInstanceUID to take from several.
    dicom_backend: pydicom or tensorflow_io.
    presentation: of DICOM the values that the file says to show (see `imaging.presentation`), instead of
    physical ones. ImageError, whose message starts with the path, for everything that cannot be read in full;
    nothing is guessed.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return read_dicom_folder(path, series=series, backend=dicom_backend, presentation=presentation)
        kind = kind_of(path)
        if kind is None:
            raise ImageError(not_readable(path))
        if kind == "dicom":
            return FORMATS[kind].read(path, backend=dicom_backend, presentation=presentation)
        return FORMATS[kind].read(path)
    except MemoryError as error:
        raise ImageError(
            f"{path}: this machine has not enough free memory to read it. Close other programs, or shrink it."
        ) from error


def kind_of(path: Path) -> str | None:
    """What a file is read as, a key of FORMATS: by its content, else by what its name promises; else None.

    ImageError when the file is missing, a folder or unreadable.
    """
    found = sniff.sniff(path)
    if found in FORMATS:
        return found
    promised = format_promised(path)
    return promised.name if promised else None


def not_readable(path: Path) -> str:
    """The message for a file that cannot be read as an image: what it is, and what makes one of it."""
    found = sniff.sniff(path)
    return (
        f"{path}: holds {sniff.WORDS[found]}, not an image that can be read. {advice(found)} "
        f"Readable are {titles()}."
    )
