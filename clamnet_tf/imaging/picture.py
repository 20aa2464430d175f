"""Read PNG and JPEG pictures as volumes of one slice. TIFF is read by `tiff`.

Values stay as stored (0..255 for 8 bits, 0..65535 for 16); gray gives one channel, colour three. The number
of channels depends on how a picture is stored, never on what it shows: a gray picture saved as RGB has three.
"""

import contextlib
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.limits import BoundedFile
from clamnet_tf.imaging.volume import Grid, SliceReference, Volume, check_size, finite_float32

_GRAY_MODES = ("1", "L", "LA", "La", "I", "F")  # of Pillow


def read_picture(path: Path) -> Volume:
    """Read a PNG or JPEG file as a volume of one slice.

    1-, 2-, 4- and 8-bit gray and 16-bit gray give one channel; RGB, palette, CMYK and YCbCr three. EXIF
    orientation is applied: the grid is that of the picture as viewers show it. Transparency is dropped where
    everything is opaque, else the colours are laid on black.

    Raises:
        ImageError: the file is damaged, too large or a 16-bit colour PNG, whose low bytes would be lost.
    """
    path = Path(path)
    sniff.require(path, "png", "jpeg")
    with decoding(lambda reason: ImageError(damaged_picture(path, reason))), _open(path) as image:
        bands = len(image.getbands())
        check_size(path, (1, image.height, image.width, bands), bytes_each=_bytes_per_pixel(image) / bands)
        _refuse_deep_colour(path)
        array, eight_bits = (
            _pixels(path, ImageOps.exif_transpose(image)),
            not image.mode.startswith(("I", "F")),
        )
    return picture_volume(path, array[np.newaxis], array.shape[:2], eight_bits)


def read_picture_as_stored(path: Path) -> Volume:
    """Read a PNG or JPEG mask as a volume of one slice, with values as stored.

    Palette indices and the small numbers of 2- and 4-bit gray are kept. One bit, gray, colour, EXIF
    orientation and transparency are treated as in `read_picture`.
    """
    path = Path(path)
    sniff.require(path, "png", "jpeg")
    with decoding(lambda reason: ImageError(damaged_picture(path, reason))), _open(path) as image:
        bands = len(image.getbands())
        check_size(path, (1, image.height, image.width, bands), bytes_each=_bytes_per_pixel(image) / bands)
        _refuse_deep_colour(path)
        palette = image.mode == "P"
        turned = ImageOps.exif_transpose(image)
        array = np.asarray(turned)[..., np.newaxis] if palette else _pixels(path, turned)
        scale = _scale_of_bits(path) if image.mode == "L" else 1
    volume = picture_volume(
        path,
        (array // scale)[np.newaxis] if scale > 1 else array[np.newaxis],
        array.shape[:2],
        eight_bits=False,
    )
    return replace(volume, grid=replace(volume.grid, photometric="PALETTE")) if palette else volume


def _scale_of_bits(path) -> int:
    """Return the factor by which Pillow scales gray of 2 and 4 bits to 0..255 (PNG specification 13.12), else
    1.
    """
    with open(path, "rb") as stream:
        head = stream.read(26)
    gray = head.startswith(b"\x89PNG") and len(head) == 26 and head[25] == 0
    return {2: 85, 4: 17}.get(head[24], 1) if gray else 1


def is_gray(path: Path) -> bool:
    """Return whether the header of a picture announces one channel, not counting transparency."""
    with Image.open(path) as image:
        return image.mode in _GRAY_MODES or image.mode.startswith("I;")


@contextlib.contextmanager
def _open(path):
    """Open a PNG or JPEG file, reading its header only; turn Pillow's own limit of pixels into an ImageError.

    The file is bounded, because Python allocates memory for the length that a damaged chunk announces.
    """
    with BoundedFile(path) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `check_size` decides
                image = Image.open(file, formats=("PNG", "JPEG"))
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"{path}: too large: {error}. A damaged or hostile file announces that; if it is genuine, "
                f"shrink it."
            ) from error
        with image:
            yield image


def _bytes_per_pixel(image: Image.Image) -> int:
    """Return the measured bytes per pixel of reading, with Pillow's and NumPy's copies and the float32
    result.
    """
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return 56
    return 14 if image.mode in ("L", "1") else 20 if image.mode.startswith(("I", "F")) else 36


def picture_volume(path, pages, shape, eight_bits: bool) -> Volume:
    """Return the Volume of pages (slices, rows, columns, channels).

    Args:
        path: the file.
        pages: the pixels.
        shape: shape of the file's own array without channels.
        eight_bits: whether the values are shades 0..255, not measurements.
    """
    grid = Grid(
        "picture",
        shape,
        references=tuple(SliceReference(path, index, number=index) for index in range(len(pages))),
        eight_bits=eight_bits,
    )
    return Volume(finite_float32(path, pages), None, None, (path,), grid)


def _pixels(path, image: Image.Image) -> np.ndarray:
    """Return a Pillow picture as (rows, columns, channels), integer or float."""
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        gray = image.mode in ("L", "LA", "La", "1")
        image = image.convert("RGBA")
        array = lay_on_black(path, np.asarray(image)[..., :3], np.asarray(image)[..., 3], 255)
        return array[..., :1] if gray else array
    if image.mode in ("P", "CMYK", "YCbCr", "HSV", "LAB"):
        image = image.convert("RGB")
    array = np.asarray(image)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    return array[..., np.newaxis] if array.ndim == 2 else array


def lay_on_black(path, colour, alpha, opaque) -> np.ndarray:
    """Return colours without their alpha channel, laid on black where they are transparent.

    Args:
        path: the file, named in messages.
        colour: (rows, columns, channels).
        alpha: (rows, columns).
        opaque: value of alpha where a pixel is opaque.
    """
    if alpha.min() == opaque:
        return colour
    flat = colour.reshape(-1, colour.shape[-1])
    if (flat == flat[0]).all() and not flat[0].any():
        raise ImageError(
            f"{path}: its colours are all black and the picture is in its alpha channel; save it without "
            f"transparency."
        )
    return colour * (alpha / opaque)[..., np.newaxis].astype(np.float32)


def _refuse_deep_colour(path):
    """Refuse 16-bit PNG with several channels, which Pillow silently reads as 8 bits.

    IHDR is described in the PNG specification, 11.2.1.
    """
    with open(path, "rb") as stream:
        head = stream.read(26)
    if head.startswith(b"\x89PNG") and len(head) == 26 and head[24] == 16 and head[25] != 0:
        raise ImageError(
            f"{path}: a PNG with 16 bits per channel in colour or with alpha; save it as TIFF, or as 16-bit "
            f"gray PNG."
        )


def damaged_picture(path, reason: str) -> str:
    """Return the message for a damaged picture."""
    return f"{path}: damaged or cut off picture: {reason}. Copy or export it again."
