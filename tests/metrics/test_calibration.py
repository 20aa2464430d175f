"""Calibration against scikit-learn, the definition of MetricsReloaded, and by hand."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from clamnet_tf.errors import DataError
from clamnet_tf.metrics.calibration import brier, fit_temperature, reliability, with_temperature


@pytest.fixture
def sample(rng):
    scores = rng.beta(1, 2, 400)
    return scores, rng.random(400) < scores**1.5


def metrics_reloaded_error(scores, labels, bins=10):
    """Expected calibration error as MetricsReloaded defines it, in bins (low, high] of equal width; written
    out, since the package is not on PyPI.
    """
    total = 0.0
    for low in np.arange(bins) / bins:
        inside = (scores > low) & (scores <= low + 1 / bins)
        if inside.any():
            total += inside.sum() * abs(labels[inside].mean() - scores[inside].mean())
    return total / len(scores)


def test_reliability_equals_scikit_learn(sample):
    found = reliability(*sample)
    share, score = calibration_curve(sample[1], sample[0], n_bins=10)
    np.testing.assert_allclose(found.share[found.counts > 0], share)
    np.testing.assert_allclose(found.score[found.counts > 0], score)
    assert found.counts.sum() == 400 and found.edges.tolist() == pytest.approx(np.arange(11) / 10)
    assert found.error == pytest.approx(metrics_reloaded_error(*sample))


def test_calibration_error_by_hand():
    # bin 1: scores 0.1 and 0.3, one of two positive: gap 0.3; bin 2: 0.8, positive: gap 0.2
    found = reliability([0.1, 0.3, 0.8], [True, False, True], bins=2)
    assert found.error == pytest.approx((2 * 0.3 + 0.2) / 3)
    assert reliability([0.0, 1.0], [False, True]).error == 0  # both ends belong to a bin


def test_brier_equals_scikit_learn(sample):
    assert brier(*sample) == pytest.approx(brier_score_loss(sample[1], sample[0]))


def test_temperature_equals_a_logistic_regression_without_intercept(sample):
    scores, labels = sample
    regression = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-9).fit(logit(scores)[:, None], labels)
    temperature = fit_temperature(scores, labels)
    assert temperature == pytest.approx(1 / regression.coef_[0, 0], rel=1e-3)
    np.testing.assert_allclose(with_temperature(scores, temperature), expit(logit(scores) / temperature))


def test_temperature_is_recovered(rng):
    true_logits = rng.normal(size=20000) * 2
    labels = rng.random(20000) < expit(true_logits)
    assert fit_temperature(expit(3 * true_logits), labels) == pytest.approx(3, rel=0.05)


def test_where_no_temperature_is_best_there_is_none(sample):
    scores, labels = sample
    assert fit_temperature(scores, np.ones_like(labels)) is None
    assert fit_temperature(scores, np.zeros_like(labels)) is None
    assert fit_temperature([0.9, 0.8, 0.2], [False, False, True]) is None  # the scores go the wrong way
    assert fit_temperature([0.9, 0.8, 0.2], [True, True, False]) is None  # nothing is confused
    assert 0 < fit_temperature([1.0, 1.0, 0.0, 0.0, 1.0], [True, True, False, False, False]) < 100


@pytest.mark.parametrize("scores", [[], [1.2, 0.1], [np.nan, 0.5]])
def test_what_is_no_probability_is_refused(scores):
    for measure in (reliability, brier, fit_temperature):
        with pytest.raises(DataError, match="scores in 0..1"):
            measure(scores, [True, False][: len(scores)])
