"""TIFF, written by Pillow and tifffile."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.mask_files import read_mask
from clamnet_tf.imaging.tiff import read_tiff


@pytest.fixture
def colour(rng):
    return rng.integers(0, 256, (12, 10, 3)).astype(np.uint8)


def test_kaggle_3m_layout(tmp_path, colour):
    tifffile.imwrite(tmp_path / "TCGA_1.tif", colour, photometric="rgb")
    tifffile.imwrite(tmp_path / "TCGA_1_mask.tif", (colour[..., 0] > 99).astype(np.uint8) * 255)
    volume = read_tiff(tmp_path / "TCGA_1.tif")
    np.testing.assert_array_equal(volume.array[0], colour)
    np.testing.assert_array_equal(
        read_mask(tmp_path / "TCGA_1_mask.tif", like=volume).values[0], colour[..., 0] > 99
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_types(tmp_path, ramp, dtype, compression):
    pixels = ramp(dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression)
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif").array[0, ..., 0], pixels)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_deep_colour_tiff(tmp_path, colour, planar):
    deep = colour.astype(np.uint16) * 257
    stored = deep if planar == "contig" else np.moveaxis(deep, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif").array[0], deep)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate"])
def test_compressions_of_pillow(tmp_path, colour, compression):
    for pixels in (colour, colour[..., 0]):
        Image.fromarray(pixels).save(tmp_path / "a.tif", compression=compression)
        np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif").array[0], pixels.reshape(12, 10, -1))


def test_lzw_pages(tmp_path, ramp):
    pages = [Image.fromarray(ramp(offset=n, dtype=np.uint8)) for n in range(3)]
    pages[0].save(tmp_path / "a.tif", compression="tiff_lzw", save_all=True, append_images=pages[1:])
    assert read_tiff(tmp_path / "a.tif").array[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_pages_are_slices(tmp_path, ramp):
    stack = np.stack([ramp(offset=n, dtype=np.uint16) for n in range(5)])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    volume = read_tiff(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.array[..., 0], stack)
    np.testing.assert_array_equal(volume.to_original(volume.array[..., 0]), stack)
    assert [reference.frame for reference in volume.grid.references] == [0, 1, 2, 3, 4]


def test_colour_pages_and_imagej_channels(tmp_path, colour):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([colour, 255 - colour]), photometric="rgb")
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif").array[1], 255 - colour)
    stack = np.stack([np.moveaxis(colour, -1, 0)[:2], np.moveaxis(255 - colour, -1, 0)[:2]])
    tifffile.imwrite(tmp_path / "b.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    np.testing.assert_array_equal(read_tiff(tmp_path / "b.tif").array, stack.transpose(0, 2, 3, 1))


def test_time_and_depth_together_are_refused(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((2, 3, 9, 9), np.uint8), imagej=True, metadata={"axes": "TZYX"}
    )
    with pytest.raises(ImageError, match="axes TZYX of shape .*at most one axis of slices"):
        read_tiff(tmp_path / "a.tif")


def test_pages_of_different_sizes(tmp_path, ramp):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(ramp(), photometric="minisblack")
        file.write(ramp(9, 9), photometric="minisblack")
    with pytest.raises(ImageError, match=r"do not form one stack \(shapes \(12, 10\), \(9, 9\)\)"):
        read_tiff(tmp_path / "a.tif")


def test_white_is_zero_is_inverted(tmp_path, ramp):
    tifffile.imwrite(tmp_path / "a.tif", ramp(dtype=np.uint8), photometric="miniswhite")
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif").array[0, ..., 0], 255 - ramp())


def test_palette_tiff(tmp_path, colour):
    palette = Image.fromarray(colour).quantize(8)
    palette.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif").array[0], np.asarray(palette.convert("RGB")))


def test_tiff_with_alpha(tmp_path, colour):
    alpha = np.full((12, 10), 255, np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", np.dstack([colour, alpha]), photometric="rgb", extrasamples=["unassalpha"]
    )
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif").array[0], colour)
    alpha[:6] = 0
    tifffile.imwrite(
        tmp_path / "b.tif", np.dstack([colour, alpha]), photometric="rgb", extrasamples=["unassalpha"]
    )
    assert not read_tiff(tmp_path / "b.tif").array[0, :6].any()


def test_lost_pages_are_noticed(tmp_path, ramp):
    """tifffile returns the remaining pages and only writes a line to its log."""
    stack = np.stack([ramp(40, 40, offset=n, dtype=np.uint16) for n in range(4)])
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in stack:
            file.write(page, photometric="minisblack", contiguous=False, metadata=None)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(ImageError, match="cut.tif: damaged or cut off picture"):
        read_tiff(tmp_path / "cut.tif")


def test_float_tiff_with_nan(tmp_path):
    values = np.ones((12, 10), np.float32)
    values[3, :4] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", values)
    with pytest.raises(ImageError, match="4 NaN and 0 infinite values of 120"):
        read_tiff(tmp_path / "a.tif")
