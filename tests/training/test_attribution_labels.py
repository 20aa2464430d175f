"""What an attribution teaches: which slices and pixels are lesion, background or ignored, on phantoms with a
hand-made teacher.
"""

import numpy as np
import pytest

from clamnet_tf.recipe.schema_attribution import AttributionSection
from clamnet_tf.training.attribution_labels import attribution_labels, outlines, student_labels
from clamnet_tf.training.pseudo_labels import BACKGROUND, FOREGROUND, IGNORED

SIDE = 32


def disc(y, x, radius=4.0):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.hypot(rows - y, columns - x) <= radius


class BrightestBlob:
    """A teacher that looks, in a map of Gaussian width 2, at the brightest place of a slice, and calls it
    abnormal above 1.
    """

    def __call__(self, images):
        rows, columns = np.mgrid[:SIDE, :SIDE]
        places = [np.unravel_index(one[..., 0].argmax(), one.shape[:2]) for one in images]
        return np.stack([np.exp(-(np.hypot(rows - y, columns - x) ** 2) / 8) for y, x in places])[
            ..., None
        ].astype(np.float32)

    def probability(self, images):
        return (images[..., 0].max(axis=(1, 2)) > 1).astype(np.float32)


def taught(images, labels, volumes=None, organ=None, **changes):
    refinement = {"methods": ["halfway"], "reach": 6.0, "smoothing": 0.0} | changes.pop("refinement", {})
    section = AttributionSection(**{"share": 0.03, "refinement": refinement, **changes})
    images = np.asarray(images, np.float32)[..., None]
    organ = np.ones(images.shape[:3], np.uint8) if organ is None else organ
    volumes = np.arange(len(images)) if volumes is None else np.asarray(volumes)
    return attribution_labels(BrightestBlob(), images, organ, np.asarray(labels), volumes, section, 0.05)


def with_peak(mask, value, peak):
    image = value * mask.astype(float)
    image[peak] += 0.5
    return image


def test_normals_are_background_and_abnormals_are_outlined():
    one = with_peak(disc(14, 16), 3.0, (14, 17))
    result = taught([one, one, np.zeros((SIDE, SIDE))], [0, 1, 0])
    assert (
        result.dtype == np.uint8 and not result[0].any() and not result[2].any()
    )  # the label counts, not what the teacher sees
    np.testing.assert_array_equal(result[1] == FOREGROUND, disc(14, 16))
    assert set(np.unique(result[1])) == {BACKGROUND, FOREGROUND}


def test_what_the_classifier_does_not_see_is_ignored_throughout():
    seen, dim = with_peak(disc(14, 16), 3.0, (14, 17)), with_peak(disc(14, 16), 0.3, (14, 17))
    result = taught([seen, dim], [1, 1])
    assert (result[0] == FOREGROUND).any() and (result[1] == IGNORED).all()
    assert (taught([seen, dim], [1, 1], least_score=0.0)[1] == FOREGROUND).any()


def test_a_slice_in_which_nothing_can_be_outlined_is_ignored():
    image = with_peak(disc(14, 16), 3.0, (14, 17))
    organ = np.ones((2, SIDE, SIDE), np.uint8)
    organ[1] = 0
    result = taught([image, image], [1, 1], organ=organ)
    assert (result[0] == FOREGROUND).any() and (result[1] == IGNORED).all()


def test_pixels_that_two_methods_dispute_are_ignored():
    """A disc of 3 in a wider disc of 1.4: "halfway" leaves the wider one out, "none" marks the share whatever
    it looks like.
    """
    image = with_peak(disc(14, 16, 3), 3.0, (14, 16))
    methods = {"methods": ["halfway", "none"]}
    halfway = taught([image], [1], share=0.06)[0] == FOREGROUND
    share = taught([image], [1], share=0.06, refinement={"methods": ["none"]})[0] == FOREGROUND
    both = taught([image], [1], share=0.06, refinement=methods)[0]
    assert (halfway != share).any()
    np.testing.assert_array_equal(both == FOREGROUND, halfway & share)
    np.testing.assert_array_equal(both == IGNORED, halfway != share)
    np.testing.assert_array_equal(both == BACKGROUND, ~halfway & ~share)


def test_further_parts_of_a_lesion_are_found_when_the_first_is_erased():
    image = with_peak(disc(9, 9), 3.0, (9, 9)) + with_peak(disc(23, 22), 2.5, (23, 22))
    alone = taught([image], [1])[0] == FOREGROUND
    np.testing.assert_array_equal(alone, disc(9, 9))
    both = taught([image], [1], refinement={"parts": 2})[0] == FOREGROUND
    np.testing.assert_array_equal(both, disc(9, 9) | disc(23, 22))
    one = with_peak(disc(9, 9), 3.0, (9, 9))
    np.testing.assert_array_equal(
        taught([one], [1], refinement={"parts": 4})[0] == FOREGROUND, disc(9, 9)
    )  # no more are made up


def test_a_volume_is_outlined_in_three_dimensions():
    """Slice 2 shows the lesion dimly, below its own ring's half: only its neighbours tell that it belongs to
    the lesion.
    """
    slices = [with_peak(disc(14, 16), 3.0, (14, 16)) for _ in range(3)]
    result = taught(slices, [1, 1, 1], volumes=[0, 0, 0], refinement={"volume": True})
    np.testing.assert_array_equal(result == FOREGROUND, np.stack([disc(14, 16)] * 3))


def test_slices_beyond_a_gap_and_of_other_volumes_are_outlined_by_themselves():
    """Two lesions in two runs of one volume: as one volume without the gap only one of them, in one
    component, would be kept.
    """
    first, second = with_peak(disc(9, 9), 3.0, (9, 9)), with_peak(disc(22, 22), 3.0, (22, 22))
    normal = np.zeros((SIDE, SIDE))
    result = taught(
        [first, first, normal, second, second], [1, 1, 0, 1, 1], volumes=[0] * 5, refinement={"volume": True}
    )
    np.testing.assert_array_equal(
        result == FOREGROUND, np.stack([disc(9, 9)] * 2 + [normal > 0] + [disc(22, 22)] * 2)
    )
    result = taught([first, second], [1, 1], volumes=[0, 1], refinement={"volume": True})
    np.testing.assert_array_equal(result == FOREGROUND, np.stack([disc(9, 9), disc(22, 22)]))


@pytest.mark.parametrize("channel", [0, 1])
def test_the_channel_of_the_recipe_outlines(channel):
    images = np.zeros((1, SIDE, SIDE, 2), np.float32)
    images[0, ..., 0], images[0, ..., 1] = disc(14, 16, 3), disc(14, 16, 5)
    refinement = AttributionSection(
        refinement={"methods": ["halfway"], "smoothing": 0.0, "channel": channel, "reach": 8.0}
    ).refinement
    maps = BrightestBlob()(images)[..., 0]
    found = outlines(
        disc(14, 16, 1)[None] + maps * 0.1,
        images,
        np.ones((1, SIDE, SIDE), np.uint8),
        np.arange(1),
        np.arange(1),
        refinement,
        0.01,
    )
    np.testing.assert_array_equal(found[0] == FOREGROUND, disc(14, 16, (3, 5)[channel]))


def test_a_students_marks_are_taught_where_the_outlines_agree():
    image = np.stack([3.0 * disc(14, 16), 3.0 * disc(14, 16), np.zeros((SIDE, SIDE))]).astype(np.float32)[
        ..., None
    ]
    maps = np.stack([0.9 * disc(14, 16, 2.5), np.full((SIDE, SIDE), 0.2), np.ones((SIDE, SIDE))]).astype(
        np.float32
    )
    student = lambda rows: maps[: len(rows), ..., None]
    section = AttributionSection(
        refinement={"methods": ["halfway"], "reach": 6.0, "smoothing": 0.0, "doubtful": 0.25}
    )
    result = student_labels(
        student, image, np.ones(image.shape[:3], np.uint8), np.array([1, 1, 0]), np.arange(3), section
    )
    inner, outer = disc(14, 16, 2.5), disc(14, 16)
    assert (result[0][inner] == FOREGROUND).all()  # map and outline say so: 0.5 * (0.9 + 1)
    assert (result[0][outer & ~inner] == IGNORED).all()  # the outline alone: 0.5
    assert (result[0][~outer] == BACKGROUND).all()
    assert (result[1] == IGNORED).all()  # nothing marked at 0.5
    assert not result[2].any()  # a normal slice, whatever the student marks
