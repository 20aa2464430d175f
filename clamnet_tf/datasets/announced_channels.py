"""How many channels the files of a data set announce, without reading pixels."""

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

LOOKED_AT = 200  # files, evenly spread over the data set
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
    """Return 1 when any image looked at has one channel, so that gray stored as RGB is to join it; else None.

    What cannot be opened is left to the reader to complain about.
    """
    paths = list(dict.fromkeys(case.image for case in manifest.cases))
    step = max(1, len(paths) // LOOKED_AT)
    return 1 if any(_is_gray(path) for path in paths[::step]) else None


def _is_gray(path: Path) -> bool:
    if path.is_dir():
        return True  # a DICOM series; one of colour is refused by name
    with contextlib.suppress(*_DAMAGE):
        found = FORMATS.get(sniff.sniff(path))
        return found is not None and found.is_gray is not None and found.is_gray(path)
    return False
