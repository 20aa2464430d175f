"""From probability to mask."""

import numpy as np
import pytest
from skimage.measure import label, regionprops

from clamnet_tf.errors import DataError
from clamnet_tf.inference.postprocessing.slice_masks import label_map


def mask_of(probability, *options, **more):
    """The label map of one class."""
    return label_map(np.asarray(probability)[..., None], *options, **more)


def test_the_threshold_itself_is_marked():
    mask = mask_of(np.array([[0.29, 0.3, 0.31]]), None, 0.3)
    assert mask.tolist() == [[0, 1, 1]] and mask.dtype == np.uint8


def test_nothing_outside_of_the_organ():
    organ = np.eye(4, dtype=bool)
    np.testing.assert_array_equal(mask_of(np.ones((4, 4)), organ, 0.5), organ)


def test_small_components_go_by_their_share_of_the_organ():
    probability = np.zeros((20, 20))
    probability[1:4, 1:4] = 1  # 9 pixels
    probability[4, 4] = 1  # touches by a corner: the same component, 10 pixels
    probability[15:17, 15] = 1  # 2 pixels
    assert mask_of(probability, None, 0.5, 2 / 400).sum() == 12
    assert mask_of(probability, None, 0.5, 3 / 400).sum() == 10
    assert mask_of(probability, None, 0.5, 11 / 400).sum() == 0
    organ = np.zeros((20, 20), bool)
    organ[:10] = True
    assert mask_of(probability, organ, 0.5, 10 / 200).sum() == 10
    assert mask_of(probability, organ, 0.5, 11 / 200).sum() == 0


def test_components_equal_scikit_image(rng):
    for _ in range(5):
        probability = rng.random((40, 50))
        ours = mask_of(probability, None, 0.7, 12 / 2000)
        found = label(probability >= np.float32(0.7), connectivity=2)
        large = [region.label for region in regionprops(found) if region.area >= 12]
        np.testing.assert_array_equal(ours, np.isin(found, large))


def test_holes_are_filled_inside_the_organ_only():
    ring = np.zeros((7, 7))
    ring[1:6, 1:6] = 1
    ring[2:5, 2:5] = 0
    organ = np.ones((7, 7), bool)
    organ[3, 3] = False
    assert mask_of(ring, None, 0.5).sum() == 16
    assert mask_of(ring, None, 0.5, fill_holes=True).sum() == 25
    assert mask_of(ring, organ, 0.5, fill_holes=True).sum() == 24


def test_an_empty_organ_gives_an_empty_mask():
    assert not mask_of(np.ones((3, 3)), np.zeros((3, 3)), 0.5, 0.1, True).any()


def test_unusable_input_is_refused():
    with pytest.raises(DataError, match="NaN or infinite"):
        mask_of(np.array([[0.1, np.nan]]), None, 0.5)
    with pytest.raises(DataError, match=r"one shape \(H, W\).*\(2, 2, 1\) and \(2, 3\)"):
        mask_of(np.zeros((2, 2)), np.zeros((2, 3)), 0.5)


def test_classes_are_chosen_as_by_argmax():
    maps = np.round(np.random.default_rng(1).random((40, 50, 4)), 1).astype(
        np.float32
    )  # with many equal ones
    expected = np.where(maps.max(-1) >= 0.5, maps.argmax(-1) + 1, 0)
    np.testing.assert_array_equal(label_map(maps, None, 0.5), expected)
