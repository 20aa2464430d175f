"""Shapes of regions, against SciPy."""

import numpy as np
import pytest
from scipy import ndimage

from clamnet_tf.preprocessing.organs.foreground import without_rim
from clamnet_tf.preprocessing.organs.region_shapes import fill_holes


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.6, 0.8, 1.0])
def test_filled_holes_equal_scipys(share):
    mask = np.random.default_rng(3).random((41, 57)) < share
    np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))


def test_the_rim_is_that_of_distances_over_the_whole_slice():
    smooth = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(6, 60, 80)), (0, 6, 6))
    organ = smooth > np.quantile(smooth, 0.6)
    organ[2] = False
    organ[3] = True
    for inside, inner in zip(organ, without_rim(organ, 0.1)):
        distance = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        np.testing.assert_array_equal(inner, distance > 0.1 * 2 * np.sqrt(inside.sum() / np.pi))
