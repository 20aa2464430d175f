"""Border distances against brute force over all pairs of points, and hand-worked cases."""

import math

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist

from clamnet_tf.errors import DataError
from clamnet_tf.metrics.surface import border, diagonal, directed_distances, hd95, surface_dice


def brute_border(mask):
    """A pixel of the mask with a face neighbour that is not in it, looked up one by one."""
    padded = np.pad(mask, 1)
    found = np.zeros_like(mask)
    for place in np.argwhere(mask):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                neighbour = place + 1
                neighbour[axis] += step
                found[tuple(place)] |= not padded[tuple(neighbour)]
    return found


def brute_distances(truth, marked, spacing):
    points = [np.argwhere(brute_border(mask)) * spacing for mask in (truth, marked)]
    table = cdist(*points)
    return table.min(axis=1), table.min(axis=0)


def blobs(rng, shape):
    return ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0.12


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.0)], ids=["pixels", "anisotropic"])
def test_equals_brute_force_in_two_dimensions(rng, spacing):
    for _ in range(10):
        truth, marked = blobs(rng, (30, 41)), blobs(rng, (30, 41))
        forth, back = brute_distances(truth, marked, spacing)
        ours = directed_distances(truth, marked, spacing)
        np.testing.assert_allclose(np.sort(ours[0]), np.sort(forth))
        np.testing.assert_allclose(np.sort(ours[1]), np.sort(back))
        assert hd95(truth, marked, spacing) == pytest.approx(
            max(np.percentile(forth, 95), np.percentile(back, 95))
        )


def test_equals_brute_force_in_three_dimensions(rng):
    truth, marked = blobs(rng, (7, 18, 15)), blobs(rng, (7, 18, 15))
    forth, back = brute_distances(truth, marked, (5.0, 0.9, 0.9))
    assert hd95(truth, marked, (5.0, 0.9, 0.9)) == pytest.approx(
        max(np.percentile(forth, 95), np.percentile(back, 95))
    )


def test_border_counts_the_edge_of_the_image_as_outside():
    mask = np.ones((5, 5), bool)
    assert border(mask).sum() == 16
    np.testing.assert_array_equal(border(mask), brute_border(mask))


def test_a_shifted_square_is_off_by_its_shift():
    truth = np.zeros((30, 30), bool)
    truth[5:15, 5:15] = True
    assert hd95(truth, np.roll(truth, 3, axis=1)) == 3
    assert hd95(truth, np.roll(truth, 3, axis=1), (1.0, 0.5)) == 1.5
    assert hd95(truth, truth) == 0


def test_the_larger_direction_counts():
    truth, marked = np.zeros((1, 60), bool), np.zeros((1, 60), bool)
    truth[0, 0] = True
    marked[0, [0, 40]] = True  # from the truth: 0; from the mask: 0 and 40, whose 95th percentile is 38
    assert hd95(truth, marked) == pytest.approx(38.0)
    assert hd95(marked, truth) == pytest.approx(38.0)


def test_one_empty_mask_is_as_far_as_the_image_is_wide():
    truth = np.zeros((30, 40), bool)
    assert hd95(truth, truth) is None
    marked = truth.copy()
    marked[3, 4] = True
    assert hd95(truth, marked) == hd95(marked, truth) == 50
    assert (
        hd95(truth, marked, (2.0, 1.0)) == diagonal((30, 40), (2.0, 1.0)) == pytest.approx(math.hypot(60, 40))
    )


def test_wrong_input_is_refused():
    mask = np.ones((3, 3), bool)
    with pytest.raises(DataError, match="different shapes"):
        hd95(mask, np.ones((3, 4), bool))
    with pytest.raises(DataError, match="2 positive numbers"):
        hd95(mask, mask, (1.0, 0.0))
    with pytest.raises(DataError, match="2 positive numbers"):
        hd95(mask, mask, (5.0, 1.0, 1.0))
    with pytest.raises(DataError, match="not empty"):
        directed_distances(mask, ~mask)


# MetricsReloaded's normalised_surface_distance (share of the border pixels of both masks within the tolerance
# of the other border) is written out here with all pairs of points.
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.0)], ids=["pixels", "anisotropic"])
def test_surface_dice_equals_brute_force(rng, spacing):
    for _ in range(10):
        truth, marked = blobs(rng, (30, 41)), blobs(rng, (30, 41))
        distances = np.concatenate(brute_distances(truth, marked, spacing))
        assert surface_dice(truth, marked, (0, 1, 2, 5), spacing) == pytest.approx(
            [np.mean(distances <= tolerance + 1e-9) for tolerance in (0, 1, 2, 5)]
        )


def test_surface_dice_of_shifted_squares():
    truth, marked = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    truth[5:10, 5:10], marked[5:10, 8:13] = True, True
    # 16 border pixels each; at 0 the edges cross in 4 pixels: columns 8 and 9 of the upper and lower edge
    assert surface_dice(truth, marked, (0, 3)) == [8 / 32, 1.0]
    assert surface_dice(truth, truth, (0,)) == [1.0]


def test_surface_dice_of_empty_masks():
    empty, some = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    assert surface_dice(empty, empty, (2,)) is None
    assert surface_dice(some, empty, (2, 5)) == surface_dice(empty, some, (2, 5)) == [0.0, 0.0]
