"""Overlap counts against hand-worked cases and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from clamnet_tf.errors import DataError
from clamnet_tf.metrics.overlap import Overlap, count_overlap, dice, iou, precision, sensitivity

TRUTH = np.array([[1, 1, 0], [1, 0, 0]], bool)
MARKED = np.array([[1, 0, 0], [1, 1, 1]], bool)


def test_counts_by_hand():
    assert count_overlap(TRUTH, MARKED) == Overlap(
        true_positive=2, false_negative=1, false_positive=2, true_negative=1
    )


def test_scores_by_hand():
    overlap = count_overlap(TRUTH, MARKED)
    assert (dice(overlap), iou(overlap)) == (pytest.approx(4 / 7), pytest.approx(2 / 5))
    assert (sensitivity(overlap), precision(overlap)) == (pytest.approx(2 / 3), pytest.approx(1 / 2))


def test_scores_equal_scikit_learn(rng):
    for density in (0.05, 0.5, 0.9):
        truth, marked = rng.random((2, 3, 40, 30)) < density
        overlap, flat = count_overlap(truth, marked), (truth.ravel(), marked.ravel())
        assert dice(overlap) == pytest.approx(f1_score(*flat))
        assert iou(overlap) == pytest.approx(jaccard_score(*flat))
        assert sensitivity(overlap) == pytest.approx(recall_score(*flat))
        assert precision(overlap) == pytest.approx(precision_score(*flat))


def test_slices_add_up_to_their_volume(rng):
    truth, marked = rng.random((2, 5, 8, 9)) < 0.3
    assert sum(map(count_overlap, truth, marked), Overlap()) == count_overlap(truth, marked)


def test_empty_and_empty_has_no_score():
    overlap = count_overlap(np.zeros((4, 4)), np.zeros((4, 4)))
    assert [score(overlap) for score in (dice, iou, sensitivity, precision)] == [None] * 4
    assert overlap.true_negative == 16


@pytest.mark.parametrize(
    "masks", [(TRUTH, np.zeros_like(TRUTH)), (np.zeros_like(TRUTH), TRUTH)], ids=["missed", "false alarm"]
)
def test_one_empty_mask_scores_zero(masks):
    overlap = count_overlap(*masks)
    assert (dice(overlap), iou(overlap)) == (0, 0)


def test_other_shapes_are_refused():
    with pytest.raises(DataError, match=r"different shapes.*\(2, 3\).*\(3, 2\)"):
        count_overlap(TRUTH, TRUTH.T)
