"""Drawn mammograms whose breast is known: label, tape, border and pectoral muscle are no breast."""

import numpy as np
import pytest

from clamnet_tf.preprocessing.organs.breast import breast

HEIGHT, WIDTH = 300, 220
CROSS = 200.0 * ((abs(np.arange(HEIGHT) - 150) < 15)[:, None] | (abs(np.arange(WIDTH) - 110) < 15))


def disc(row, column, radius):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(rows - row, columns - column) < radius


def mammogram(*, muscle=True, label=True, tape=True, dense=False):
    """Return (picture (1, H, W, 1) 0..255, breast (H, W), muscle (H, W)): chest wall on the left, noise."""
    generator = np.random.default_rng(3)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    across = np.sqrt(np.clip(1 - ((rows - 160) / 125) ** 2, 0, None))
    whole = (columns < 150 * across) | ((rows < 160) & (columns < 60 + 0.5 * rows))
    thickness = np.clip((150 * across - columns) / 25, 0.25, 1.0)
    image = np.where(whole, 95 * np.where(rows < 160, np.maximum(thickness, 0.3), thickness), 4.0)
    if dense:
        image[disc(170, 70, 45) & whole] += 60
    image[disc(180, 60, 14) & whole] += 50  # a lesion
    triangle = (columns / 75 + rows / 150 < 1) & whole if muscle else np.zeros_like(whole)
    image[triangle] = 165
    if label:
        image[30:60, 165:205] = 230
    if tape:
        image[:6] = 250
        image[:, -5:] = 250
    image = image + generator.normal(0, 3, image.shape)
    return image.clip(0, 255).round()[None, ..., None].astype(np.float32), whole & ~triangle, triangle


def dice(found, true):
    return 2 * (found & true).sum() / (found.sum() + true.sum())


@pytest.mark.parametrize("turned", [False, True], ids=["chest wall left", "chest wall right"])
@pytest.mark.parametrize("dense", [False, True], ids=["fatty", "dense"])
def test_the_breast_without_label_tape_and_muscle(turned, dense):
    picture, inside, muscle = mammogram(dense=dense)
    if turned:
        picture, inside, muscle = picture[:, :, ::-1], inside[:, ::-1], muscle[:, ::-1]
    found = breast(picture)
    assert not found.fallback.any()
    assert dice(found.mask[0], inside) > 0.95
    assert found.mask[0][muscle].mean() < 0.1
    lesion = disc(180, 60, 14)[:, ::-1] if turned else disc(180, 60, 14)
    assert found.mask[0][lesion].all()


@pytest.mark.parametrize("dense", [False, True], ids=["fatty", "dense"])
def test_a_view_without_muscle_loses_nothing(dense):
    picture, inside, _ = mammogram(muscle=False, dense=dense)
    found = breast(picture).mask[0]
    assert found[inside].mean() > 0.96 and dice(found, inside) > 0.96


def test_sixteen_bits_and_a_thin_border_line():
    picture, inside, _ = mammogram(muscle=False, label=False, tape=False)
    picture[:, 0, 40:] = 255
    found = breast(picture * 16 + 1000).mask[0]
    assert dice(found, inside) > 0.96 and not found[:20, 100:].any()


def test_every_picture_of_a_volume_on_its_own():
    left, _inside, _ = mammogram()
    found = breast(np.concatenate([left, left[:, :, ::-1]])).mask
    np.testing.assert_array_equal(found[0], found[1][:, ::-1])
    np.testing.assert_array_equal(found[:1], breast(left).mask)


@pytest.mark.parametrize(
    "image",
    [CROSS, 255.0 * disc(150, 110, 12), np.zeros((HEIGHT, WIDTH))],
    ids=["a cross", "a speck", "blank"],
)
def test_what_is_no_breast_takes_the_foreground(image):
    found = breast(image[None, ..., None])
    assert found.fallback[0] == found.mask.any() == bool(image.any())


def test_a_volume_of_three_axes_is_refused():
    message = r"breast needs \(slices, rows, columns, channels\), got shape \(2, 9, 9\)"
    with pytest.raises(ValueError, match=message):
        breast(np.zeros((2, 9, 9)))
