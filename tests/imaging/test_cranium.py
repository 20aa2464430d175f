"""The inside of the skull on drawn heads whose inside is known."""

import numpy as np
import pytest

from clamnet_tf.preprocessing.organs.cranium import _surrounded, cranium

SIDE, SLICES = 160, 9


def ellipse(rows, columns, centre=(80, 80)):
    y, x = np.mgrid[:SIDE, :SIDE]
    return ((y - centre[0]) / rows) ** 2 + ((x - centre[1]) / columns) ** 2 < 1


@pytest.fixture
def head():
    """(HU (S, H, W, 1), inside (S, H, W)): slice 0 is a neck with a jaw's arch, slices 1 to 8 a closed skull
    that narrows upwards.
    """
    hounsfield, inside = (
        np.full((SLICES, SIDE, SIDE), -1000.0, np.float32),
        np.zeros((SLICES, SIDE, SIDE), bool),
    )
    hounsfield[0][ellipse(40, 34)] = 40
    arch = ellipse(30, 26, (66, 80)) & ~ellipse(24, 20, (66, 80))
    arch[70:] = False
    hounsfield[0][arch] = 900
    canal = ellipse(10, 10, (100, 80))
    hounsfield[0][canal & ~ellipse(6, 6, (100, 80))] = 700
    for s in range(1, SLICES):
        size = 1.0 - 0.07 * (s - 1)
        hounsfield[s][ellipse(70 * size, 56 * size)] = 30  # scalp
        hounsfield[s][ellipse(64 * size, 50 * size)] = 1100
        inside[s] = ellipse(58 * size, 44 * size)
        hounsfield[s][inside[s]] = 35
    return hounsfield[..., None], inside


def overlap(found, true):
    return 2 * (found & true).sum() / (found.sum() + true.sum())


def test_inside_of_a_closed_skull_in_hounsfield_units(head):
    hounsfield, inside = head
    found = cranium(hounsfield)
    assert overlap(found, inside) > 0.985
    assert not found[0].any()  # neither mouth nor vertebral canal


def test_a_brain_window_gives_the_same(head):
    hounsfield, inside = head
    picture = np.clip((hounsfield - 0) / 80 * 255, 0, 255).round().astype(np.uint8)
    assert overlap(cranium(picture), inside) > 0.985


def test_a_craniotomy_leaves_no_leak(head):
    hounsfield, inside = head
    opened = hounsfield.copy()
    opened[4, 70:92, :40] = np.where(opened[4, 70:92, :40] > 500, 30, opened[4, 70:92, :40])
    assert overlap(cranium(opened), inside) > 0.97


def test_blood_at_the_bone_stays_inside(head):
    hounsfield, inside = head
    rim = inside[3] & ~ellipse(58 * 0.86 - 5, 44 * 0.86 - 5)
    hounsfield[3][rim] = 75
    assert cranium(hounsfield)[3][rim].mean() > 0.95


def test_nothing_is_found_without_bone(head):
    hounsfield, _ = head
    assert not cranium(np.minimum(hounsfield, 60)).any()
    assert not cranium(np.zeros((2, 64, 64, 1))).any()


def test_share_of_surrounding_directions_equals_rays_walked_one_by_one():
    bone = np.random.default_rng(0).random((11, 13, 9)) < 0.06
    expected = np.zeros(bone.shape)
    for s, row, column in np.ndindex(bone.shape):
        for angle in np.arange(24) * 2 * np.pi / 24:
            for distance in range(1, 14):
                y, x = row + round(distance * np.sin(angle)), column + round(distance * np.cos(angle))
                if 0 <= y < 13 and 0 <= x < 9 and bone[s, y, x]:
                    expected[s, row, column] += 1
                    break
    np.testing.assert_array_equal(_surrounded(bone), (expected / 24).astype(np.float32))


def test_a_head_anywhere_in_the_image_is_found_alike(head):
    hounsfield, _ = head
    air = np.full((SLICES, 2 * SIDE, 2 * SIDE, 1), -1000.0, np.float32)
    middle, corner = air.copy(), air.copy()
    middle[:, 80:240, 80:240], corner[:, :160, -160:] = hounsfield, hounsfield
    np.testing.assert_array_equal(cranium(middle)[:, 80:240, 80:240], cranium(corner)[:, :160, -160:])
