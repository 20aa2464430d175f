"""The average of networks: mean of the heads, saved and loaded as stock layers, pruned, in half precision."""

import numpy as np
import pytest

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.average import average_networks, head_activation, member_count, with_member_heads
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.half_precision import store_in_half
from clamnet_tf.networks.prune import prune
from clamnet_tf.networks.saved import load_network
from clamnet_tf.recipe.schema import NetworkSection

# Keras 3.15 saving under NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def tiny(seed, side=16, **settings):
    """An untrained network of 3 levels with weights of its own."""
    section = NetworkSection(depth=3, filters=[2, 3, 4], kernels=[3, 3, 3], **settings)
    network = build_network(section, side=side, channels=2)
    rng = np.random.default_rng(seed)
    network.set_weights([rng.normal(0.1, 0.3, weight.shape) for weight in network.get_weights()])
    return network


@pytest.fixture(scope="module")
def members():
    return [tiny(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def slices():
    return np.random.default_rng(7).normal(size=(2, 16, 16, 2)).astype(np.float32)


def test_heads_are_means_and_survive_saving_and_pruning(members, slices, tmp_path):
    average = average_networks(members, name="average")
    average.save(tmp_path / "model.keras")
    loaded = load_network(tmp_path / "model.keras")
    found = {name: np.asarray(value) for name, value in loaded(slices).items()}
    outputs = [member(slices) for member in members]
    assert sorted(found) == ["head_1", "head_2"]
    for name, value in found.items():
        expected = np.mean([np.asarray(own[name], np.float64) for own in outputs], axis=0)
        np.testing.assert_allclose(value, expected, atol=1e-6)
    assert (member_count(loaded), member_count(members[0])) == (3, 1)
    assert {head_activation(network, "head_1") for network in (loaded, members[0])} == {"softmax"}
    pruned = prune(loaded, 1)
    np.testing.assert_allclose(pruned(slices)["head_1"], found["head_1"], atol=1e-6)
    apart = with_member_heads(loaded)(slices)
    assert len(apart) == 6
    np.testing.assert_allclose(apart["fold_2_head_1"], outputs[1]["head_1"], atol=1e-6)


def test_half_precision_stores_what_was_rounded(members, slices, tmp_path):
    path, plain = tmp_path / "half.keras", tmp_path / "plain.keras"
    average_networks(members, name="average").save(plain)
    average = average_networks(members, name="average", half=True)
    average.save(path)
    before = path.stat().st_size
    assert store_in_half(path) == path.stat().st_size < before
    loaded = load_network(path)
    for stored, own, exact in zip(
        loaded.get_weights(), average.get_weights(), load_network(plain).get_weights(), strict=True
    ):
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, own)
        np.testing.assert_array_equal(stored, exact.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(loaded(slices)["head_2"], average(slices)["head_2"])


def test_networks_that_cannot_be_averaged(members):
    with pytest.raises(NetworkError, match="at least two networks; received 1"):
        average_networks(members[:1], name="average")
    with pytest.raises(NetworkError, match="network 2 has another input"):
        average_networks([members[0], tiny(0, side=32)], name="average")
    broken = tiny(0)
    broken.set_weights([np.full(weight.shape, np.nan) for weight in broken.get_weights()])
    with pytest.raises(NetworkError, match="expected finite weights"):
        average_networks([broken, broken], name="average", half=True)


def test_weights_beyond_half_precision_keep_single_precision(members, tmp_path):
    """Such as the variance of images in Hounsfield units; a finished training must not be lost to it."""
    large = tiny(0)
    first, *others = large.get_weights()
    large.set_weights([np.full(first.shape, 691_787.3), *others])
    average = average_networks([large, members[1]], name="average", half=True)
    average.save(tmp_path / "half.keras")
    store_in_half(tmp_path / "half.keras")
    loaded = load_network(tmp_path / "half.keras")
    assert any((weight == np.float32(691_787.3)).all() for weight in loaded.get_weights())
    for stored, own in zip(loaded.get_weights(), average.get_weights(), strict=True):
        np.testing.assert_array_equal(stored, own)
