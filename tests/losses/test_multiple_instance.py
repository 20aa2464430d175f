"""Cross-entropy of pooled pixels, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, logit, logsumexp

from clamnet_tf.losses.multiple_instance import POOLINGS, bag_cross_entropy
from clamnet_tf.recipe.schema_loss import MultipleInstanceSection

ORACLES = {
    "generalised_mean": lambda values, sharpness: np.mean(values**sharpness) ** (1 / sharpness),
    "log_sum_exp": lambda values, sharpness: (
        (logsumexp(sharpness * values) - np.log(len(values))) / sharpness
    ),
    "evidence_log_sum_exp": lambda values, sharpness: expit(
        (logsumexp(sharpness * logit(values)) - np.log(len(values))) / sharpness
    ),
    "probabilistic_cam": lambda values, sharpness: expit(np.average(logit(values), weights=values)),
}


def test_the_table_names_what_the_recipe_may_say():
    from typing import get_args

    assert (
        set(POOLINGS)
        == set(ORACLES)
        == set(get_args(MultipleInstanceSection.model_fields["pooling"].annotation))
    )


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("sharpness", [1.0, 5.0, 20.0])
def test_loss_equals_numpy(rng, pooling, sharpness):
    probability = rng.random((4, 8, 8)).astype(np.float32)
    organ = (rng.random((4, 8, 8)) < 0.6).astype(np.float32)
    abnormal = np.array([1, 0, 1, 0], np.float32)
    score = [ORACLES[pooling](p[o > 0].astype(np.float64), sharpness) for p, o in zip(probability, organ)]
    expected = [-np.log(u) if y else -np.log(1 - u) for u, y in zip(score, abnormal)]
    found = bag_cross_entropy(POOLINGS[pooling](probability, organ, sharpness), abnormal)
    np.testing.assert_allclose(found, expected, rtol=2e-3)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_are_finite_at_the_ends_and_zero_outside_the_organ(pooling):
    organ = np.ones((2, 4, 4), np.float32)
    organ[:, 0] = 0
    for value in (0.0, 1.0):
        for label in (0.0, 1.0):
            probability = tf.fill((2, 4, 4), value)
            with tf.GradientTape() as tape:
                tape.watch(probability)
                loss = bag_cross_entropy(POOLINGS[pooling](probability, organ, 6.0), tf.fill((2,), label))
            gradient = tape.gradient(loss, probability).numpy()
            assert np.isfinite(loss).all() and float(tf.reduce_max(loss)) < 14 and np.isfinite(gradient).all()
            assert not gradient[:, 0].any()


@pytest.mark.parametrize("pooling", ["evidence_log_sum_exp", "probabilistic_cam"])
def test_evidence_of_an_empty_organ_says_nothing_and_sure_pixels_keep_finite_gradients(pooling):
    pooled = POOLINGS[pooling]
    assert float(pooled(tf.fill([1, 4, 4], 0.9), tf.zeros([1, 4, 4]), 4.0)[0]) == 0.5
    for value in (0.0, 1.0):
        probability = tf.Variable(tf.fill([1, 4, 4], value))
        with tf.GradientTape() as tape:
            score = pooled(probability, tf.ones([1, 4, 4]), 4.0)
        assert np.isfinite(tape.gradient(score, probability)).all()
        assert abs(float(score[0]) - value) < 1e-4


def test_probabilistic_cam_is_the_papers_pooling_of_features(rng):
    """Ye et al. 2020: features averaged with the normalised probabilities, then the linear layer."""
    features, weights, bias = rng.normal(size=(2, 6, 6, 5)), rng.normal(size=5), -0.3
    probability = expit(features @ weights + bias)
    shares = probability / probability.sum(axis=(1, 2), keepdims=True)
    expected = expit((features * shares[..., None]).sum(axis=(1, 2)) @ weights + bias)
    found = POOLINGS["probabilistic_cam"](probability.astype(np.float32), np.ones((2, 6, 6), np.float32), 6.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_probabilistic_cam_hears_a_small_lesion_that_the_mean_does_not():
    probability = np.full((1, 32, 32), 0.01, np.float32)
    probability[0, :3, :3] = 0.99
    organ = np.ones((1, 32, 32), np.float32)
    pooled = {name: float(POOLINGS[name](probability, organ, 1.0)[0]) for name in POOLINGS}
    assert pooled["generalised_mean"] < 0.02 and pooled["probabilistic_cam"] > 0.4
