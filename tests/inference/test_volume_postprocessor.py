"""Label maps: each class cut by its own threshold, argmax by odds in units of the cut's odds."""

import numpy as np
import pytest

from clamnet_tf.inference.postprocessing.one_class import ClassPostprocessor, PostprocessingConfig, calibrate
from clamnet_tf.inference.postprocessing.slice_masks import label_map
from clamnet_tf.inference.postprocessing.volume import COMMON_CUT, VolumePostprocessor
from clamnet_tf.recipe.classes import UNNAMED

PLAIN = PostprocessingConfig()


def marking(*cuts):
    return VolumePostprocessor(
        ("one", "two"), tuple(ClassPostprocessor(PLAIN, cut, threshold=cut) for cut in cuts)
    )


def test_a_pixel_belongs_to_the_class_furthest_above_its_own_cut():
    maps = np.array(
        [[0.55, 0.30], [0.55, 0.10], [0.45, 0.10], [0.45, 0.30], [0.90, 0.30], [0.55, 0.22]], np.float32
    ).reshape(1, 1, 6, 2)
    organ = np.ones((1, 1, 6), bool)
    shifted = marking(0.5, 0.2)(maps, np.zeros((1, 1, 6, 1)), organ)
    odds = maps / (1 - maps) / np.array([1.0, 0.25])  # of the cuts 0.5 and 0.2
    np.testing.assert_allclose(shifted, odds / (1 + odds), rtol=1e-5)
    assert label_map(shifted[0], organ[0], 0.5).tolist() == [
        [2, 1, 0, 2, 1, 1]
    ]  # by plain argmax the first would be 1


def test_outside_of_the_organ_nothing_is_marked_and_crumbs_of_a_class_go():
    maps = np.zeros((8, 8, 2), np.float32)
    maps[:4, :4, 0], maps[6, 6, 1] = 0.9, 0.9
    organ = np.ones((8, 8), bool)
    organ[:, 0] = False
    shifted = marking(0.5, 0.5)(maps[None], np.zeros((1, 8, 8, 1)), organ[None])[0]
    assert not shifted[:, 0].any()
    expected = np.zeros((8, 8), np.uint8)
    expected[:4, 1:4], expected[6, 6] = 1, 2
    np.testing.assert_array_equal(label_map(shifted, organ, 0.5), expected)
    expected[6, 6] = 0
    np.testing.assert_array_equal(label_map(shifted, organ, 0.5, smallest_component=0.05), expected)


def test_each_class_is_calibrated_on_the_slices_that_show_it(rng):
    maps, organ = rng.random((6, 10, 10, 2)).astype(np.float32), np.ones((6, 10, 10), bool)
    shown = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [0, 0]], bool)
    parts = tuple(
        calibrate(PLAIN, [(maps[..., c], maps, organ, shown[:, c])], share)
        for c, share in enumerate((0.1, 0.3))
    )
    both = VolumePostprocessor(("one", "two"), parts)
    shifted = both(maps, maps, organ)
    for c, share in enumerate((0.1, 0.3)):
        assert abs((shifted[shown[:, c], ..., c] >= 0.5).mean() - share) < 0.011
    assert VolumePostprocessor.from_row(both.row(), ("one", "two")) == both and both.with_steps(PLAIN) == both


def test_a_single_class_keeps_its_maps_and_its_own_cut(rng):
    maps, organ = rng.random((3, 6, 6, 1)).astype(np.float32), np.ones((3, 6, 6), bool)
    part = ClassPostprocessor(PLAIN, 0.3, threshold=0.3)
    alone = VolumePostprocessor((UNNAMED,), (part,))
    np.testing.assert_array_equal(alone(maps, maps, organ), maps)
    assert (
        alone.threshold == 0.3
        and marking(0.3, 0.3).threshold == 0.3
        and marking(0.3, 0.4).threshold == COMMON_CUT
    )
    assert alone.row() == part.row() and VolumePostprocessor.from_row(alone.row(), (UNNAMED,)) == alone
    np.testing.assert_array_equal(label_map(maps[0], organ[0], 0.3), maps[0, ..., 0] >= 0.3)


def test_a_row_of_other_classes_is_refused():
    with pytest.raises(ValueError, match="its lesion classes are one, two, the recipe's two, one"):
        VolumePostprocessor.from_row(marking(0.1, 0.2).row(), ("two", "one"))
