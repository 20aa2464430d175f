"""FROC by hand and by trying every cut; sensitivity at a specificity against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from clamnet_tf.metrics.detection import best_hits, froc, sensitivity_at_specificity


def brute_force(images, limit):
    """Highest sensitivity over all cuts with at most `limit` false positives per image.

    Each image is (scores, index of the hit lesion or -1, number of lesions).
    """
    cuts = [np.inf, *np.unique(np.concatenate([scores for scores, _, _ in images]))]
    best = 0.0
    for cut in cuts:
        false = sum(int(((scores >= cut) & (hit < 0)).sum()) for scores, hit, _ in images)
        if false / len(images) <= limit:
            found = sum(len(set(hit[(scores >= cut) & (hit >= 0)].tolist())) for scores, hit, _ in images)
            best = max(best, found / sum(lesions for *_, lesions in images))
    return best


def test_froc_equals_trying_every_cut(rng):
    for _ in range(20):
        images = []
        for _ in range(6):
            lesions, candidates = int(rng.integers(0, 4)), int(rng.integers(0, 12))
            hit = rng.integers(-1, lesions, candidates) if lesions else np.full(candidates, -1)
            images.append((rng.integers(1, 20, candidates) / 20, hit, lesions))
        if not sum(lesions for *_, lesions in images):
            continue
        cuts = np.arange(1, 21) / 20
        found, false = np.zeros(20), np.zeros(20)
        for scores, hit, _ in images:
            for counts, values in zip((found, false), best_hits(scores, hit)):
                np.add.at(counts, np.searchsorted(cuts, values), 1)
        limits = (0.125, 0.25, 0.5, 1, 2, 4, 8)
        ours = froc(found, false, sum(lesions for *_, lesions in images), len(images), limits)
        assert ours == pytest.approx([brute_force(images, limit) for limit in limits])


def test_froc_by_hand():
    # two images, three lesions: from above 0.9 hit, 0.8 false, 0.7 hit, 0.6 false, 0.5 false
    found, false = [0, 0, 1, 0, 1], [1, 1, 0, 1, 0]
    assert froc(found, false, 3, 2, (0.4, 0.5, 1.5)).round(3).tolist() == [0.333, 0.667, 0.667]
    assert np.isnan(froc([0, 0], [1, 0], 0, 2)).all()  # no lesion


@pytest.mark.parametrize("specificity", [0.9, 0.95])
def test_sensitivity_at_a_specificity_equals_scikit_learn(rng, specificity):
    for _ in range(20):
        labels = rng.random(60) < 0.4
        scores = np.round(rng.random(60) + 0.5 * labels, 2)  # with ties
        false_share, sensitivity, _ = roc_curve(labels, scores, drop_intermediate=False)
        expected = sensitivity[false_share <= 1 - specificity + 1e-9].max()
        assert sensitivity_at_specificity(scores, labels, specificity) == pytest.approx(expected)
        weights = rng.multinomial(60, np.full(60, 1 / 60), size=3)
        for weighted, row in zip(sensitivity_at_specificity(scores, labels, specificity, weights), weights):
            false_share, sensitivity, _ = roc_curve(
                labels, scores, sample_weight=row, drop_intermediate=False
            )
            assert weighted == pytest.approx(sensitivity[false_share <= 1 - specificity + 1e-9].max())


def test_one_kind_alone_has_no_sensitivity():
    assert sensitivity_at_specificity([0.1, 0.2], [True, True], 0.9) is None
    assert sensitivity_at_specificity([0.1, 0.2], [False, False], 0.9) is None
    weights = np.array([[1, 0], [0, 1], [1, 1]])
    found = sensitivity_at_specificity([0.1, 0.2], [False, True], 0.9, weights)
    assert np.isnan(found[:2]).all() and found[2] == 1


def test_when_all_scores_are_equal_nothing_can_be_called_abnormal():
    assert sensitivity_at_specificity([0.3] * 4, [True, True, False, False], 0.9) == 0
