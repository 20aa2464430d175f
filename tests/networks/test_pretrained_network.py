"""The network on an encoder with ImageNet weights: what it gives, what stays frozen, how it is saved."""

import warnings

import numpy as np
import pytest

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.build import build_network, logits_network
from clamnet_tf.networks.declared import declared_weights, read_config
from clamnet_tf.networks.efficientnet_lite import connect_efficientnet_lite0
from clamnet_tf.networks.imagenet_weights import load_imagenet_weights
from clamnet_tf.networks.saved import load_network
from clamnet_tf.recipe.schema_network import NetworkSection


def section(blocks=3, frozen=3, **changes):
    own = {"blocks": blocks, "frozen_blocks": frozen}
    return NetworkSection(pretrained=own, output="sigmoid", **changes)


@pytest.fixture
def images(rng):
    return rng.normal(size=(2, 64, 64, 1)).astype(np.float32)


@pytest.mark.parametrize(("blocks", "stride"), [(1, 2), (3, 4), (5, 8), (11, 16), (16, 32)])
def test_the_map_is_as_coarse_as_the_encoder_and_as_large_as_the_slice(images, blocks, stride):
    network = build_network(section(blocks, blocks), side=64, channels=1)
    assert network.get_layer("evidence").output.shape == (None, 64 // stride, 64 // stride, 1)
    found = network(images)
    assert list(found) == ["head_1"] and found["head_1"].shape == (2, 64, 64, 1)
    np.testing.assert_array_equal(found["head_1"], 0.5)  # no evidence before training
    np.testing.assert_array_equal(logits_network(network)(images)["head_1"], 0.0)


def test_features_are_those_of_the_encoder(images):
    import keras

    image = keras.Input((64, 64, 1))
    encoder = keras.Model(image, connect_efficientnet_lite0(image, blocks=3))
    load_imagenet_weights(encoder)
    network = build_network(section(), side=64, channels=1)
    before = keras.Model(network.input, network.get_layer("features_norm").input)
    np.testing.assert_allclose(before(images), encoder(images), atol=1e-5)


def test_frozen_blocks_do_not_learn():
    frozen, half = (build_network(section(3, count), side=64, channels=1) for count in (3, 2))
    assert [weight.path for weight in frozen.trainable_weights] == ["evidence/kernel", "evidence/bias"]
    assert {weight.path.split("/")[0] for weight in half.trainable_weights} > {"evidence"}
    assert not any("block_0" in weight.path or "stem" in weight.path for weight in half.trainable_weights)


def test_it_is_saved_and_read_like_every_network(images, tmp_path, rng):
    network = build_network(section(dropout=0.2), side=64, channels=1)
    evidence = network.get_layer("evidence")
    evidence.set_weights([rng.normal(size=weight.shape) for weight in evidence.get_weights()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras under NumPy 2
        network.save(tmp_path / "model.keras")
    again = load_network(tmp_path / "model.keras")
    np.testing.assert_allclose(again(images)["head_1"], network(images)["head_1"], atol=1e-6)
    config = read_config(tmp_path / "model.keras")
    assert declared_weights("model.keras", config) == network.count_params()


def test_a_side_that_the_stride_does_not_divide_is_refused():
    with pytest.raises(NetworkError, match="multiples of 16, received 40 x 40"):
        build_network(section(11, 11), side=40, channels=1)
