"""Pictures: grey values, overlays, outlines as SVG, PNG files read back by another library's eyes."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.draw import polygon2mask

from clamnet_tf.errors import EnvironmentFailure, ImageError
from clamnet_tf.reporting.overlays import (
    HEAT_LEVELS,
    MARKED_RGB,
    TRUTH_RGB,
    _simplified,
    contour_path,
    data_uri,
    display_gray,
    heat_png,
    overlay,
    png,
    write_png,
)

SQUARE = np.zeros((12, 14), bool)
SQUARE[3:8, 4:10] = True


def opened(content):
    return np.asarray(Image.open(io.BytesIO(content)))


def test_gray_runs_from_black_to_white_inside_the_organ(rng):
    image = rng.normal(500, 50, (40, 40))
    image[0] = 5000.0
    organ = np.ones((40, 40), bool)
    organ[0] = False
    gray = display_gray(image, organ=organ)
    assert gray.dtype == np.uint8 and gray[organ].min() == 0 and gray[organ].max() == 255
    assert abs(float(np.median(gray[organ])) - 128) < 30


def test_the_channel_shown(rng):
    image = rng.random((10, 10, 3))
    np.testing.assert_array_equal(display_gray(image), display_gray(image[:, :, 1]))
    np.testing.assert_array_equal(display_gray(image, 2), display_gray(image[:, :, 2]))
    with pytest.raises(ImageError, match=r"Channel 3 cannot be shown.*0\.\.2"):
        display_gray(image, 3)
    with pytest.raises(ImageError, match=r"one slice.*\(2, 3, 4, 5\)"):
        display_gray(np.zeros((2, 3, 4, 5)))


def test_flat_and_broken_images_can_be_shown():
    assert display_gray(np.full((5, 5), 7.0)).max() == 0
    broken = np.arange(25.0).reshape(5, 5)
    broken[2, 2] = np.nan
    assert display_gray(broken)[2, 2] == 0
    assert display_gray(np.full((3, 3), np.nan)).max() == 0


def test_overlay_draws_the_mask_inside_and_the_truth_outside():
    picture = overlay(np.full((12, 14), 100, np.uint8), SQUARE, SQUARE)
    assert picture.shape == (12, 14, 3)
    assert tuple(picture[3, 4]) == MARKED_RGB and tuple(picture[2, 4]) == TRUTH_RGB
    assert tuple(picture[0, 0]) == (100, 100, 100)
    inside = picture[5, 6].astype(int)
    assert inside[0] > 100 > inside[2]  # tinted orange, the image still shines through


def test_overlay_without_masks_is_the_image():
    gray = np.arange(168, dtype=np.uint8).reshape(12, 14)
    np.testing.assert_array_equal(overlay(gray, None)[:, :, 1], gray)
    assert overlay(gray, SQUARE, scale=3).shape == (36, 42, 3)


def parsed(path):
    return [
        np.array([[float(value) for value in pair.split()] for pair in part.split("L")])
        for part in re.findall(r"M(.*?)Z", path)
    ]


def test_contours_enclose_the_mask(rng):
    mask = np.kron(rng.random((6, 7)) < 0.4, np.ones((5, 5))).astype(bool)
    inside = np.zeros(mask.shape, int)
    for line in parsed(contour_path(mask)):
        inside += polygon2mask(mask.shape, line[:, ::-1] - 0.5)
    np.testing.assert_array_equal(inside % 2 == 1, mask)


def test_contours_leave_out_points_as_scikit_image_does(rng):
    from skimage.measure import approximate_polygon, find_contours

    smooth = ndimage.gaussian_filter(rng.normal(size=(60, 70)), 4)
    lines = find_contours(np.pad((smooth > 0).astype(np.float32), 1), 0.5)
    assert len(lines) > 2
    for line in lines:
        ours, theirs = _simplified(line, 0.3), approximate_polygon(line, 0.3)
        assert abs(len(ours) - len(theirs)) <= 0.05 * len(theirs) + 1  # of equally far points either may go
        assert len(ours) < len(line)
        chords = np.linalg.norm(np.diff(ours, axis=0), axis=1)
        starts, ends = ours[:-1], ours[1:]
        share = ((line[:, None] - starts) * (ends - starts)).sum(-1) / chords**2
        nearest = starts + np.clip(share, 0, 1)[..., None] * (ends - starts)
        assert np.linalg.norm(line[:, None] - nearest, axis=-1).min(axis=1).max() <= 0.3 + 1e-6


def test_contours_of_border_pixels_and_holes_and_nothing():
    assert contour_path(np.zeros((4, 4), bool)) == ""
    (line,) = parsed(contour_path(np.ones((4, 6), bool)))
    assert line.min(axis=0).tolist() == [0, 0] and line.max(axis=0).tolist() == [6, 4]
    ring = SQUARE.copy()
    ring[5, 6] = False
    assert len(parsed(contour_path(ring))) == 2


def test_heat_map_is_clear_at_zero_and_bright_at_one():
    picture = np.asarray(Image.open(io.BytesIO(heat_png(np.linspace(0, 1, 200)[None]))).convert("RGBA"))[
        0
    ].astype(int)
    assert picture[0, 3] == 0 and picture[-1, 3] > 200
    assert (np.diff(picture[:, :3].sum(axis=1)) >= 0).all()
    assert len(np.unique(picture, axis=0)) == HEAT_LEVELS


def test_png_keeps_every_value(tmp_path, rng):
    picture = rng.integers(0, 256, (9, 11, 3)).astype(np.uint8)
    write_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture)
    np.testing.assert_array_equal(opened(png(SQUARE)), SQUARE * 255)
    assert base64.b64decode(data_uri(b"abc").removeprefix("data:image/png;base64,")) == b"abc"


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        EnvironmentFailure, match=r"a\.png: cannot be written.*a part of the path is a file|in the way"
    ):
        write_png(tmp_path / "file" / "a.png", np.zeros((2, 2), np.uint8))
