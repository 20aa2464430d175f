"""Batch norms folded into convolutions: the same outputs, and none is left."""

import keras
import numpy as np
import pytest

from clamnet_tf.export.folding import folded
from clamnet_tf.networks.build import build_network
from clamnet_tf.recipe.schema import NetworkSection


def network_of(norm, **settings):
    """Tiny, with norms that are far from the identity."""
    section = NetworkSection(
        **{"depth": 3, "filters": [4, 6, 8], "kernels": [3, 3, 3], "norm": norm, **settings}
    )
    network, generator = build_network(section, side=32, channels=2), np.random.default_rng(1)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.3, 2.0, weight.shape) for weight in layer.get_weights()])
    return network


@pytest.mark.parametrize(
    "settings",
    [{}, {"up": "bilinear", "down": "pool"}, {"skips": "plain", "output": "sigmoid"}],
    ids=["default", "bilinear_pool", "plain"],
)
def test_a_batch_norm_network_is_equal_without_batch_norms(rng, settings):
    network = network_of("batch", **settings)
    images = rng.normal(size=(2, 32, 32, 2)).astype(np.float32)
    before, result = network(images, training=False), folded(network)
    assert not [layer for layer in result.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert result.count_params() < network.count_params()
    for name, wanted in before.items():
        assert np.std(wanted) > 0.01
        np.testing.assert_allclose(result(images, training=False)[name], wanted, atol=1e-5)
    np.testing.assert_array_equal(network(images, training=False)[name], before[name])  # it stays as it was


@pytest.mark.parametrize("norm", ["group", "instance", "none"])
def test_other_norms_stay(norm):
    network = network_of(norm)
    assert folded(network) is network


def test_a_batch_norm_behind_anything_else_stays():
    image = keras.Input((8, 8, 1))
    network = keras.Model(
        image,
        {"head_1": keras.layers.BatchNormalization(name="lonely")(keras.layers.Activation("relu")(image))},
    )
    assert folded(network) is network


def test_depthwise_convolutions_take_their_batch_norm(rng):
    section = NetworkSection(pretrained={"blocks": 3, "frozen_blocks": 3}, output="sigmoid")
    network = build_network(section, side=32, channels=1)
    evidence = network.get_layer("evidence")
    evidence.set_weights([rng.normal(size=weight.shape) for weight in evidence.get_weights()])
    images = rng.normal(size=(2, 32, 32, 1)).astype(np.float32)
    result = folded(network)
    norms = [layer.name for layer in result.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms == ["features_norm"]  # it follows a sum
    np.testing.assert_allclose(result(images)["head_1"], network(images)["head_1"], atol=1e-4)
