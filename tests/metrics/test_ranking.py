"""AUROC and average precision against scikit-learn; histograms against the exact scores and the exact
masks.
"""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from clamnet_tf.errors import ClamnetError
from clamnet_tf.metrics.ranking import (
    EDGES,
    auroc,
    average_precision,
    from_above,
    histogram,
    histogram_average_precision,
)


@pytest.fixture(params=["distinct", "tied"])
def ranked(request, rng):
    labels = rng.random(400) < 0.3
    scores = rng.normal(size=400) + labels
    return (np.round(scores) if request.param == "tied" else scores), labels


def test_auroc_is_the_share_of_pairs_in_order(ranked):
    scores, labels = ranked
    abnormal, normal = scores[labels][:, None], scores[~labels]
    expected = np.mean((abnormal > normal) + (abnormal == normal) / 2)
    assert auroc(scores, labels) == pytest.approx(expected)
    assert auroc(scores, labels, np.ones((1, scores.size)))[0] == pytest.approx(expected)


def test_average_precision_is_precision_over_the_steps_of_recall(ranked):
    scores, labels = ranked
    expected = recall = 0.0
    for cut in np.unique(scores)[::-1]:
        marked = scores >= cut
        step = labels[marked].sum() / labels.sum() - recall
        expected, recall = expected + step * labels[marked].mean(), recall + step
    assert average_precision(scores, labels) == pytest.approx(expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(value):
    with pytest.raises(ClamnetError, match="1 of 3 are not"):
        auroc([0.1, value, 0.3], [True, False, True])
    with pytest.raises(ClamnetError, match="1 of 3 are not"):
        average_precision([0.1, value, 0.3], [True, False, True])


def test_weights_are_repeats(ranked, rng):
    scores, labels = ranked
    weights = rng.integers(0, 4, (5, scores.size))
    expected = [roc_auc_score(np.repeat(labels, each), np.repeat(scores, each)) for each in weights]
    np.testing.assert_allclose(auroc(scores, labels, weights), expected)


def test_one_class_alone_has_no_ranking():
    assert auroc([0.1, 0.2], [True, True]) is None
    assert auroc([0.1, 0.2], [False, False]) is None
    assert auroc([], []) is None
    assert average_precision([0.1, 0.2], [False, False]) is None
    assert np.isnan(auroc([0.1, 0.2], [True, False], [[1, 0]])).all()


@pytest.mark.parametrize("spread", [2, 9], ids=["soft", "confident"])
def test_histogram_average_precision_is_within_a_thousandth(rng, spread):
    truth = rng.random((3, 80, 80)) < 0.05
    probability = (1 / (1 + np.exp(-spread * (rng.normal(size=truth.shape) + 2.0 * truth - 1.5)))).astype(
        np.float32
    )
    counts = sum(histogram(each, mask) for each, mask in zip(probability, truth))
    assert counts.sum() == truth.size and counts[1].sum() == truth.sum()
    expected = average_precision_score(truth.ravel(), probability.ravel())
    assert histogram_average_precision(counts) == pytest.approx(expected, abs=1e-3)


def test_counts_from_an_edge_upwards_are_those_of_the_mask(rng):
    truth = rng.random(5000) < 0.2
    probability = np.r_[rng.random(4000), np.repeat(EDGES, 4)[:800], np.zeros(100), np.ones(100)].astype(
        np.float32
    )
    above = from_above(histogram(probability, truth))
    for place in (0, 1, 60, 500, 1000, EDGES.size - 1):
        mask = probability >= float(EDGES[place])
        assert above[1, place] == np.count_nonzero(mask & truth)
        assert above[0, place] == np.count_nonzero(mask & ~truth)


def test_histogram_average_precision_without_truth_is_undefined():
    counts = histogram(np.linspace(0, 1, 50), np.zeros(50, bool))
    assert np.isnan(histogram_average_precision(counts))
    assert histogram_average_precision(np.stack([counts, counts[::-1]])).shape == (2,)
