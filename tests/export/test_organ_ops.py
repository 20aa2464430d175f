"""The organ inside a served graph, against SciPy, scikit-image and the package's own NumPy code."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from clamnet_tf.export import morphology_ops, organ_ops
from clamnet_tf.preprocessing.crop import CropBox, crop_box
from clamnet_tf.preprocessing.organs import foreground
from clamnet_tf.preprocessing.resize import resize_bilinear, resize_nearest

CROSS = ndimage.generate_binary_structure(2, 1)


def blobs(rng, shape=(61, 47), amount=0.45):
    """Random bool of many components with holes."""
    return ndimage.gaussian_filter(rng.random(shape), 1.2) > np.quantile(
        ndimage.gaussian_filter(rng.random(shape), 1.2), 1 - amount
    )


def head(rng, height, width, channels):
    """A head in any unit: an ellipse with a hole and a bright stripe on a dark ground."""
    rows, columns = np.mgrid[:height, :width]
    radius = np.hypot((rows - 0.55 * height) / (0.38 * height), (columns - 0.45 * width) / (0.3 * width))
    image = np.where(
        (radius < 1)[..., None],
        90 + 30 * rng.random((height, width, channels)),
        5 * rng.random((height, width, channels)),
    )
    image[radius < 0.15] = 3
    image[: height // 12, width // 3 : width // 2] = 100
    return image.astype(np.float32)


@pytest.mark.parametrize("number", range(4))
def test_morphology_equals_scipy(rng, number):
    rng = np.random.default_rng(number)
    mask, within = blobs(rng), blobs(rng, amount=0.8)
    equal = lambda found, wanted: np.testing.assert_array_equal(found.numpy(), wanted)
    equal(morphology_ops.dilate(tf.constant(mask), 3), ndimage.binary_dilation(mask, CROSS, iterations=3))
    equal(
        morphology_ops.dilate(tf.constant(mask), 3, within=tf.constant(within)),
        ndimage.binary_dilation(mask, CROSS, iterations=3, mask=within),
    )
    equal(morphology_ops.erode(tf.constant(mask), 2), ndimage.binary_erosion(mask, CROSS, iterations=2))
    equal(
        morphology_ops.erode(tf.constant(mask), 1, outside=True),
        ndimage.binary_erosion(mask, CROSS, border_value=1),
    )
    equal(morphology_ops.fill_holes(tf.constant(mask)), ndimage.binary_fill_holes(mask))
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest, size = morphology_ops.largest_component(tf.constant(mask))
    equal(largest, labels == sizes.argmax())
    assert size == sizes.max()
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    for distance in (0.0, 1.0, 1.5, 2.0, 2.24):
        equal(
            morphology_ops.deeper_than(tf.constant(mask), tf.constant(distance, tf.float64)), depth > distance
        )


def test_a_spiral_is_one_component_and_an_empty_mask_has_none():
    spiral = np.zeros((21, 21), bool)
    spiral[1, 1:20] = spiral[1:20, 19] = spiral[19, 3:20] = spiral[3:20, 3] = spiral[3, 3:17] = spiral[
        3:17, 16
    ] = True
    spiral[10, 10] = True
    largest, size = morphology_ops.largest_component(tf.constant(spiral))
    assert size == spiral.sum() - 1 and not largest.numpy()[10, 10]
    assert morphology_ops.largest_component(tf.zeros([5, 4], tf.bool))[1] == 0
    assert not morphology_ops.fill_holes(tf.zeros([5, 4], tf.bool)).numpy().any()


@pytest.mark.parametrize(("height", "width", "channels"), [(120, 100, 1), (300, 420, 3), (64, 64, 2)])
def test_foreground_rim_and_box_equal_the_packages_own(rng, height, width, channels):
    image = head(rng, height, width, channels)
    wanted = foreground.foreground(image[None])[0]
    found = organ_ops.foreground(tf.constant(image)).numpy()
    assert 0.2 < wanted.mean() < 0.6
    assert (found != wanted).sum() <= 2  # a value on a histogram's edge to the last bit
    inner = foreground.without_rim(wanted[None], 0.07)[0]
    np.testing.assert_array_equal(organ_ops.without_rim(tf.constant(wanted), 0.07).numpy(), inner)
    box = crop_box(inner[None], 0.02)
    np.testing.assert_array_equal(organ_ops.crop_box(tf.constant(inner), 0.02), [box.top, box.left, box.size])


@pytest.mark.parametrize(
    "image",
    [np.zeros((40, 40, 1)), np.full((40, 50, 1), 7.0), np.random.default_rng(0).normal(size=(60, 60, 1))],
    ids=["zeros", "constant", "noise"],
)
def test_images_without_an_organ(image):
    image = image.astype(np.float32)
    np.testing.assert_array_equal(
        organ_ops.foreground(tf.constant(image)).numpy(), foreground.foreground(image[None])[0]
    )
    box = crop_box(np.zeros((1, *image.shape[:2]), bool), 0.02)
    np.testing.assert_array_equal(
        organ_ops.crop_box(tf.zeros(image.shape[:2], tf.bool), 0.02), [box.top, box.left, box.size]
    )


@pytest.mark.parametrize("box", [(5, 7, 30), (-6, 10, 70), (20, -9, 44)])
def test_crop_and_resizing_equal_pillow(rng, box):
    image = rng.normal(size=(60, 50, 2)).astype(np.float32)
    square = organ_ops.crop(tf.constant(image), tf.constant(box))
    for side in (24, 64):
        wanted = CropBox(*box, 60, 50).crop(image, side)
        np.testing.assert_allclose(organ_ops.resize(square, [side, side]), wanted, atol=5e-5)
        wanted = CropBox(*box, 60, 50).crop(image, side, nearest=True)
        np.testing.assert_array_equal(organ_ops.resize_nearest(square, side), wanted)
    np.testing.assert_allclose(
        organ_ops.resize(image[..., :1], [31, 17])[..., 0],
        resize_bilinear(image[..., 0], (31, 17)),
        atol=5e-5,
    )
    assert resize_nearest(image[:50, :50, 0], (9, 9)).shape == (9, 9)


def test_percentile_equals_numpy(rng):
    values = rng.normal(size=(17, 13)).astype(np.float32)
    for percent in (0, 1, 50, 99.5, 100):
        assert float(organ_ops.percentile(values, percent)) == pytest.approx(
            np.percentile(values, percent), abs=1e-6
        )
