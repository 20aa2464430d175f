"""The value 255 in masks: ignored beside class numbers, the lesion beside 0 alone."""

import nibabel
import numpy as np
import pytest
from PIL import Image

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import mask_values
from clamnet_tf.imaging.mask_files import read_mask
from clamnet_tf.losses import of_masks


def plane(*values):
    """A plane of 12 x 12 with a square of 4 x 4 for each value."""
    result = np.zeros((12, 12), np.uint8)
    for index, value in enumerate(values):
        result[4 * index : 4 * index + 4, 2:6] = value
    return result


@pytest.fixture
def saved(tmp_path):
    def save(array, name="a_mask.png"):
        if name.endswith(".png"):
            Image.fromarray(array).save(tmp_path / name)
        else:
            nibabel.save(nibabel.Nifti1Image(array.T[..., None], np.eye(4)), tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("name", ["a_mask.png", "a_mask.nii.gz"])
def test_255_beside_class_numbers_is_ignored(saved, name):
    array = plane(1, 255)
    mask = read_mask(saved(array, name), ignored=True)
    assert sorted(np.unique(mask.values).tolist()) == [0, 1, 255]
    assert (mask.values == 255).sum() == 16 and (mask.values == 1).sum() == 16
    assert "255 beside class numbers is ignored" in " ".join(mask.notes) and not mask.lesion_is_255


def test_a_lesion_of_one_pixel_beside_ignored_ones_is_no_edge(saved):
    array = plane(255)
    array[10, 10] = 1
    mask = read_mask(saved(array), ignored=True)
    assert (mask.values == 1).sum() == 1 and (mask.values == 255).sum() == 16


def test_255_alone_is_the_lesion(saved):
    mask = read_mask(saved(plane(255)), ignored=True)
    assert np.unique(mask.values).tolist() == [0, 1] and mask.lesion_is_255


def test_several_classes(saved):
    mask = read_mask(saved(plane(1, 2, 255)), classes=2, ignored=True)
    assert np.unique(mask.values).tolist() == [0, 1, 2, 255]
    only = read_mask(saved(plane(255)), classes=2, ignored=True)
    assert np.unique(only.values).tolist() == [0, 255] and not only.lesion_is_255


def test_shades_stay_shades(saved):
    array = plane(255)
    array[4, 2:6] = 100
    mask = read_mask(saved(array), ignored=True)
    assert np.unique(mask.values).tolist() == [0, 1]


def test_an_organ_mask_may_not_hold_ignored_pixels(saved):
    with pytest.raises(ImageError, match="expected a mask"):
        read_mask(saved(plane(1, 255)))


def test_the_value_is_the_same_everywhere():
    assert mask_values.IGNORED == of_masks.IGNORED == 255
