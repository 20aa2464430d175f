"""PNG and JPEG, written by Pillow, and damaged pictures of all three kinds."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.mask_files import read_mask
from clamnet_tf.imaging.picture import read_picture
from clamnet_tf.imaging.tiff import read_tiff


@pytest.fixture
def colour(rng):
    return rng.integers(0, 256, (12, 10, 3)).astype(np.uint8)


def png(header, rows):
    """Return a PNG file from its IHDR and unpacked rows (PNG specification 5)."""
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_png_has_one_channel(tmp_path, ramp, dtype):
    pixels = ramp(dtype=dtype) * (1 if dtype == np.uint8 else 500)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    volume = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(volume.array, pixels[np.newaxis, ..., np.newaxis])
    assert volume.array.dtype == np.float32 and volume.spacing_mm is None and volume.affine is None
    np.testing.assert_array_equal(volume.to_original(volume.array[..., 0]), pixels)


def test_rgb_png_and_palette_have_three(tmp_path, colour):
    Image.fromarray(colour).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").array[0], colour)
    palette = Image.fromarray(colour).quantize(8)
    palette.save(tmp_path / "b.png")
    np.testing.assert_array_equal(
        read_picture(tmp_path / "b.png").array[0], np.asarray(palette.convert("RGB"))
    )


def test_one_bit_png(tmp_path, rng):
    bits = rng.random((12, 10)) > 0.5
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").array[0, ..., 0], bits * 255)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png").values[0], bits)


def test_opaque_alpha_is_dropped(tmp_path, colour, ramp):
    Image.fromarray(np.dstack([colour, np.full((12, 10), 255, np.uint8)])).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").array[0], colour)
    gray = ramp(dtype=np.uint8)
    Image.merge("LA", [Image.fromarray(gray), Image.new("L", (10, 12), 255)]).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png").array[0, ..., 0], gray)


def test_transparent_pixels_become_black(tmp_path, colour):
    alpha = np.full((12, 10), 255, np.uint8)
    alpha[:4], alpha[4:6] = 0, 51
    Image.fromarray(np.dstack([colour, alpha])).save(tmp_path / "a.png")
    array = read_picture(tmp_path / "a.png").array[0]
    assert not array[:4].any()
    np.testing.assert_allclose(array[4:6], colour[4:6] * 0.2, rtol=1e-6)
    np.testing.assert_array_equal(array[6:], colour[6:])


def test_a_picture_in_its_alpha_alone(tmp_path, ramp):
    Image.fromarray(np.dstack([np.zeros((12, 10, 3), np.uint8), ramp(dtype=np.uint8)])).save(
        tmp_path / "a.png"
    )
    with pytest.raises(ImageError, match="its colours are all black and the picture is in its alpha channel"):
        read_picture(tmp_path / "a.png")


def test_jpeg_gray_colour_cmyk(tmp_path):
    ramps = np.add.outer(np.arange(40), np.arange(40)).astype(np.uint8)
    smooth = np.stack([ramps, ramps[::-1], 3 * ramps], axis=-1)
    for mode, channels in (("L", 1), ("RGB", 3), ("CMYK", 3)):
        picture = Image.fromarray(smooth).convert(mode)
        picture.save(tmp_path / "a.jpg", quality=95)
        array = read_picture(tmp_path / "a.jpg").array
        assert array.shape == (1, 40, 40, channels)
        shown = np.asarray(picture.convert("RGB" if channels == 3 else "L")).reshape(40, 40, channels)
        assert np.abs(array[0] - shown).mean() < 3


def test_exif_orientation_is_applied(tmp_path, ramp):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right to view
    pixels = ramp(24, 16, dtype=np.uint8) // 2
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    volume = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(volume.array[0, ..., 0], np.rot90(pixels, -1))
    assert volume.grid.shape == (16, 24)


def test_sixteen_bit_colour_png_is_refused(tmp_path):
    """Pillow would silently return eight bits."""
    content = png(
        struct.pack(">IIBBBBB", 9, 9, 16, 2, 0, 0, 0), b"".join(b"\0" + bytes(9 * 6) for _ in range(9))
    )
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match="16 bits per channel in colour.*save it as TIFF"):
        read_picture(tmp_path / "a.png")


def test_a_mask_saved_as_jpeg_is_cut_in_the_middle(tmp_path):
    mask = np.zeros((40, 40), np.uint8)
    mask[9:30, 11:26] = 255
    Image.fromarray(mask).save(tmp_path / "m.jpg", quality=80)
    assert (np.asarray(Image.open(tmp_path / "m.jpg")) != 0).sum() > (mask != 0).sum()
    np.testing.assert_array_equal(read_mask(tmp_path / "m.jpg").values[0], mask != 0)


def test_a_jpeg_named_png_is_still_read(tmp_path, colour):
    Image.fromarray(colour).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").array.shape == (1, 12, 10, 3)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_cut_off(tmp_path, rng, name):
    path = tmp_path / name
    Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    for share in (0.2, 0.5, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ImageError, match=f"{name}: damaged or cut off picture"):
            (read_tiff if name == "a.tif" else read_picture)(path)


def test_decompression_bombs(tmp_path):
    (tmp_path / "bomb.png").write_bytes(
        png(struct.pack(">IIBBBBB", 60000, 20000, 1, 0, 0, 0, 0), bytes(7500))
    )
    with pytest.raises(ImageError, match="bomb.png: too large"):
        read_picture(tmp_path / "bomb.png")
    tifffile.imwrite(tmp_path / "bomb.tif", np.zeros((9, 9), np.uint8), compression="zlib")
    raw = bytearray((tmp_path / "bomb.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "bomb.tif") as file:
        places = [file.pages[0].tags[tag].valueoffset for tag in ("ImageWidth", "ImageLength")]
        formats = [file.pages[0].tags[tag].dtype for tag in ("ImageWidth", "ImageLength")]
    for place, kind in zip(places, formats):
        raw[place : place + (2 if kind == 3 else 4)] = (30000).to_bytes(2 if kind == 3 else 4, "little")
    (tmp_path / "bomb.tif").write_bytes(bytes(raw))
    with pytest.raises(ImageError, match="bomb.tif: too large: it announces 900,000,000 bytes of pixels"):
        read_tiff(tmp_path / "bomb.tif")
