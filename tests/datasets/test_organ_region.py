"""The table of organ.method: every word of the schema has its place, and what stands in is counted."""

import typing

import numpy as np
import pytest

from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.organ_region import METHODS, organ_region
from clamnet_tf.recipe.schema_data import OrganSection


def volume_of(array):
    return AssembledVolume(
        array.astype(np.float32),
        tuple((number, 0, number, 0.5) for number in range(len(array))),
        None,
        None,
        (),
        (),
    )


@pytest.fixture
def discs():
    rows, columns = np.mgrid[:96, :96]
    disc = (rows - 48) ** 2 + (columns - 48) ** 2 < 40**2
    return volume_of(np.stack([disc * 100.0] * 3)[..., None]), disc


def test_every_method_of_the_schema_has_its_place():
    words = typing.get_args(OrganSection.model_fields["method"].annotation)
    assert {*METHODS, "network"} == set(words)


def test_a_head_without_a_skull_takes_the_foreground(discs):
    _soft, disc = discs
    region, fallback = organ_region(
        volume_of(np.stack([disc * 40.0 - ~disc * 1000.0] * 3)[..., None]), OrganSection(method="cranium")
    )
    assert fallback == 3 and region.mean() == pytest.approx(disc.mean() * 0.86**2, rel=0.06)


def test_the_mask_of_a_network_is_taken_and_where_it_finds_nothing_the_foreground(discs):
    volume, disc = discs
    found = np.zeros((3, 96, 96), bool)
    found[0, 30:50, 40:60] = True
    region, fallback = organ_region(
        volume, OrganSection(method="network", network="any"), lambda _: found.copy()
    )
    assert fallback == 2
    np.testing.assert_array_equal(region[0], found[0])
    assert region[1].mean() == pytest.approx(disc.mean() * 0.86**2, rel=0.06)


def test_a_chest_ct_without_masks_shows_its_lungs_and_without_lungs_the_foreground(discs):
    rows, columns = np.mgrid[:96, :96]
    hounsfield = np.where(discs[1], 40.0, -1000.0)
    off = np.minimum(abs(columns - 30), abs(columns - 66)) / 12
    lungs = np.hypot((rows - 48) / 24, off) < 1
    hounsfield = np.stack([np.where(lungs, -850.0, hounsfield)] * 3)[..., None]
    region, fallback = organ_region(volume_of(hounsfield), OrganSection(method="lungs_ct"))
    assert fallback == 0 and 2 * (region & lungs).sum() / (region.sum() + 3 * lungs.sum()) > 0.9
    shrunk, _ = organ_region(volume_of(hounsfield), OrganSection(method="lungs_ct", rim=0.07))
    assert 0 < shrunk.sum() < region.sum()
    without = volume_of(np.where(hounsfield < -900, hounsfield, 40.0))
    region, fallback = organ_region(without, OrganSection(method="lungs_ct"))
    assert fallback == 3 and region.mean() == pytest.approx(discs[1].mean() * 0.86**2, rel=0.06)


@pytest.mark.parametrize("method", ["breast", "bone", "body"])
def test_the_methods_of_plain_images_take_their_rim_off_and_count_their_fallback(discs, method):
    volume, disc = discs
    region, fallback = organ_region(volume, OrganSection(method=method))
    shrunk, _ = organ_region(volume, OrganSection(method=method, rim=0.07))
    assert fallback == 0 and 2 * (region[0] & disc).sum() / (region[0].sum() + disc.sum()) > 0.9
    assert 0.5 * region.sum() < shrunk.sum() < 0.9 * region.sum()
    rows, columns = np.mgrid[:96, :96]
    speck = volume_of(np.where(np.hypot(rows - 48, columns - 48) < 4, 80.0, 0.0)[None, ..., None])
    region, fallback = organ_region(speck, OrganSection(method=method))
    assert fallback == region.any()
