"""Read TIFF pictures, whose pages are slices.

Values and channels are those of `picture`.
"""

import contextlib
import logging
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.limits import BoundedFile, require_memory, require_slices
from clamnet_tf.imaging.picture import damaged_picture, lay_on_black, picture_volume
from clamnet_tf.imaging.tiff_orientation import ORIENTATIONS, upright
from clamnet_tf.imaging.tiff_segments import refuse_segment_bombs
from clamnet_tf.imaging.volume import Volume, check_size

_CHANNEL_AXES = "CS"  # letters of tifffile; Y and X are rows and columns, all others are slices
# Words in tifffile's log messages about lost pages.
_LOST_PAGES = (
    "page offset",
    "corrupt",
    "failed to reshape",
    "required tags",
    "first page",
    "StripOffsets",
    "ByteCounts",
    "data offset",
)
_DEFLATE_OR_NONE = (1, 8, 32946)  # TIFF 6.0, Compression
_UNDONE = {6: 8, 8: 6}  # TIFF orientations that undo one another; all others undo themselves
_PALETTE, _WHITE_IS_ZERO = 3, 0  # TIFF 6.0, PhotometricInterpretation


def read_tiff(path: Path, *, stored: bool = False) -> Volume:
    """Read a TIFF file, also of ImageJ or OME; pages of one size are slices.

    Any integer or float type is read, planar or interleaved. White-is-zero is inverted inside the range of
    its bits, palettes become three channels of 0..255, and alpha is treated as in `picture.read_picture`. The
    tag Orientation is applied like that of EXIF: the grid is that of the page as viewers show it.
    Compressions beyond tifffile's own (LZW, JPEG, CCITT, PackBits) are left to Pillow.

    Args:
        path: the file.
        stored: for masks, leave white-is-zero and palettes as stored, and name them in `Grid.photometric`.
    """
    path = Path(path)
    sniff.require(path, "tiff")
    with (
        decoding(lambda reason: ImageError(damaged_picture(path, reason))),
        _lost_page_messages(path) as damage,
        tifffile.TiffFile(path) as file,
    ):
        require_slices(path, len(file.pages))
        pages, shape = _read_pages(path, file, damage, stored)
        eight_bits, page = file.series[0].dtype == np.uint8, file.series[0].keyframe
        photometric = (
            {_PALETTE: "PALETTE", _WHITE_IS_ZERO: "WHITE_IS_ZERO"}.get(page.photometric, "") if stored else ""
        )
        largest = float(2**page.bitspersample - 1) if photometric else 0.0
    volume = picture_volume(path, pages, shape, eight_bits)
    return (
        replace(volume, grid=replace(volume.grid, photometric=photometric, largest=largest))
        if photometric
        else volume
    )


def read_tiff_as_stored(path: Path) -> Volume:
    """Read a TIFF mask like `read_tiff`, with white-is-zero and palettes as stored."""
    return read_tiff(path, stored=True)


def _bytes_each(page) -> float:
    """Return the measured bytes per stored value of reading, with copies and the float32 result."""
    size = page.dtype.itemsize
    if page.photometric == _PALETTE:
        return 2 * size + 30
    if page.photometric == _WHITE_IS_ZERO:
        return 2 * size + 20
    return 2 * size + 4 + (16 if page.extrasamples else 4 if page.bitspersample == 1 else 0)


@contextlib.contextmanager
def _lost_page_messages(path):
    """Yield a list that collects tifffile's log messages about lost pages.

    tifffile returns the remaining pages as if there were no others.
    """
    messages: list[str] = []
    thread = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record):
            text = record.getMessage().replace(path.name, "")
            if record.thread == thread and any(word in text for word in _LOST_PAGES):
                messages.append(text)

    logger, listener = logging.getLogger("tifffile"), Listener()
    logger.addHandler(listener)
    try:
        yield messages
    finally:
        logger.removeHandler(listener)


def _read_pages(path, file: tifffile.TiffFile, damage: list[str], as_stored: bool = False):
    """Return ((slices, rows, columns, channels), shape of the file without channels).

    `damage` grows while pages are read.
    """
    if len(file.series) != 1:
        shapes = ", ".join(str(series.shape) for series in file.series[:5])
        raise ImageError(
            f"{path}: its pages do not form one stack (shapes {shapes}); save the pages of one size in a "
            f"file of their own."
        )
    series, page = file.series[0], file.series[0].keyframe
    axes, shape = series.axes, series.shape
    stacked = [n for n, letter in enumerate(axes) if letter not in _CHANNEL_AXES + "YX" and shape[n] > 1]
    banded = [n for n, letter in enumerate(axes) if letter in _CHANNEL_AXES and shape[n] > 1]
    if len(stacked) > 1 or len(banded) > 1 or "Y" not in axes or "X" not in axes:
        raise ImageError(
            f"{path}: axes {axes} of shape {shape}; needed are rows, columns, and at most one axis of "
            f"slices and one of channels."
        )
    rows, columns = axes.index("Y"), axes.index("X")
    slices = shape[stacked[0]] if stacked else 1
    plain = page.compression in _DEFLATE_OR_NONE
    check_size(
        path,
        (slices, shape[rows], shape[columns], shape[banded[0]] if banded else 1),
        bytes_each=_bytes_each(page),
        deflated_bytes=series.nbytes if plain else None,
    )
    stored = _decode(path, file, series) if not damage else None
    if damage or stored is None:
        raise ImageError(damaged_picture(path, damage[0].rstrip(".")))
    order = (*stacked, rows, columns, *banded)
    stored = stored.reshape([side for n, side in enumerate(stored.shape) if n in order])
    remaining = sorted(order)
    stored = stored.transpose([remaining.index(n) for n in order])
    if not stacked:
        stored = stored[np.newaxis]
    stored = stored if banded else stored[..., np.newaxis]
    if not (as_stored and page.photometric in (_PALETTE, _WHITE_IS_ZERO)):
        stored = _colours(path, stored, page)
    stored = upright(stored, _orientation(path, series))
    return stored, ((slices,) if stacked else ()) + stored.shape[1:3]


def _decode(path, file, series) -> np.ndarray:
    """Return all pages in the order of `series.axes`.

    Pillow decodes them where tifffile lacks the decompressor or does not limit what it unpacks.
    """
    if series.keyframe.compression in _DEFLATE_OR_NONE:
        refuse_segment_bombs(path, series)
        try:
            return series.asarray(maxworkers=1)
        except (ValueError, KeyError, ImportError, RuntimeError) as error:
            if "imagecodecs" not in str(error):
                raise
    page, count = series.keyframe, len(series.pages)
    require_memory(
        path,
        3 * series.nbytes + 8 * page.imagewidth * page.imagelength,
        f"{count} pages of {page.imagelength} x {page.imagewidth} pixels",
    )
    pages = []
    with (
        _unreadable_compression(path, series),
        BoundedFile(path) as file,
        Image.open(file, formats=("TIFF",)) as image,
    ):
        for index in range(min(getattr(image, "n_frames", 1), count)):
            image.seek(index)
            if image.size not in ((page.imagewidth, page.imagelength), (page.imagelength, page.imagewidth)):
                raise ImageError(damaged_picture(path, f"page {index + 1} has another size than the first"))
            turned = upright(
                np.asarray(image)[np.newaxis],
                _UNDONE.get(_orientation(path, series), _orientation(path, series)),
            )
            pages.append(turned[0])  # Pillow has applied the orientation already
    array = np.stack(pages).astype(series.dtype, copy=False)
    if array.size != np.prod(series.shape):
        raise ImageError(damaged_picture(path, f"{array.size:,} values found, {series.shape} announced"))
    if array.ndim == 4 and series.axes[-1] != "S":
        array = np.moveaxis(array, -1, 1)
    return array.reshape(series.shape)


def _orientation(path, series) -> int:
    """Return the tag Orientation of all pages, 1 without one."""
    orientations = {
        int(page.tags[274].value) if 274 in page.tags else 1
        for page in (series.keyframe, *_own_pages(series))
    }
    if len(orientations) > 1 or not orientations <= set(ORIENTATIONS):
        raise ImageError(
            f"{path}: its pages have the orientations {sorted(orientations)}; save it with one orientation, "
            f"1 to 8, for all pages."
        )
    return orientations.pop()


def _own_pages(series):
    """Return the pages that have tags of their own; frames take those of the first page."""
    return [page for page in series.pages if isinstance(page, tifffile.TiffPage)]


def _unreadable_compression(path, series):
    """Return a context that names the compression when the pages cannot be decoded."""
    name = getattr(series.keyframe.compression, "name", series.keyframe.compression)
    return decoding(
        lambda reason: ImageError(
            f"{path}: compression {name} cannot be read here ({reason}); save it uncompressed or with "
            f"deflate."
        )
    )


def _colours(path, stored, page) -> np.ndarray:
    """Return the pages with palette, white-is-zero, one-bit values and alpha converted."""
    photometric = page.photometric
    if photometric == _PALETTE and page.colormap is not None:
        return np.moveaxis(page.colormap[:, stored[..., 0]] >> 8, 0, -1)
    if photometric == _WHITE_IS_ZERO and stored.dtype.kind in "bu":
        return (2**page.bitspersample - 1) - stored.astype(np.int64)
    if page.bitspersample == 1:
        stored = stored.astype(np.uint8) * 255
    extra = len(page.extrasamples)
    if extra and 0 < extra < stored.shape[-1]:
        colour, alpha = stored[..., :-extra], stored[..., -extra]
        if int(page.extrasamples[0]) in (1, 2) and stored.dtype.kind == "u":  # associated, unassociated alpha
            return np.stack(
                [
                    lay_on_black(path, plane, mask, np.iinfo(stored.dtype).max)
                    for plane, mask in zip(colour, alpha)
                ]
            )
    return stored
