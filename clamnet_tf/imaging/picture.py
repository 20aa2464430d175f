"""PNG, JPEG and TIFF in: one picture, or the pages of a TIFF as slices.

Values stay as stored (0..255 for 8 bits, 0..65535 for 16); gray gives one channel, colour three. The number
of channels depends on how a picture is stored, never on what it shows: a gray picture saved as RGB has three.
"""

import contextlib
import logging
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageOps

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.limits import BoundedFile, require_memory, require_slices
from clamnet_tf.imaging.tiff_orientation import ORIENTATIONS, upright
from clamnet_tf.imaging.tiff_segments import refuse_segment_bombs
from clamnet_tf.imaging.volume import Grid, SliceReference, Volume, check_size, finite_float32

_SLICE_AXES, _CHANNEL_AXES = "ZQITRPME", "CS"  # letters of tifffile; Y and X are rows and columns
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
_GRAY_MODES = ("1", "L", "LA", "La", "I", "F")  # of Pillow
_PALETTE, _WHITE_IS_ZERO = 3, 0  # TIFF 6.0, PhotometricInterpretation


def read_picture(path: Path) -> Volume:
    """A PNG or JPEG file as a volume of one slice.

    1-, 2-, 4- and 8-bit gray and 16-bit gray -> one channel; RGB, palette, CMYK and YCbCr -> three. EXIF
    orientation
    is applied: the grid is that of the picture as viewers show it. Transparency: dropped where all is opaque,
    else the colours are laid on black. 16-bit colour PNG is refused, since its low bytes would be lost.
    """
    path = Path(path)
    sniff.require(path, "png", "jpeg")
    with decoding(lambda reason: ImageError(_damaged(path, reason))), _open(path) as image:
        bands = len(image.getbands())
        check_size(path, (1, image.height, image.width, bands), bytes_each=_bytes_per_pixel(image) / bands)
        _refuse_deep_colour(path)
        array, eight_bits = (
            _pixels(path, ImageOps.exif_transpose(image)),
            not image.mode.startswith(("I", "F")),
        )
    return _volume(path, array[np.newaxis], array.shape[:2], eight_bits)


def read_picture_as_stored(path: Path) -> Volume:
    """A PNG or JPEG mask as a volume of one slice: palette indices, and the small numbers of 2- and 4-bit
    gray, as stored.

    One bit, gray, colour, EXIF orientation and transparency as in `read_picture`.
    """
    path = Path(path)
    sniff.require(path, "png", "jpeg")
    with decoding(lambda reason: ImageError(_damaged(path, reason))), _open(path) as image:
        bands = len(image.getbands())
        check_size(path, (1, image.height, image.width, bands), bytes_each=_bytes_per_pixel(image) / bands)
        _refuse_deep_colour(path)
        palette = image.mode == "P"
        turned = ImageOps.exif_transpose(image)
        array = np.asarray(turned)[..., np.newaxis] if palette else _pixels(path, turned)
        scale = _scale_of_bits(path) if image.mode == "L" else 1
    volume = _volume(
        path,
        (array // scale)[np.newaxis] if scale > 1 else array[np.newaxis],
        array.shape[:2],
        eight_bits=False,
    )
    return replace(volume, grid=replace(volume.grid, photometric="PALETTE")) if palette else volume


def _scale_of_bits(path) -> int:
    """What Pillow multiplies gray of 2 and 4 bits with, to fill 0..255 (PNG specification 13.12); else 1."""
    with open(path, "rb") as stream:
        head = stream.read(26)
    gray = head.startswith(b"\x89PNG") and len(head) == 26 and head[25] == 0
    return {2: 85, 4: 17}.get(head[24], 1) if gray else 1


def read_tiff(path: Path, *, stored: bool = False) -> Volume:
    """A TIFF file: pages of one size are slices. Any integer or float type, planar or interleaved, ImageJ or
    OME too.

    White-is-zero is inverted inside the range of its bits, palettes become three channels of 0..255, and
    alpha is treated as in `read_picture`. The tag Orientation is applied, as EXIF's is: the grid is that of
    the page as viewers show it. Compressions beyond tifffile's own (LZW, JPEG, CCITT, PackBits) are left to
    Pillow.
    stored: leave white-is-zero and palettes as they are, and name them in `Grid.photometric`: for masks.
    """
    path = Path(path)
    sniff.require(path, "tiff")
    with (
        decoding(lambda reason: ImageError(_damaged(path, reason))),
        _complaints(path) as damage,
        tifffile.TiffFile(path) as file,
    ):
        require_slices(path, len(file.pages))
        pages, shape = _read_pages(path, file, damage, stored)
        eight_bits, page = file.series[0].dtype == np.uint8, file.series[0].keyframe
        words = (
            {_PALETTE: "PALETTE", _WHITE_IS_ZERO: "WHITE_IS_ZERO"}.get(page.photometric, "") if stored else ""
        )
        largest = float(2**page.bitspersample - 1) if words else 0.0
    volume = _volume(path, pages, shape, eight_bits)
    return replace(volume, grid=replace(volume.grid, photometric=words, largest=largest)) if words else volume


def read_tiff_as_stored(path: Path) -> Volume:
    """A TIFF mask: `read_tiff` with white-is-zero and palettes as they are."""
    return read_tiff(path, stored=True)


def is_gray(path: Path) -> bool:
    """Whether the header of a picture announces one channel, transparency aside."""
    with Image.open(path) as image:
        return image.mode in _GRAY_MODES or image.mode.startswith("I;")


@contextlib.contextmanager
def _open(path):
    """A PNG or JPEG whose header alone is read; Pillow's own limit of pixels becomes the project's error.

    Through a bounded file, since Python takes memory for the length that a damaged chunk announces.
    """
    with BoundedFile(path) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `check_size` has the say
                image = Image.open(file, formats=("PNG", "JPEG"))
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"{path}: too large: {error}. A damaged or hostile file announces that; if it is genuine, "
                f"shrink it."
            ) from error
        with image:
            yield image


def _bytes_per_pixel(image: Image.Image) -> int:
    """What reading takes per pixel, measured, with the copies that Pillow and NumPy make and the float32
    result.
    """
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return 56
    return 14 if image.mode in ("L", "1") else 20 if image.mode.startswith(("I", "F")) else 36


def _tiff_bytes_each(page) -> float:
    """The same per stored value of a TIFF file."""
    size = page.dtype.itemsize
    if page.photometric == _PALETTE:
        return 2 * size + 30
    if page.photometric == _WHITE_IS_ZERO:
        return 2 * size + 20
    return 2 * size + 4 + (16 if page.extrasamples else 4 if page.bitspersample == 1 else 0)


def _volume(path, pages, shape, eight_bits: bool) -> Volume:
    grid = Grid(
        "picture",
        shape,
        references=tuple(SliceReference(path, number, number=number) for number in range(len(pages))),
        eight_bits=eight_bits,
    )
    return Volume(finite_float32(path, pages), None, None, (path,), grid)


def _pixels(path, image: Image.Image) -> np.ndarray:
    """A Pillow picture as (rows, columns, channels), integer or float."""
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        gray = image.mode in ("L", "LA", "La", "1")
        image = image.convert("RGBA")
        array = _lay_on_black(path, np.asarray(image)[..., :3], np.asarray(image)[..., 3], 255)
        return array[..., :1] if gray else array
    if image.mode in ("P", "CMYK", "YCbCr", "HSV", "LAB"):
        image = image.convert("RGB")
    array = np.asarray(image)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    return array[..., np.newaxis] if array.ndim == 2 else array


def _lay_on_black(path, colour, alpha, opaque) -> np.ndarray:
    """Colours without their alpha channel. (rows, columns, channels) and (rows, columns), `opaque` = full
    alpha.
    """
    if alpha.min() == opaque:
        return colour
    flat = colour.reshape(-1, colour.shape[-1])
    if (flat == flat[0]).all() and not flat[0].any():
        raise ImageError(
            f"{path}: all that this picture shows is in its alpha channel; save it without transparency."
        )
    return colour * (alpha / opaque)[..., np.newaxis].astype(np.float32)


def _refuse_deep_colour(path):
    """Pillow reads 16-bit PNG with several channels as 8 bits without a word (IHDR: PNG specification
    11.2.1).
    """
    with open(path, "rb") as stream:
        head = stream.read(26)
    if head.startswith(b"\x89PNG") and len(head) == 26 and head[24] == 16 and head[25] != 0:
        raise ImageError(
            f"{path}: a PNG with 16 bits per channel in colour or with alpha; save it as TIFF, or as 16-bit "
            f"gray PNG."
        )


@contextlib.contextmanager
def _complaints(path):
    """Yield a list of what tifffile logs about lost pages: it returns those that are left, as if there were
    no others.
    """
    found: list[str] = []
    thread = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record):
            text = record.getMessage().replace(path.name, "")
            if record.thread == thread and any(word in text for word in _LOST_PAGES):
                found.append(text)

    logger, listener = logging.getLogger("tifffile"), Listener()
    logger.addHandler(listener)
    try:
        yield found
    finally:
        logger.removeHandler(listener)


def _read_pages(path, file: tifffile.TiffFile, damage: list[str], as_stored: bool = False):
    """((slices, rows, columns, channels), shape of the file without channels); `damage` grows while pages are
    read.
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
        bytes_each=_tiff_bytes_each(page),
        deflated_bytes=series.nbytes if plain else None,
    )
    stored = _decode(path, file, series) if not damage else None
    if damage or stored is None:
        raise ImageError(_damaged(path, damage[0].rstrip(".")))
    wanted = (*stacked, rows, columns, *banded)
    stored = stored.reshape([side for n, side in enumerate(stored.shape) if n in wanted])
    kept = sorted(wanted)
    stored = stored.transpose([kept.index(n) for n in wanted])
    if not stacked:
        stored = stored[np.newaxis]
    stored = stored if banded else stored[..., np.newaxis]
    if not (as_stored and page.photometric in (_PALETTE, _WHITE_IS_ZERO)):
        stored = _colours(path, stored, page)
    stored = upright(stored, _orientation(path, series))
    return stored, ((slices,) if stacked else ()) + stored.shape[1:3]


def _decode(path, file, series) -> np.ndarray:
    """All pages in the order of `series.axes`; by Pillow where tifffile lacks the decompressor or does not
    bound what it unpacks.
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
        for number in range(min(getattr(image, "n_frames", 1), count)):
            image.seek(number)
            if image.size not in ((page.imagewidth, page.imagelength), (page.imagelength, page.imagewidth)):
                raise ImageError(_damaged(path, f"page {number + 1} has another size than the first"))
            turned = upright(
                np.asarray(image)[np.newaxis],
                _UNDONE.get(_orientation(path, series), _orientation(path, series)),
            )
            pages.append(turned[0])  # Pillow has applied the orientation already
    array = np.stack(pages).astype(series.dtype, copy=False)
    if array.size != np.prod(series.shape):
        raise ImageError(_damaged(path, f"{array.size:,} values found, {series.shape} announced"))
    if array.ndim == 4 and series.axes[-1] != "S":
        array = np.moveaxis(array, -1, 1)
    return array.reshape(series.shape)


def _orientation(path, series) -> int:
    """The tag Orientation of all pages, 1 without one."""
    found = {
        int(page.tags[274].value) if 274 in page.tags else 1
        for page in (series.keyframe, *_own_pages(series))
    }
    if len(found) > 1 or not found <= set(ORIENTATIONS):
        raise ImageError(
            f"{path}: its pages have the orientations {sorted(found)}; save it with one orientation, 1 to "
            f"8, for all pages."
        )
    return found.pop()


def _own_pages(series):
    """Pages that have tags of their own; frames take those of the first page."""
    return [page for page in series.pages if isinstance(page, tifffile.TiffPage)]


def _unreadable_compression(path, series):
    name = getattr(series.keyframe.compression, "name", series.keyframe.compression)
    return decoding(
        lambda reason: ImageError(
            f"{path}: compression {name} cannot be read here ({reason}); save it uncompressed or with "
            f"deflate."
        )
    )


def _colours(path, stored, page) -> np.ndarray:
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
                    _lay_on_black(path, one, mask, np.iinfo(stored.dtype).max)
                    for one, mask in zip(colour, alpha)
                ]
            )
    return stored


def _damaged(path, reason: str) -> str:
    return f"{path}: damaged or cut off picture: {reason}. Copy or export it again."
