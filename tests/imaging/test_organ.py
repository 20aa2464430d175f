"""Foreground on made-up heads, bodies and chests; crop boxes there and back."""

import numpy as np
import pytest
from scipy import ndimage

from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing.crop import CropBox, crop_box
from clamnet_tf.preprocessing.organs.foreground import foreground, without_rim


def ellipse(side, center, radii):
    rows, columns = np.mgrid[:side, :side]
    return ((rows - center[0]) / radii[0]) ** 2 + ((columns - center[1]) / radii[1]) ** 2 <= 1


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.fixture
def head(rng):
    """Four slices from skull base to vertex and one above the head: Rician noise, bias field, dark
    ventricles, three channels.
    """
    side, slices = 128, []
    truth = np.stack(
        [ellipse(side, (64, 64), radii) for radii in ((50, 40), (46, 37), (30, 25), (13, 11), (0.1, 0.1))]
    )
    truth[-1] = False
    bias = 1 + 0.4 * np.linspace(-1, 1, side)[:, np.newaxis]
    for mask in truth:
        ventricle = ellipse(side, (60, 64), (12, 6)) & mask
        clean = (mask * 100.0 - ventricle * 85.0) * bias
        channels = [
            np.hypot(clean * scale + rng.normal(0, 4, clean.shape), rng.normal(0, 4, clean.shape))
            for scale in (1.0, 0.6, 1.4)
        ]
        slices.append(np.stack(channels, axis=-1))
    return np.stack(slices), truth


def test_head_in_mri(head):
    volume, truth = head
    found = foreground(volume)
    assert found.dtype == bool and found.shape == truth.shape
    for number, least in enumerate((0.98, 0.98, 0.96, 0.92)):  # one pixel around the vertex is 8 % of it
        assert dice(found[number], truth[number]) > least, number
    assert not found[4].any()  # above the head: noise alone


def test_one_connected_region_without_holes(head):
    volume, _truth = head
    volume[0, 2:12, 2:8] = 150  # a marker beside the head
    for found in foreground(volume)[:4]:
        assert ndimage.label(found)[1] == 1
        np.testing.assert_array_equal(ndimage.binary_fill_holes(found), found)
    assert not foreground(volume)[0, 2:12, 2:8].any()


def test_holes_are_filled_however_large(head):
    volume, truth = head
    volume[0, 40:90, 45:85] = 0
    assert dice(foreground(volume)[0], truth[0]) > 0.98


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (30.0, -2000.0), (0.001, 5.0)])
def test_units_do_not_matter(head, slope, offset):
    volume, truth = head
    assert dice(foreground(volume * slope + max(offset, -1000.0))[1], truth[1]) > 0.96


def test_body_in_hounsfield_units(rng):
    """Air, padding outside the round field of view, lungs, bone and a table."""
    side = 160
    body, view = ellipse(side, (80, 80), (50, 60)), ellipse(side, (80, 80), (79, 79))
    image = np.where(body, 40.0, -1000.0)
    image[ellipse(side, (80, 55), (25, 18)) | ellipse(side, (80, 105), (25, 18))] = -850
    image[ellipse(side, (115, 80), (8, 8))] = 900
    image[140:143, 20:140] = 200
    image += rng.normal(0, 20, image.shape)
    image[~view] = -3024
    assert dice(foreground(image[np.newaxis, ..., np.newaxis])[0], body) > 0.97


def test_chest_in_x_ray(rng):
    """Lungs are dark but not background; air beside the arms is."""
    side = 200
    body = np.zeros((side, side), bool)
    body[20:, 30:170] = True
    image = np.where(body, 170.0, 8.0)
    image[ellipse(side, (100, 65), (55, 25)) | ellipse(side, (100, 135), (55, 25))] = 60
    image[4:10, 180:190] = 255  # a letter
    found = foreground((image + rng.normal(0, 3, image.shape))[np.newaxis, ..., np.newaxis])[0]
    assert dice(found, body) > 0.97


def test_an_image_without_background_is_all_foreground(rng):
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, (1, 96, 96)), (0, 12, 12))
    image = 120 + 400 * smooth
    assert foreground(image[..., np.newaxis])[0].mean() > 0.9


def test_large_slices_are_worked_on_small_and_come_back_in_place():
    body = ellipse(700, (300, 380), (180, 240))
    found = foreground((body * 100.0)[np.newaxis, ..., np.newaxis])[0]
    assert found.shape == (700, 700) and dice(found, body) > 0.99


@pytest.mark.parametrize("value", [0.0, 7.0, -1024.0])
def test_constant_images_have_no_foreground(value):
    assert not foreground(np.full((2, 32, 32, 3), value)).any()


def test_noise_alone_has_no_foreground(rng):
    assert not foreground(np.abs(rng.normal(0, 5, (1, 128, 128, 1)))).any()


def test_blank_slices_of_a_volume(head):
    volume, _ = head
    volume[2] = 0
    assert [bool(found.any()) for found in foreground(volume)] == [True, True, False, True, False]


def test_a_constant_channel_does_not_disturb(head):
    volume, truth = head
    volume[..., 1] = 3
    assert dice(foreground(volume)[0], truth[0]) > 0.96


def test_foreground_needs_four_axes():
    with pytest.raises(ValueError, match=r"needs \(slices, rows, columns, channels\), got shape \(3, 3\)"):
        foreground(np.zeros((3, 3)))


def triangle_resize(image, side):
    """Antialiased bilinear by its definition: the mean under a triangle as wide as the new pixel, at
    half-pixel centres.
    """
    weights = []
    for length in image.shape:
        scale = length / side
        support = max(scale, 1.0)
        centers = (np.arange(side) + 0.5) * scale
        weight = np.maximum(0, 1 - np.abs(np.arange(length) + 0.5 - centers[:, np.newaxis]) / support)
        weights.append(weight / weight.sum(1, keepdims=True))
    return weights[0] @ image @ weights[1].T


@pytest.mark.parametrize("side", [16, 33, 64, 100])
def test_crop_by_definition(rng, side):
    image = rng.random((90, 80))
    box = CropBox(10, 5, 64, 90, 80)
    np.testing.assert_allclose(box.crop(image, side), triangle_resize(image[10:74, 5:69], side), atol=2e-6)


def test_crop_outside_of_the_image_is_zero(rng):
    image = rng.random((40, 50)) + 1
    box = CropBox(-10, -6, 60, 40, 50)
    padded = np.zeros((60, 60))
    padded[10:50, 6:56] = image
    np.testing.assert_allclose(box.crop(image, 30), triangle_resize(padded, 30), atol=3e-6)
    np.testing.assert_allclose(box.crop(image, 60), padded, atol=1e-6)
    np.testing.assert_allclose(box.restore(padded.astype(np.float32)), image, atol=1e-6)


@pytest.mark.parametrize(
    "box",
    [
        CropBox(0, 0, 128, 128, 128),
        CropBox(12, 20, 90, 128, 128),
        CropBox(-20, -15, 160, 128, 128),
        CropBox(-30, 70, 90, 128, 128),
    ],
)
@pytest.mark.parametrize("side", [64, 96, 200])
def test_there_and_back_keeps_a_smooth_image(box, side):
    rows, columns = np.mgrid[:128, :128]
    image = np.sin(rows / 17) + np.cos(columns / 23) + 0.01 * rows
    back = box.restore(box.crop(image, side))
    inside = np.zeros((128, 128), bool)
    border = 4  # where the image ends inside the box, zeros blend in
    inside[max(box.top, 0) : box.top + box.size, max(box.left, 0) : box.left + box.size] = True
    kept = ndimage.binary_erosion(inside, iterations=border)
    assert kept.any()
    assert np.abs(back - image)[kept].max() < 0.02
    assert not back[~inside].any()


def test_a_map_comes_back_inside_its_organ_and_range():
    """What the cubic resampling overshoots is cut; outside of the organ and of the box there is 0."""
    box = CropBox(12, 20, 90, 128, 128)
    steps = (np.indices((45, 45)).sum(0) // 5 % 2).astype(np.float32)
    organ = np.zeros((45, 45), np.float32)
    organ[5:40, 10:30] = 1
    maps, inside = box.restore_map((steps * 1.2 - 0.1)[..., None], organ)
    probability = maps[..., 0]
    assert (
        probability.shape == inside.shape == (128, 128)
        and probability.dtype == np.float32
        and inside.dtype == bool
    )
    assert probability.min() == 0 and probability.max() == 1 and not probability[~inside].any()
    rows, columns = np.where(inside)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (
        22,
        91,
        40,
        79,
    )  # two pixels of the image each


@pytest.mark.parametrize("side", [50, 64, 128])
def test_there_and_back_does_not_shift(side):
    """The centre of gravity of a spot stays within a fiftieth of a pixel: half-pixel centres, both ways."""
    rows, columns = np.mgrid[:128, :128]
    image = np.exp(-((rows - 61.3) ** 2 + (columns - 70.8) ** 2) / (2 * 6**2))
    back = CropBox(9, 7, 110, 128, 128).restore(CropBox(9, 7, 110, 128, 128).crop(image, side))
    for axis, expected in ((rows, 61.3), (columns, 70.8)):
        assert (back * axis).sum() / back.sum() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("side", [96, 128, 256, 300])
def test_area_of_a_mask_is_kept(side):
    mask = ellipse(256, (120, 140), (50, 37))
    box = CropBox(30, 50, 180, 256, 256)
    smooth = box.restore(box.crop(mask.astype(np.float32), side)) >= 0.5
    assert smooth.sum() == pytest.approx(mask.sum(), rel=0.005)
    assert dice(smooth, mask) > 0.985
    sharp = box.restore(box.crop(mask, side, nearest=True), nearest=True) >= 0.5
    assert sharp.sum() == pytest.approx(mask.sum(), rel=0.02)


def test_nearest_keeps_labels(rng):
    labels = rng.integers(0, 5, (64, 64)).astype(np.uint8) * 50
    box = CropBox(-8, 3, 77, 64, 64)
    small = box.crop(labels, 31, nearest=True)
    assert small.dtype == np.uint8 and set(np.unique(small)) <= set(np.unique(labels))
    assert set(np.unique(box.restore(small, nearest=True))) <= set(np.unique(labels))
    whole = CropBox(0, 0, 64, 64, 64)
    np.testing.assert_array_equal(whole.crop(labels, 64, nearest=True), labels)
    np.testing.assert_array_equal(whole.restore(whole.crop(labels, 192, nearest=True), nearest=True), labels)


def test_nearest_takes_the_pixel_under_the_new_centre():
    labels = np.arange(36).reshape(6, 6)
    whole = CropBox(0, 0, 6, 6, 6)
    np.testing.assert_array_equal(whole.crop(labels, 2, nearest=True), labels[1::3, 1::3])
    np.testing.assert_array_equal(whole.crop(labels, 12, nearest=True), labels.repeat(2, 0).repeat(2, 1))


def test_channels_are_cropped_alike(rng):
    image = rng.random((40, 50, 3))
    box = CropBox(3, -4, 40, 40, 50)
    np.testing.assert_array_equal(box.crop(image, 20)[..., 1], box.crop(image[..., 1], 20))
    assert box.crop(image, 20, nearest=True).shape == (20, 20, 3)


def test_a_box_that_misses_the_image(rng):
    box = CropBox(200, 0, 20, 64, 64)
    assert not box.crop(rng.random((64, 64)), 10).any()
    assert not box.restore(rng.random((10, 10))).any()


def test_crop_box_is_the_least_square_of_all_slices():
    organ = np.zeros((3, 100, 120), bool)
    organ[0, 30:50, 40:60], organ[2, 20:40, 50:90] = True, True
    assert crop_box(organ, 0.0) == CropBox(top=10, left=40, size=50, height=100, width=120)
    assert crop_box(organ, 0.1) == CropBox(top=5, left=35, size=60, height=100, width=120)


def test_crop_box_may_leave_the_image():
    organ = np.zeros((1, 50, 200), bool)
    organ[0, 10:40, 5:195] = True
    box = crop_box(organ, 0.02)
    assert (box.top, box.left, box.size) == (-74, 1, 198)


def test_crop_box_without_organ_is_the_whole_image():
    assert crop_box(np.zeros((2, 60, 100), bool), 0.3) == CropBox(-20, 0, 100, 60, 100)


def test_box_to_dict_and_back():
    box = CropBox(np.int64(-3), 4, 50, 60, 70)
    assert CropBox.from_dict(box.to_dict()) == box
    assert all(type(value) is int for value in box.to_dict().values())
    with pytest.raises(DataError, match="needs the entries height, left, size, top, width; got top"):
        CropBox.from_dict({"top": 3})
    with pytest.raises(DataError, match="a crop box cannot be used: .* positive size"):
        CropBox.from_dict({**box.to_dict(), "size": 0})


def test_wrong_shapes():
    box = CropBox(0, 0, 8, 10, 12)
    with pytest.raises(ValueError, match=r"made for images of 10 x 12, got shape \(12, 10\)"):
        box.crop(np.zeros((12, 10)), 8)
    with pytest.raises(ValueError, match="restore needs"):
        box.restore(np.zeros((8, 8, 2)))
    with pytest.raises(ValueError, match="crop_box needs"):
        crop_box(np.zeros((8, 8), bool), 0)


def test_the_rim_comes_off_by_its_share_of_the_diameter():
    rows, columns = np.mgrid[:101, :101]
    disc = ((rows - 50) ** 2 + (columns - 50) ** 2 <= 40**2)[None]
    inner = without_rim(np.concatenate([disc, np.zeros_like(disc)]), 0.1)
    radius = np.sqrt(inner[0].sum() / np.pi)
    assert radius == pytest.approx(32, abs=0.7)  # 40 - 0.1 * 80
    assert not inner[1].any() and not (inner & ~disc).any()
    np.testing.assert_array_equal(without_rim(disc, 0.0), disc)
