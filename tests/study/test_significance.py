"""p-values against SciPy's permutation test, Holm against a worked example."""

import itertools

import numpy as np
import pytest
from scipy import stats

from clamnet_tf.study.significance import DRAWS, EXACT_PATIENTS, holm, sign_flip_p


def test_worked_example():
    # |sum| of 1, 2, 3 over all 8 sign patterns: 6, 6, 4, 4, 2, 2, 0, 0; observed 6
    assert sign_flip_p([1, 2, 3]) == pytest.approx(2 / 8)
    assert sign_flip_p([-1, 2, 3]) == pytest.approx(4 / 8)
    assert sign_flip_p([1, -2, 1]) == 1.0  # mean 0
    assert sign_flip_p([0.0, 0.0]) == 1.0


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.3])
def test_equals_scipy_and_brute_force(rng, shift):
    values = rng.normal(shift, 0.2, 9).round(2)  # with ties
    values[3] = 0.0
    oracle = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False
    ).pvalue
    signs = np.array(list(itertools.product((1, -1), repeat=len(values))))
    brute = np.mean(np.abs((signs * values).mean(axis=1)) >= abs(values.mean()) - 1e-12)
    assert sign_flip_p(values) == pytest.approx(brute)
    assert sign_flip_p(values) == pytest.approx(oracle)


def test_random_patterns_come_near_the_exact_ones(rng):
    values = rng.normal(0.08, 0.2, EXACT_PATIENTS + 4)
    signs = np.array(list(itertools.product((1, -1), repeat=10)))
    half, other = signs @ values[:10], signs @ values[10:]
    exact = np.mean(np.abs(half[:, None] + other[None, :]) >= abs(values.sum()) - 1e-12)
    assert sign_flip_p(values) == pytest.approx(exact, abs=4 * np.sqrt(exact / DRAWS))
    assert sign_flip_p(values) == sign_flip_p(values)
    assert sign_flip_p(np.full(40, 0.1)) > 0  # never 0: the observed pattern is one of them


def test_holm_worked_example():
    # Holm (1979): sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04 -> never below the
    # one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == [0.2] and holm([]) == []
