"""The hybrid loss of slices whose labels name their classes, against the formula written out in NumPy, pixel
by pixel.
"""

import keras
import numpy as np
import pytest
from keras import ops

from clamnet_tf.losses.contrastive import contrast_of_labels, margin_contrast
from clamnet_tf.losses.hybrid import hybrid_of_labels, hybrid_per_pixel, hybrid_terms, organ_mean
from clamnet_tf.losses.pooling import generalised_mean


def by_hand(p, organ, etas, k):
    """(raw, weighted) of each slice, by loops over its pixels and classes."""
    raw, weighted = [], []
    for slice_p, slice_organ, eta in zip(p, organ, etas):
        shown = [c for c in range(len(eta)) if eta[c] > 0]

        def h(c):
            total = count = 0.0
            for row, column in np.argwhere(slice_organ):
                value = slice_p[row, column, c]
                total += -(np.log(value) + k * value / (1 + value**2 + 1e-6))
                count += 1
            return total / count

        raw.append(np.mean([h(c + 1) for c in shown]) if shown else h(0))
        weighted.append(np.mean([eta[c] * h(c + 1) for c in shown]) if shown else h(0))
    return np.array(raw), np.array(weighted)


@pytest.fixture
def slices(rng):
    logits = rng.normal(0, 2, (4, 5, 6, 4)).astype(np.float32)
    organ = (rng.random((4, 5, 6)) < 0.7).astype(np.float32)
    etas = np.array([[0.9, 0, 0], [0, 0, 0], [0.9, 0, 0.4], [0, 0, 0]], np.float32)
    return logits, organ, etas


@pytest.mark.parametrize("k", [1, 2])
def test_it_is_the_mean_over_the_classes_shown(slices, k):
    logits, organ, etas = slices
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = hybrid_of_labels(ops.log_softmax(logits), organ, etas, k)
    for one, expected in zip(found, by_hand(p, organ, etas, k)):
        np.testing.assert_allclose(np.asarray(one), expected, rtol=2e-5)


def test_every_class_alone_is_the_one_hot_target(slices):
    log_p = ops.log_softmax(slices[0])
    for c in range(4):
        one_hot = np.eye(4, dtype=np.float32)[c]
        np.testing.assert_allclose(
            np.asarray(hybrid_terms(1.0, log_p, 2))[..., c],
            np.asarray(hybrid_per_pixel(one_hot, log_p, 2)),
            rtol=1e-6,
        )


def test_descent_raises_what_is_shown_and_lowers_what_the_label_excludes(slices):
    """Along the gradient, logits of absent classes fall like the background's, also where another class is
    shown.
    """
    import tensorflow as tf

    _, organ, etas = slices
    logits = tf.Variable(np.zeros((4, 5, 6, 4), np.float32))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(hybrid_of_labels(ops.log_softmax(logits), organ, etas, 1)[1])
    step = -tape.gradient(loss, logits).numpy()
    inside = organ > 0
    one, normal, two = step[0][inside[0]], step[1][inside[1]], step[2][inside[2]]
    assert (one[:, 1] > 0).all() and (one[:, [0, 2, 3]] < 0).all()
    assert (normal[:, 0] > 0).all() and (normal[:, 1:] < 0).all()
    assert (
        (two[:, 1] > 0).all() and (two[:, [0, 2]] < 0).all() and (two[:, 3] < two[:, 1]).all()
    )  # eta 0.4 pulls less than 0.9
    assert (step[~inside] == 0).all()


def test_the_contrast_is_between_pooled_maps_of_the_classes_shown(slices):
    logits, organ, etas = slices
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    pooled = np.array(
        [[np.mean(p[s, ..., c + 1][organ[s] > 0] ** 6) ** (1 / 6) for c in range(3)] for s in range(4)]
    )
    first = 0.5 * max(0, 0.7 - (pooled[0, 0] - pooled[1, 0])) ** 2
    second = np.mean([0.5 * max(0, 0.7 - (pooled[2, c] - pooled[3, c])) ** 2 for c in (0, 2)])
    found = contrast_of_labels(ops.log_softmax(logits), organ, keras.ops.convert_to_tensor(etas), 0.7, 6.0)
    np.testing.assert_allclose(np.asarray(found), [first, second], rtol=1e-4)


def test_a_single_class_is_the_hybrid_loss_against_the_label_weighted_by_eta(rng):
    """Bit by bit: the binary case is that of one class, not a path of its own."""
    log_p = ops.log_softmax(rng.normal(0, 2, (4, 8, 8, 2)).astype(np.float32))
    organ, label = (rng.random((4, 8, 8)) < 0.7).astype(np.float32), np.array([1, 0, 1, 0])
    eta = np.array([0.7, 0.7, 0.3, 0.3], np.float32)
    raw, weighted = hybrid_of_labels(log_p, organ, (eta * label)[:, None], 2)
    expected = organ_mean(
        hybrid_per_pixel(np.eye(2, dtype=np.float32)[label][:, None, None, :], log_p, 2), organ
    )
    np.testing.assert_array_equal(np.asarray(raw), np.asarray(expected))
    np.testing.assert_array_equal(np.asarray(weighted), np.asarray(expected) * np.where(label, eta, 1))
    pooled = np.asarray(generalised_mean(ops.exp(log_p[..., 1]), organ, 6.0))
    found = contrast_of_labels(log_p, organ, (eta * label)[:, None], 0.7, 6.0)
    np.testing.assert_array_equal(
        np.asarray(found), np.asarray(margin_contrast(pooled[::2], pooled[1::2], 0.7))
    )
