"""Bootstrap intervals against normal theory on a large sample, coverage by simulation, and seeds."""

import numpy as np
import pytest
from scipy import stats

from clamnet_tf.errors import DataError
from clamnet_tf.evaluation.bootstrap import Interval, draws, interval, multiplicities, paired, pooled, ratio


def test_equals_normal_theory_on_a_large_sample(rng):
    values = rng.normal(0.6, 0.15, 2000)
    mean, low, high = interval(values)
    expected = stats.norm.interval(0.95, values.mean(), stats.sem(values))
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx(expected, abs=0.0007)


def test_covers_the_true_mean_as_often_as_it_says(rng):
    hits = 0
    for trial in range(300):
        _, low, high = interval(rng.beta(4, 2, 40), samples=400, seed=trial)
        hits += low <= 4 / 6 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_other_statistics(rng):
    values = rng.random(50)
    median = interval(values, np.median)
    assert median.mean == np.median(values) and median.low < median.mean < median.high


def test_the_same_seed_gives_the_same_interval(rng):
    values = rng.random(12)
    assert interval(values, seed=3) == interval(values, seed=3)
    assert interval(values, seed=3) != interval(values, seed=4)


def test_paired_differences_are_taken_patient_by_patient(rng):
    theirs = rng.random(30)
    ours = theirs + 0.1 + rng.normal(0, 0.01, 30)
    mean, low, high = paired(ours, theirs)
    assert mean == pytest.approx((ours - theirs).mean())
    assert high - low < 0.02
    assert interval(ours).low < interval(theirs).high  # although the two intervals overlap


def test_pooled_slices_are_resampled_by_patient(rng):
    groups = [rng.random(size) for size in (1, 5, 9, 2)]
    sums, counts = [each.sum() for each in groups], [each.size for each in groups]
    drawn = draws(4, 200, 7)
    expected = [np.concatenate([groups[place] for place in row]).mean() for row in drawn]
    result = pooled(sums, counts, 200, 7)
    assert result.mean == pytest.approx(np.concatenate(groups).mean())
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(expected, [0.025, 0.975])))


def test_multiplicities_count_the_draws():
    drawn, times = draws(7, 50, 2), multiplicities(7, 50, 2)
    assert times.shape == (50, 7) and (times.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(times[3], np.bincount(drawn[3], minlength=7))


def test_one_patient_has_no_interval():
    assert interval([0.4]) == Interval(0.4, None, None)
    assert pooled([3.0, 0.0], [4, 0]) == Interval(0.75, None, None)


def test_unusable_values_are_refused():
    with pytest.raises(DataError, match="one finite value per patient"):
        interval([0.4, np.nan])
    with pytest.raises(DataError, match="one finite value per patient"):
        interval([])
    with pytest.raises(DataError, match="same patients"):
        paired([0.1], [0.1, 0.2])
    with pytest.raises(DataError, match="at least one slice"):
        pooled([0.0], [0])


def test_a_ratio_resamples_both_sides_together():
    theirs = np.array([0.9, 0.8, 0.7, 0.85])
    assert ratio(0.5 * theirs, theirs) == pytest.approx((0.5, 0.5, 0.5))  # whatever is drawn
    ours = np.array([0.1, 0.5, 0.3, 0.6])
    found = ratio(ours, theirs, samples=500, seed=3)
    drawn = np.random.default_rng(3).integers(0, 4, (500, 4))
    each = [ours[row].sum() / theirs[row].sum() for row in drawn]
    assert found == pytest.approx((1.5 / 3.25, *np.quantile(each, [0.025, 0.975])))
    with pytest.raises(DataError, match="other than 0"):
        ratio(ours, np.zeros(4))
    with pytest.raises(DataError, match="the same patients"):
        ratio(ours, theirs[:2])
