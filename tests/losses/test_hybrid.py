"""The hybrid loss against worked values, NumPy in float64, and its gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from clamnet_tf.losses.hybrid import HybridLoss, hybrid_per_pixel, organ_mean


def reference(targets, logits, k):
    """Eq. (1) of the paper per pixel, in float64."""
    log_p = log_softmax(logits.astype(np.float64), axis=-1)
    p = np.exp(log_p)
    return -(targets * log_p + k * targets * p / (targets**2 + p**2 + 1e-6)).sum(-1)


@pytest.mark.parametrize("k", [1, 2])
def test_equals_the_equation(rng, k):
    logits = rng.normal(0, 3, (2, 5, 4, 3)).astype(np.float32)
    targets = rng.dirichlet(np.ones(3), (2, 5, 4)).astype(np.float32)
    found = hybrid_per_pixel(targets, tf.nn.log_softmax(logits), k)
    np.testing.assert_allclose(found, reference(targets, logits, k), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "p, k, expected",
    [
        (0.5, 1, 0.693147 - 0.4),  # log 2, and 0.5 / (1 + 0.25)
        (0.5, 2, 0.693147 - 0.8),
        (1.0, 1, -0.5),  # the best possible value, per class of the target
        (1e-7, 1, 16.118096),
    ],
)
def test_worked_values(p, k, expected):
    log_p = np.log(np.array([[[[1 - p + 1e-12, p]]]], np.float32))
    assert float(hybrid_per_pixel(np.array([0.0, 1.0], np.float32), log_p, k)[0, 0, 0]) == pytest.approx(
        expected, abs=1e-4
    )


def test_zero_target_and_zero_probability_give_zero_not_nan():
    value = hybrid_per_pixel(np.zeros((1, 1, 1, 2), np.float32), np.full((1, 1, 1, 2), -200.0, np.float32))
    assert float(value[0, 0, 0]) == 0.0


def test_gradient_in_logits_is_bounded_and_points_the_right_way():
    logits = tf.constant([[[[60.0, -60.0], [0.0, 0.0], [-60.0, 60.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_sum(hybrid_per_pixel(tf.constant([0.0, 1.0]), tf.nn.log_softmax(logits)))
    gradient = tape.gradient(loss, logits).numpy()[0, 0]
    assert np.isfinite(gradient).all() and np.abs(gradient).max() <= 2.0
    assert gradient[0, 1] < -0.9 and gradient[1, 1] < 0  # more lesion is wanted
    np.testing.assert_allclose(gradient.sum(axis=-1), 0, atol=1e-6)


def test_perfect_empty_and_inverted_masks_are_ordered(rng):
    truth = np.eye(2, dtype=np.float32)[rng.integers(0, 2, (1, 8, 8))]
    loss = HybridLoss()
    perfect, empty, inverted = (
        float(loss(truth, logits)) for logits in (20 * truth, np.zeros_like(truth), -20 * truth)
    )
    assert perfect == pytest.approx(-0.5, abs=1e-4) and perfect < empty < inverted


def test_keras_loss_gives_one_value_per_example_and_weighs_it_by_eta(rng):
    truth = np.eye(2, dtype=np.float32)[rng.integers(0, 2, (3, 4, 4))]
    logits = rng.normal(size=(3, 4, 4, 2)).astype(np.float32)
    each = reference(truth, logits, 1).mean((1, 2))
    eta = np.array([0.7, 1.0, 0.2], np.float32)
    assert float(HybridLoss()(truth, logits, sample_weight=eta)) == pytest.approx(
        (each * eta).mean(), rel=1e-5
    )


def test_keras_loss_survives_its_configuration():
    copy = keras.losses.deserialize(keras.losses.serialize(HybridLoss(k=2)))
    assert copy.k == 2


def test_organ_mean_leaves_out_what_is_outside(rng):
    values = rng.normal(size=(2, 6, 6)).astype(np.float32)
    organ = np.zeros((2, 6, 6), np.float32)
    organ[0, 2:4, 1:5] = 1
    found = organ_mean(values, organ).numpy()
    assert found[0] == pytest.approx(values[0, 2:4, 1:5].mean(), rel=1e-5)
    assert found[1] == 0  # no organ, no loss
