"""Lesions and marks: components against scipy.ndimage.label on whole volumes, matches against panoptica."""

import numpy as np
import pytest
from scipy import ndimage, sparse

from clamnet_tf.metrics.components import LesionCounter, StackedComponents, match


def pair(seed, shape):
    """Two masks that share some of their blobs."""
    rng = np.random.default_rng(seed)
    base, sigma = rng.normal(size=shape), (1.0, 2.0, 2.0)[-len(shape) :]
    smooth = [ndimage.gaussian_filter(noise, sigma) for noise in (base, base + 0.9 * rng.normal(size=shape))]
    return [image > 1.1 * image.std() for image in smooth]


def count(truth, marked, probability=None, cut=0.5, follows=True):
    counter = LesionCounter(cut)
    for index, (truth_slice, marked_slice) in enumerate(zip(truth, marked, strict=True)):
        shown = marked_slice.astype(np.float32) if probability is None else probability[index]
        counter.add(truth_slice, marked_slice, shown, follows)
    return counter.result()


def test_components_of_a_stack_are_those_of_the_whole_volume(rng):
    for _ in range(20):
        volume = ndimage.gaussian_filter(rng.normal(size=(9, 30, 31)), (0.6, 1.4, 1.4)) > 0.15
        stack = StackedComponents()
        numbers = np.stack([stack.add(mask, True) for mask in volume])
        ours = stack.components()[numbers]
        theirs, found = ndimage.label(volume, np.ones((3, 3, 3)))
        assert ours.max() == found
        # one to one: as many pairs of labels as components, and the background
        assert np.unique(np.stack([ours, theirs]).reshape(2, -1), axis=1).shape[1] == found + 1
        assert np.bincount(numbers.ravel())[1:].tolist() == stack.sizes


def test_slices_that_do_not_lie_on_one_another_are_separate(rng):
    volume = ndimage.gaussian_filter(rng.normal(size=(5, 20, 20)), 1.5) > 0.1
    alone = sum(ndimage.label(mask, np.ones((3, 3)))[1] for mask in volume)
    stack = StackedComponents()
    for mask in volume:
        stack.add(mask, False)
    assert stack.components().max() == alone
    assert count(volume, volume, follows=False).lesion_sizes.size == alone


# (seed, shape, (right marks, false marks, missed lesions)) by panoptica 2.1.7, NaiveThresholdMatching on
# Metric.IOU at 0.1, of instances labelled by
# scipy.ndimage.label(mask, ones((3, 3[, 3])))
PANOPTICA = [
    (1, (12, 40, 44), (17, 11, 5)),
    (2, (12, 40, 44), (11, 7, 11)),
    (3, (64, 70), (15, 7, 5)),
    (4, (64, 70), (16, 10, 8)),
]


@pytest.mark.parametrize(("seed", "shape", "expected"), PANOPTICA)
def test_matches_are_those_of_panoptica(seed, shape, expected):
    truth, marked = pair(seed, shape)
    found = count(*((truth, marked) if len(shape) == 3 else (truth[None], marked[None])))
    right, false = int(found.mark_right.sum()), int((~found.mark_right).sum())
    assert (right, false, int((~found.lesion_found).sum())) == expected
    assert right == found.lesion_found.sum()


def test_a_mark_finds_one_lesion_and_a_lesion_needs_one_mark():
    # mark 0 shares 3 pixels with lesion 1 and 2 with lesion 0; mark 1 shares 1 of 12 with lesion 1
    shared = sparse.coo_matrix(np.array([[2, 0], [3, 1]]))
    found, right = match([4, 4], [5, 9], shared)
    assert found.tolist() == [False, True] and right.tolist() == [True, False]
    found, right = match([4, 4], [5, 9], sparse.coo_matrix(np.array([[2, 0], [0, 2]])))
    assert found.all() and right.all()  # 2 of 11 pixels are above a tenth


def test_an_overlap_of_exactly_a_tenth_is_enough():
    assert match([10], [1], sparse.coo_matrix([[1]]))[0].all()
    assert not match([11], [1], sparse.coo_matrix([[1]]))[0].any()


def test_candidates_have_their_highest_probability_and_the_lesion_of_that_pixel():
    truth, probability = np.zeros((2, 5, 9), bool), np.zeros((2, 5, 9), np.float32)
    truth[0, 1, 1], truth[1, 1, 2] = True, True  # one lesion over two slices, touching at a corner
    probability[0, 1, 1:3] = 0.5, 0.3  # its candidate goes on in the next slice and peaks there
    probability[1, 1, 2] = 0.8
    probability[1, 3, 7] = 0.6  # a false one
    probability[0, 4, 4] = 0.1  # below the cut
    found = count(truth, probability > 0.55, probability, cut=0.2)
    assert found.lesion_sizes.tolist() == [2] and found.slices == 2
    assert sorted(zip(found.candidate_scores.round(3).tolist(), found.candidate_lesion.tolist())) == [
        (pytest.approx(0.6), -1),
        (pytest.approx(0.8), 0),
    ]
    probability[1, 1, 3] = 0.9  # now the peak lies beside the lesion
    assert set(count(truth, probability > 0.55, probability, cut=0.2).candidate_lesion) == {-1}


def test_candidates_are_the_components_that_scipy_finds(rng):
    probability = ndimage.gaussian_filter(rng.random((6, 25, 24)), (0.5, 1, 1)).astype(np.float32)
    truth = ndimage.gaussian_filter(rng.normal(size=probability.shape), 1.5) > 0.15
    found = count(truth, probability > 0.6, probability, cut=0.55)
    labels, number = ndimage.label(probability >= 0.55, np.ones((3, 3, 3)))
    peaks = ndimage.maximum(probability, labels, np.arange(1, number + 1))
    np.testing.assert_allclose(np.sort(found.candidate_scores), np.sort(peaks))
    places = ndimage.maximum_position(probability, labels, np.arange(1, number + 1))
    assert np.count_nonzero(found.candidate_lesion >= 0) == sum(truth[place] for place in places)


def test_nothing_anywhere():
    empty = np.zeros((3, 4, 4), bool)
    found = count(empty, empty)
    assert not found.lesion_sizes.size and not found.mark_sizes.size and not found.candidate_scores.size
    # at a cut of 0 the background of probability 0 is no candidate
    assert not count(empty, empty, np.zeros(empty.shape, np.float32), cut=0.0).candidate_scores.size
