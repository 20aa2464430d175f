"""Agreement, margin, ramp and pooling against NumPy and worked values."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp

from clamnet_tf.losses.contrastive import hybrid_consistency, margin_contrast, ramp, squared_consistency
from clamnet_tf.losses.pooling import generalised_mean, log_sum_exp


def test_squared_consistency_is_zero_for_equal_maps_and_two_for_opposite_ones():
    one = np.zeros((1, 2, 2, 2), np.float32)
    one[..., 1] = 1
    np.testing.assert_array_equal(squared_consistency(one, one), np.zeros((1, 2, 2)))
    np.testing.assert_array_equal(squared_consistency(one, one[..., ::-1].copy()), np.full((1, 2, 2), 2.0))


def test_hybrid_consistency_moves_the_second_map_only(rng):
    first, second = (tf.constant(rng.normal(size=(1, 3, 3, 2)).astype(np.float32)) for _ in range(2))
    with tf.GradientTape() as tape:
        tape.watch([first, second])
        value = tf.reduce_sum(hybrid_consistency(tf.nn.softmax(first), tf.nn.log_softmax(second)))
    gradients = tape.gradient(value, [first, second])
    assert gradients[0] is None and np.abs(gradients[1].numpy()).max() > 0


@pytest.mark.parametrize(
    "abnormal, normal, expected", [(0.9, 0.1, 0.0), (0.5, 0.5, 0.245), (0.2, 0.6, 0.605)]
)
def test_margin(abnormal, normal, expected):
    assert float(margin_contrast(tf.constant(abnormal), tf.constant(normal), 0.7)) == pytest.approx(
        expected, abs=1e-6
    )


def test_ramp_rises_over_its_fraction_and_stays():
    assert [float(ramp(step, 100, 0.25)) for step in (0, 5, 25, 80)] == pytest.approx([0, 0.2, 1, 1])
    assert float(ramp(0, 100, 0.0)) == 1.0


@pytest.mark.parametrize("power", [1.0, 6.0, 30.0])
def test_generalised_mean_equals_numpy(rng, power):
    probability = rng.random((3, 8, 8)).astype(np.float32)
    organ = (rng.random((3, 8, 8)) < 0.6).astype(np.float32)
    expected = [
        np.mean(p[o > 0].astype(np.float64) ** power) ** (1 / power) for p, o in zip(probability, organ)
    ]
    np.testing.assert_allclose(generalised_mean(probability, organ, power), expected, rtol=1e-3)


def test_generalised_mean_of_nothing_is_zero_with_finite_gradient():
    probability = tf.zeros((2, 4, 4))
    with tf.GradientTape() as tape:
        tape.watch(probability)
        value = generalised_mean(probability, np.array([np.zeros((4, 4)), np.ones((4, 4))], np.float32), 6.0)
    assert value.numpy()[0] < 1e-5 and np.isfinite(tape.gradient(value, probability).numpy()).all()


def test_log_sum_exp_equals_scipy(rng):
    probability = rng.random((2, 5, 5)).astype(np.float32)
    expected = [(logsumexp(4.0 * p.astype(np.float64)) - np.log(25)) / 4.0 for p in probability]
    np.testing.assert_allclose(log_sum_exp(probability, np.ones_like(probability), 4.0), expected, rtol=1e-5)
