"""Where slices lie, and what keeps them from being one grid."""

import re

import numpy as np
import pytest

from clamnet_tf.prediction.planes import Plane, affine_of, along_normal, unevenness

RIGHT, DOWN = np.array([0.75, 0, 0]), np.array([0, 0.5, 0])


def planes(heights, **first):
    return [
        Plane(np.array([1, 2, height], float), first.get("down", DOWN) if number == 0 else DOWN, RIGHT)
        for number, height in enumerate(heights)
    ]


@pytest.mark.parametrize(
    ("heights", "words"),
    [
        ([0, 2.5, 5], None),
        ([3], None),
        ([0, 2.5, 5.1, 7.5], None),
        ([0, 2.5, 2.5, 5], "several images at one position"),
        ([0, 2.5, 7.5, 10], r"uneven gaps between slices \(usually 2.50 mm, once 5.00 mm\)"),
    ],
)
def test_unevenness(heights, words):
    found = unevenness(planes(heights))
    assert found is None if words is None else re.match(words, found)


def test_other_reasons():
    assert unevenness([*planes([0, 1]), None]) == "slices without a position"
    assert (
        unevenness(planes([0, 1, 2], down=np.array([0, 0, 0.5])))
        == "slices of different orientation or pixel spacing"
    )
    assert along_normal([None, *planes([4.0, 1.0])]) == [None, 4.0, 1.0] and along_normal([None]) == [None]


def test_the_affine_goes_from_slice_row_column_to_millimetres():
    affine = affine_of(planes([7, 4.5, 2]), 9.0)
    np.testing.assert_allclose(affine @ [2, 10, 100, 1], [1 + 75, 2 + 5, 2, 1])
    np.testing.assert_allclose(affine_of(planes([7]), 9.0) @ [1, 0, 0, 1], [1, 2, 16, 1])
