"""Find out how many channels the files of a data set announce, without reading pixels."""

import contextlib
import struct
import zlib
from pathlib import Path

from nibabel.filebasedimages import ImageFileError
from PIL import Image

from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.formats import FORMATS

LOOKED_AT = 200  # at most this many files are opened, evenly spread over the data set
_DAMAGE = (
    ImageError,
    ImageFileError,
    Image.DecompressionBombError,
    OSError,
    EOFError,
    SyntaxError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)


def announced_channels(manifest: Manifest) -> int | None:
    """Return 1 when any examined image has one channel, so that gray stored as RGB is reduced to it; else
    None.

    Files that cannot be opened are skipped here; the reader reports them later. Files that are one sequence
    of an image do not count.
    """
    paths = list(dict.fromkeys(case.image for case in manifest.cases if case.sequences is None))
    step = max(1, len(paths) // LOOKED_AT)
    return 1 if any(_is_gray(path) for path in paths[::step]) else None


def holds_several_channels(path: Path) -> bool:
    """Return whether a file announces several channels; False where that is not known before it is read."""
    with contextlib.suppress(*_DAMAGE):
        file_format = FORMATS.get(sniff.sniff(path))
        return file_format is not None and file_format.is_gray is not None and not file_format.is_gray(path)
    return False


def _is_gray(path: Path) -> bool:
    if path.is_dir():
        return True  # a DICOM series; a colour series is refused when it is read
    with contextlib.suppress(*_DAMAGE):
        file_format = FORMATS.get(sniff.sniff(path))
        return file_format is not None and file_format.is_gray is not None and file_format.is_gray(path)
    return False
