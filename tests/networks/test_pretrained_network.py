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


def compared(**changes):
    own = {"blocks": 3, "frozen_blocks": 3, "comparison": True}
    return NetworkSection(pretrained=own, output="sigmoid", **changes)


@pytest.fixture
def pairs(rng):
    """Three images beside others: the second has none, the third is compared with itself."""
    images = rng.normal(size=(3, 64, 64, 2)).astype(np.float32)
    images[1, ..., 1] = 0
    images[2, ..., 1] = images[2, ..., 0]
    return images


def encoded(images):
    """Return the features of images (N, 64, 64, 1) by the encoder alone."""
    import keras

    image = keras.Input((64, 64, 1))
    encoder = keras.Model(image, connect_efficientnet_lite0(image, blocks=3))
    load_imagenet_weights(encoder)
    return encoder.predict(images, verbose=0)


def averaged(maps):
    """Return the mean of the 5 x 5 places around each place of (N, H, W, C) that lie inside of the map."""
    result = np.empty_like(maps)
    for row in range(maps.shape[1]):
        for column in range(maps.shape[2]):
            around = maps[:, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
            result[:, row, column] = around.mean(axis=(1, 2))
    return result


def test_a_comparison_sees_features_and_their_difference(pairs):
    import keras

    network = build_network(compared(), side=64, channels=2)
    found = keras.Model(network.input, network.get_layer("features_joined").output)(pairs)
    own, other = encoded(pairs[..., :1]), encoded(pairs[..., 1:])
    norm = network.get_layer("difference_norm")
    scale = 1 / np.sqrt(1 + norm.epsilon)  # untrained: mean 0, variance 1
    present = np.array([1, 0, 1])[:, None, None, None]
    wanted = np.concatenate([own, (own - averaged(other)) * present], axis=-1) * scale
    assert np.abs(wanted[2, ..., 24:]).max() > 0.1  # an image differs from its own surroundings
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_comparison_is_left_out_for_some_training_images_as_for_a_missing_one(rng):
    import keras

    keras.utils.set_random_seed(0)
    network = build_network(compared(), side=32, channels=2)
    images = rng.normal(size=(200, 32, 32, 2)).astype(np.float32)
    left_out = network.get_layer("difference_left_out")
    found = keras.Model(network.input, left_out.output)(images, training=True).numpy()
    blank = np.abs(found).max(axis=(1, 2, 3)) == 0
    assert 0.04 < blank.mean() < 0.18  # a tenth of 200, within 3 deviations
    assert not network.get_layer("other_encoder_stem_conv").trainable_weights


def test_a_comparison_is_saved_and_its_encoders_stay_equal(pairs, tmp_path, rng):
    network = build_network(compared(dropout=0.2), side=64, channels=2)
    assert [weight.path for weight in network.trainable_weights] == ["evidence/kernel", "evidence/bias"]
    evidence = network.get_layer("evidence")
    evidence.set_weights([rng.normal(size=weight.shape) for weight in evidence.get_weights()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras under NumPy 2
        network.save(tmp_path / "model.keras")
    again = load_network(tmp_path / "model.keras")
    np.testing.assert_allclose(again(pairs)["head_1"], network(pairs)["head_1"], atol=1e-6)
    config = read_config(tmp_path / "model.keras")
    assert declared_weights("model.keras", config) == network.count_params()


@pytest.mark.parametrize(
    ("own", "channels", "message"),
    [
        ({"blocks": 3, "frozen_blocks": 3}, 3, "expected an even number of channels, .*received 3"),
        ({"blocks": 3, "frozen_blocks": 2}, 2, "expected frozen_blocks to be equal to blocks, .*2 of 3"),
    ],
)
def test_an_impossible_comparison_is_refused(own, channels, message):
    section = NetworkSection(pretrained={**own, "comparison": True}, output="sigmoid")
    with pytest.raises(NetworkError, match=message):
        build_network(section, side=64, channels=channels)
