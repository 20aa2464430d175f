"""Lungs on drawn chests whose lungs are known: consolidation at the wall, cropped pictures, gas that is
no lung."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from clamnet_tf.preprocessing.organs.lungs_ct import lungs_ct

SIDE, SLICES = 192, 5
WINDOW = (-600.0, 1500.0)


def ellipse(centre, radii):
    y, x = np.mgrid[:SIDE, :SIDE]
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1


@pytest.fixture
def chest():
    """(HU (S, H, W, 1), lungs (S, H, W), vessels (S, H, W)): body with arms on a table, trachea, spine,
    two lungs."""
    generator = np.random.default_rng(5)
    hounsfield = np.full((SLICES, SIDE, SIDE), -1000.0, np.float32)
    lungs, vessels = np.zeros((2, SLICES, SIDE, SIDE), bool)
    for s in range(SLICES):
        image = hounsfield[s]
        image[160:164, 20:172] = 100  # table, with air between it and the body
        for side in (14, 178):
            image[ellipse((100, side), (20, 8))] = 40  # arms beside the body
        image[ellipse((96, 96), (60, 74))] = -100  # fat
        image[ellipse((96, 96), (55, 68))] = 45
        lungs[s] = (ellipse((92, 58), (38, 24)) | ellipse((92, 134), (38, 24))) & ~ellipse(
            (82, 104), (24, 20)
        )
        image[lungs[s]] = -860
        image[ellipse((92, 96), (5, 5))] = -1000  # trachea
        image[ellipse((128, 96), (11, 11))] = 500  # spine
        spots = generator.uniform(size=(SIDE, SIDE)) < 0.006
        vessels[s] = lungs[s] & (spots | np.roll(spots, 1, 0) | np.roll(spots, 1, 1))
        image[vessels[s]] = 30
    hounsfield += generator.normal(0.0, 20.0, hounsfield.shape).astype(np.float32)
    return hounsfield[..., None], lungs, vessels


def as_picture(hounsfield):
    center, width = WINDOW
    return np.clip((hounsfield - center + width / 2) / width * 255, 0, 255).round().astype(np.float32)


def dice(found, true):
    return 2 * (found & true).sum() / (found.sum() + true.sum())


@pytest.mark.parametrize("shown", [lambda image: image, as_picture], ids=["hounsfield", "picture"])
def test_both_lungs_with_their_vessels_and_nothing_else(chest, shown):
    hounsfield, lungs, vessels = chest
    found = lungs_ct(shown(hounsfield))
    assert not found.fallback.any()
    assert dice(found.mask, lungs) > 0.95
    assert found.mask[vessels].mean() > 0.98
    assert not found.mask[:, 89:96, 93:100].any()  # trachea
    assert not found.mask[:, 150:].any()  # table, and the air above it
    assert not found.mask[:, :, :20].any()  # arms


@pytest.mark.parametrize("shown", [lambda image: image, as_picture], ids=["hounsfield", "picture"])
@pytest.mark.parametrize("slices", [slice(0, 1), slice(None)], ids=["one slice", "volume"])
def test_consolidation_at_the_wall_stays_inside(chest, shown, slices):
    """Also without the chest's air behind it: no threshold, and no hole that could be filled."""
    hounsfield, lungs, _ = chest
    dense = lungs & ellipse((104, 34), (20, 16))
    hounsfield[dense] = 35
    found = lungs_ct(shown(hounsfield[slices])).mask
    assert dense.mean() > 0.01
    assert found[dense[slices]].mean() > 0.9
    assert dice(found, lungs[slices]) > 0.93


def test_a_lung_that_lost_its_lower_half_is_completed_by_the_other(chest):
    hounsfield, lungs, _ = chest
    dense = lungs.copy()
    dense[:, :100] = dense[:, :, 96:] = False
    hounsfield[dense] = 35
    found = lungs_ct(hounsfield[:1]).mask
    assert found[dense[:1]].mean() > 0.8
    assert dice(found, lungs[:1]) > 0.9


def test_air_bronchograms_show_where_both_dependent_parts_are_consolidated(chest):
    hounsfield, lungs, _ = chest
    dense = lungs.copy()
    dense[:, :104] = False
    bronchi = dense & (np.add.outer(np.arange(SIDE), np.zeros(SIDE, int)) % 8 < 2) & (np.arange(SIDE) % 8 < 2)
    without = hounsfield.copy()
    without[dense] = 35
    hounsfield[dense] = 35
    hounsfield[bronchi] = -950
    found, guessed = lungs_ct(hounsfield[:1]).mask, lungs_ct(without[:1]).mask
    assert found[dense[:1]].mean() > 0.85
    assert found[dense[:1]].mean() > guessed[dense[:1]].mean() + 0.2


def test_a_picture_cropped_to_the_lungs(chest):
    """No air around the body is left, and lungs touch the edge on both sides."""
    hounsfield, lungs, _ = chest
    picture, true = as_picture(hounsfield)[:1, 50:140, 38:154], lungs[:1, 50:140, 38:154]
    found = lungs_ct(picture)
    assert not found.fallback.any()
    assert dice(found.mask, true) > 0.95


@pytest.mark.parametrize("shown", [lambda image: image, as_picture], ids=["hounsfield", "picture"])
def test_a_chest_wall_as_thin_as_three_pixels(chest, shown):
    hounsfield, lungs, _ = chest
    body, muscle = ellipse((96, 96), (56, 72)), ellipse((96, 96), (53, 68))
    hounsfield[:, ellipse((96, 96), (61, 75)) & ~body] = -1000
    hounsfield[:, body & ~muscle] = np.where(lungs[:, body & ~muscle], -860, -100)[..., None]
    wall = distance_transform_edt(body)[lungs[0]].min()
    assert wall < 3.2
    assert dice(lungs_ct(shown(hounsfield)).mask, lungs) > 0.93


def test_gas_in_the_stomach_is_no_lung(chest):
    hounsfield, lungs, _ = chest
    stomach = ellipse((66, 126), (9, 12))
    hounsfield[0][lungs[0]] = 40
    hounsfield[0][stomach] = -1000
    lungs[0] = False
    found = lungs_ct(hounsfield)
    assert not found.mask[0].any() and not found.fallback.any()
    assert dice(found.mask[1:], lungs[1:]) > 0.95


def test_an_opacity_that_took_all_air_of_one_slice_is_bridged(chest):
    hounsfield, lungs, _ = chest
    hounsfield[2][lungs[2]] = 30
    found = lungs_ct(hounsfield)
    assert not found.fallback.any()
    assert dice(found.mask[2], lungs[2]) > 0.93


def test_without_lungs_the_body_without_its_rim_stands_in(chest):
    hounsfield, _, _ = chest
    hounsfield[(hounsfield > -930) & (hounsfield < -400)] = 40
    found = lungs_ct(hounsfield)
    assert found.fallback.all()
    assert 0.15 < found.mask.mean() < 0.4


def test_blank_small_and_repeated(chest):
    blank = lungs_ct(np.zeros((2, 64, 64, 1)))
    assert not blank.mask.any() and not blank.fallback.any()
    assert lungs_ct(np.arange(64.0).reshape(1, 8, 8, 1)).mask.shape == (1, 8, 8)
    np.testing.assert_array_equal(lungs_ct(chest[0]).mask, lungs_ct(chest[0]).mask)
    message = r"lungs_ct needs \(slices, rows, columns, channels\), got shape \(5, 192, 192\)"
    with pytest.raises(ValueError, match=message):
        lungs_ct(chest[0][..., 0])
