"""How many channels the files of a data set announce, without reading pixels."""

import contextlib
import struct
import zlib
from pathlib import Path

import nibabel
from nibabel.filebasedimages import ImageFileError
from PIL import Image

from clamnet_tf.data.manifest import Manifest
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.dicom_header import open_dataset

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
_GRAY_MODES = ("1", "L", "LA", "La", "I", "F")


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
        kind = sniff.sniff(path)
        if kind == "dicom":
            return int(open_dataset(path, pixels=False).get("SamplesPerPixel") or 1) == 1
        if kind == "nifti":
            shape = nibabel.load(path).shape
            return len(shape) <= 3 or set(shape[3:]) == {1}
        if kind in ("png", "jpeg", "tiff"):
            with Image.open(path) as image:
                return image.mode in _GRAY_MODES or image.mode.startswith("I;")
    return False
