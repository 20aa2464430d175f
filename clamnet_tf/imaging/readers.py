"""Read any image file or DICOM folder as a Volume. For masks see `mask_files`."""

from pathlib import Path

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.formats import FORMATS, format_promised, titles
from clamnet_tf.imaging.other_formats import advice
from clamnet_tf.imaging.volume import Volume


def read_volume(
    path: Path, *, dicom_backend: str = "pydicom", series: str | None = None, presentation: bool = False
) -> Volume:
    """Read an image as `volume.Volume`: float32 (slices, rows, columns, channels), in LPS order where it is
    known.

    Args:
        path: a file of any format of `formats`, which its content decides whatever its name, or a folder of
            one DICOM series.
        dicom_backend: pydicom or tensorflow_io.
        series: the SeriesInstanceUID to read from a folder with several series.
        presentation: for DICOM return the values that the file defines for display (`imaging.presentation`)
            instead of physical ones.

    Raises:
        ImageError: the image cannot be read completely; the message starts with the path. Nothing is guessed.
    """
    path = Path(path)
    try:
        if path.is_dir():
            from clamnet_tf.imaging.dicom import read_dicom_folder

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
    """Return the kind as which a file is read, a key of FORMATS: by its content, else by its name, else None.

    Raises:
        ImageError: the file is missing, a folder or unreadable.
    """
    kind = sniff.sniff(path)
    if kind in FORMATS:
        return kind
    promised = format_promised(path)
    return promised.name if promised else None


def not_readable(path: Path) -> str:
    """Return the message for a file that cannot be read as an image: what it is, and how to convert it."""
    kind = sniff.sniff(path)
    return (
        f"{path}: holds {sniff.WORDS[kind]}, not an image that can be read. {advice(kind)} "
        f"Readable are {titles()}."
    )
