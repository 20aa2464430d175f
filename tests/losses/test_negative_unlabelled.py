"""nnPU with the classes exchanged: value and gradient against NumPy, in both branches."""

import numpy as np
import pytest
import tensorflow as tf

from clamnet_tf.losses.negative_unlabelled import non_negative, partial_risks

ABNORMAL = np.array([1, 0, 1, 0, 0], np.float32)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def oracle(z, organ, prior):
    """Kiryo et al. 2017, eq. (6) and algorithm 1, with y -> -y and both classes weighted by a half: value and
    gradient for logits z, by hand.
    """
    p = sigmoid(z.astype(np.float64))
    slope = p * (1 - p)
    shares = organ / organ.sum(axis=(1, 2), keepdims=True)
    unlabelled, negative = (
        (shares * members[:, None, None] / members.sum()) for members in (ABNORMAL, 1 - ABNORMAL)
    )
    negative_as_negative = (negative * p).sum()  # sigmoid loss l(t, y) = sigmoid(-t y)
    negative_as_positive, unlabelled_as_positive = (negative * (1 - p)).sum(), (unlabelled * (1 - p)).sum()
    sure, positive = (
        negative_as_negative / 2,
        (unlabelled_as_positive - (1 - prior) * negative_as_positive) / (2 * prior),
    )
    gradient_sure = negative * slope / 2
    gradient_positive = (-unlabelled * slope + (1 - prior) * negative * slope) / (2 * prior)
    if positive >= 0:
        return sure + positive, gradient_sure + gradient_positive
    return sure, -gradient_positive


def risk_of(z, organ, prior, observed=None):
    z = tf.constant(z, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        parts = partial_risks(tf.sigmoid(z), organ, ABNORMAL, prior)
        value = non_negative(*parts, observed)
    return float(value), tape.gradient(value, z).numpy(), [float(part) for part in parts]


@pytest.fixture
def maps(rng):
    organ = (rng.random((5, 6, 7)) < 0.7).astype(np.float32)
    return rng.normal(size=(5, 6, 7)), organ


@pytest.mark.parametrize("shift, clipped", [(0.0, False), (4.0, True)])
def test_value_and_gradient_equal_the_oracle_in_both_branches(maps, shift, clipped):
    z, organ = maps
    z = z + shift * ABNORMAL[:, None, None]  # all of the abnormal slices taken for lesion: memorised
    value, gradient, parts = risk_of(z, organ, 0.1)
    assert (parts[1] < 0) == clipped
    expected, expected_gradient = oracle(z, organ, 0.1)
    assert value == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-7)
    assert np.abs(gradient).max() > 1e-4 and not gradient[organ == 0].any()


def test_the_clipped_step_undoes_what_was_memorised(maps):
    z, organ = maps
    z = z + 4 * ABNORMAL[:, None, None]
    _, gradient, before = risk_of(z, organ, 0.1)
    _, _, after = risk_of(z - 10 * gradient, organ, 0.1)
    assert before[1] < 0 and after[1] > before[1]


def test_the_mean_over_replicas_decides_when_it_is_given(maps):
    z, organ = maps
    z = z + 4 * ABNORMAL[:, None, None]
    _, clipped, parts = risk_of(z, organ, 0.1)
    value, whole, _ = risk_of(z, organ, 0.1, observed=0.01)
    assert parts[1] < 0 and value == pytest.approx(sum(parts), abs=1e-6)
    assert np.abs(whole - clipped).max() > 1e-4


def test_the_risk_is_least_for_the_true_mask(rng):
    """Where the unlabelled hold the prior's share of lesion, the truth has risk 0, and less or more of it has
    a higher one.
    """
    organ, truth = np.ones((5, 10, 10), np.float32), np.zeros((5, 10, 10), np.float32)
    truth[ABNORMAL > 0, :2] = 1  # a share of 0.2
    whole = np.repeat(ABNORMAL, 100).reshape(5, 10, 10)
    more = truth.copy()
    more[:, 2] = 1  # a tenth of background as well, which looks alike in normal slices

    def risk(marked):
        return float(non_negative(*partial_risks(tf.constant(marked), organ, ABNORMAL, 0.2)))

    assert risk(truth) == pytest.approx(0, abs=1e-6)
    assert risk(np.zeros_like(truth)) == pytest.approx(0.5, abs=1e-6)  # every lesion pixel missed
    assert risk(np.ones_like(truth)) == pytest.approx(
        0.5, abs=1e-6
    )  # all background taken for it: no better, whatever the prior
    assert risk(more) == pytest.approx(0.1 / 2, abs=1e-6)
    assert float(partial_risks(tf.constant(whole), organ, ABNORMAL, 0.2)[1]) == pytest.approx(
        -0.8 / 0.4, abs=1e-6
    )  # whole organ: clipped


def test_a_batch_without_one_class_is_finite():
    lesion, organ = tf.fill((2, 4, 4), 0.5), np.ones((2, 4, 4), np.float32)
    for abnormal in (np.zeros(2, np.float32), np.ones(2, np.float32)):
        assert np.isfinite(float(non_negative(*partial_risks(lesion, organ, abnormal, 0.1))))
