"""Drawn CT slices whose body is known: table, blanket, arm and bowel gas."""

import numpy as np
import pytest

from clamnet_tf.preprocessing.organs.body import body

SIDE, SLICES = 160, 4


def ellipse(centre, radii):
    y, x = np.mgrid[:SIDE, :SIDE]
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1


@pytest.fixture
def scan():
    """(HU (S, H, W, 1), body (S, H, W)): on a curved table, under a blanket, with gas in bowel and lungs."""
    generator = np.random.default_rng(8)
    hounsfield, inside = (
        np.full((SLICES, SIDE, SIDE), -1000.0, np.float32),
        np.zeros((SLICES, SIDE, SIDE), bool),
    )
    for s in range(SLICES):
        inside[s] = ellipse((78, 80), (42 - s, 58 - s))
        hounsfield[s][ellipse((76, 80), (47, 64)) & ~ellipse((76, 80), (45, 62))] = -600  # blanket
        hounsfield[s][(ellipse((20, 80), (120, 140)) & ~ellipse((20, 80), (116, 137)))] = 150  # table
        hounsfield[s][inside[s]] = -100
        hounsfield[s][ellipse((78, 80), (36 - s, 52 - s))] = 45
        hounsfield[s][ellipse((60, 80), (8, 12))] = -980  # bowel gas
        hounsfield[s][ellipse((80, 50), (16, 12))] = -850  # lung
    return (hounsfield + generator.normal(0, 15, hounsfield.shape))[..., None], inside


def dice(found, true):
    return 2 * (found & true).sum() / (found.sum() + true.sum())


def picture(hounsfield, center, width):
    return np.clip((hounsfield - center + width / 2) / width * 255, 0, 255).round()


WINDOWS = {"hounsfield": None, "soft tissue": (40, 400), "lung window": (-600, 1500)}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_the_body_without_table_and_blanket(scan, window):
    hounsfield, inside = scan
    found = body(picture(hounsfield, *window) if window else hounsfield)
    assert not found.fallback.any()
    assert dice(found.mask, inside) > 0.96
    assert found.mask[:, 60, 80].all() and found.mask[:, 80, 50].all()  # gas and lung
    assert not found.mask[:, 132:].any()  # table


def test_lungs_that_the_edge_cuts_open_stay_inside(scan):
    hounsfield, inside = scan
    found = body(hounsfield[:, 40:120, 48:112]).mask
    assert found[inside[:, 40:120, 48:112]].mean() > 0.97


def test_a_slice_without_body_between_others_takes_the_fallback_and_at_the_end_stays_empty(scan):
    hounsfield, _ = scan
    hounsfield[0] = hounsfield[2] = -1000.0
    hounsfield[2, 70:90, 70:90] = 40.0
    found = body(hounsfield)
    assert not found.mask[0].any() and list(found.fallback) == [False, False, True, False]


def test_blank_volumes_and_wrong_shapes():
    assert not body(np.zeros((2, 32, 32, 1))).mask.any()
    with pytest.raises(
        ValueError, match=r"body needs \(slices, rows, columns, channels\), got shape \(2, 9, 9\)"
    ):
        body(np.zeros((2, 9, 9)))
