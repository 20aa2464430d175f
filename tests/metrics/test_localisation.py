"""Pointing game, marked fraction and image score by hand and against scipy."""

import numpy as np
import pytest
from scipy.stats import pmean

from clamnet_tf.metrics.localisation import image_score, marked_fraction, pointing_game

TRUTH = np.zeros((6, 8), bool)
TRUTH[2:4, 2:5] = True


def peak(row, column):
    probability = np.full(TRUTH.shape, 0.1)
    probability[row, column] = 0.9
    return probability


def test_the_highest_point_hits_or_misses():
    assert pointing_game(peak(2, 2), TRUTH) == 1
    assert pointing_game(peak(0, 0), TRUTH) == 0


def test_tolerance_is_a_distance():
    assert pointing_game(peak(2, 6), TRUTH, tolerance_px=1.9) == 0
    assert pointing_game(peak(2, 6), TRUTH, tolerance_px=2) == 1


def test_only_the_organ_is_looked_at():
    organ = np.ones_like(TRUTH)
    organ[0] = False
    assert pointing_game(np.maximum(peak(0, 0), peak(2, 2) * 0.5), TRUTH, organ) == 1


def test_ties_hit_by_their_share():
    assert pointing_game(np.maximum(peak(2, 2), peak(0, 0)), TRUTH) == 0.5
    assert pointing_game(np.zeros(TRUTH.shape), TRUTH) == pytest.approx(6 / 48)


def test_without_truth_there_is_no_game_and_without_organ_it_is_lost():
    assert pointing_game(peak(0, 0), np.zeros_like(TRUTH)) is None
    assert pointing_game(peak(2, 2), TRUTH, np.zeros_like(TRUTH)) == 0


def test_marked_fraction_is_a_share_of_the_organ():
    organ = np.zeros_like(TRUTH)
    organ[2:4] = True
    assert marked_fraction(TRUTH, organ) == 6 / 16
    assert marked_fraction(np.ones_like(TRUTH), organ) == 1
    assert marked_fraction(TRUTH, np.zeros_like(TRUTH)) is None


@pytest.mark.parametrize("power", [1.0, 6.0, 30.0])
def test_image_score_is_the_generalised_mean(rng, power):
    probability, organ = rng.random((9, 9)), rng.random((9, 9)) < 0.6
    assert image_score(probability, organ, power) == pytest.approx(pmean(probability[organ], power))


def test_image_score_of_an_empty_organ_is_zero(rng):
    assert image_score(rng.random((4, 4)), np.zeros((4, 4))) == 0
