"""Drawn X-rays of limbs whose outline is known: cast, two views, collimator, letters, a background with a
slope.
"""

import numpy as np
import pytest

from clamnet_tf.preprocessing.organs.bone import bone

HEIGHT, WIDTH = 280, 230
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]


def limb(column, halfwidth=22):
    """Return (brightness (H, W) of a limb with a bone in it, its outline (H, W) bool), from the top down to
    row 220.
    """
    off = np.abs(COLUMNS - column - 0.1 * (ROWS - 140))
    outline = (off < halfwidth) & (ROWS < 220)
    thickness = np.sqrt(np.clip(1 - (off / halfwidth) ** 2, 0, None))
    return np.where(outline, 60 * np.maximum(thickness, 0.35) + 70 * (off < 6), 0.0), outline


def film(brightness):
    """Lay a slope, bands and noise under it; (1, H, W, 1) float32 in 0..255."""
    generator = np.random.default_rng(11)
    image = 25 + 20 * COLUMNS / WIDTH + 8 * ROWS / HEIGHT + 1.5 * np.sin(COLUMNS / 5) + brightness
    return (
        (image + generator.normal(0, 2, image.shape)).clip(0, 255).round()[None, ..., None].astype(np.float32)
    )


def dice(found, true):
    return 2 * (found & true).sum() / (found.sum() + true.sum())


def test_one_limb_on_a_background_with_a_slope():
    brightness, outline = limb(110)
    found = bone(film(brightness))
    assert not found.fallback.any()
    assert dice(found.mask[0], outline) > 0.9
    assert found.mask[0][outline].mean() > 0.97


def test_a_cast_belongs_to_the_limb():
    brightness, outline = limb(110)
    off = np.abs(COLUMNS - 110 - 0.1 * (ROWS - 140))
    cast = (off < 30) & (ROWS > 60) & (ROWS < 200)
    found = bone(film(brightness + np.where(cast, 30, 0) + np.where(cast & (off > 25), 50, 0))).mask[0]
    assert found[outline].mean() > 0.97 and found[cast].mean() > 0.96
    assert dice(found, outline | cast) > 0.9


def test_two_views_on_one_film_are_both_kept():
    (one, first), (two, second) = limb(55), limb(165, 16)
    found = bone(film(one + two)).mask[0]
    assert found[first].mean() > 0.97 and found[second].mean() > 0.97
    assert dice(found, first | second) > 0.9


def test_collimator_letters_and_the_glow_beside_a_strip_are_left_out():
    brightness, outline = limb(110)
    picture = film(brightness + 40 * np.exp(-(HEIGHT - ROWS) / 15))
    picture[0, 255:, :, 0] = 255
    picture[0, :, :5, 0] = 250
    picture[0, 60:72, 190:200, 0] = 255  # a letter
    found = bone(picture).mask[0]
    assert not found[255:].any() and not found[:, :5].any() and not found[55:80, 185:205].any()
    assert dice(found, outline) > 0.9


def test_a_picture_without_background_is_patient_throughout():
    brightness = 60 + 60 * np.exp(-(((COLUMNS - 110) / 40) ** 2)) + 20 * np.sin(ROWS / 9)
    found = bone(film(brightness))
    assert found.mask.mean() > 0.5


def test_nothing_and_a_speck_take_the_foreground():
    speck = np.where(np.hypot(ROWS - 140, COLUMNS - 110) < 9, 150.0, 0.0)
    found = bone((20 + speck)[None, ..., None])
    assert found.fallback[0] == found.mask.any()
    blank = bone(np.full((2, 40, 40, 1), 7.0))
    assert not blank.mask.any() and not blank.fallback.any()


def test_deterministic_and_every_picture_on_its_own():
    (one, _), (two, _) = limb(60), limb(150)
    pictures = np.concatenate([film(one), film(two)])
    found = bone(pictures).mask
    np.testing.assert_array_equal(found[1], bone(pictures[1:]).mask[0])
    with pytest.raises(ValueError, match=r"bone needs \(slices, rows, columns, channels\), got shape"):
        bone(pictures[..., 0])
