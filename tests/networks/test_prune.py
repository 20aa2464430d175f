"""Pruned networks: what they hold, and that they equal the full network's head."""

import keras
import numpy as np
import pytest

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.build import logits_network
from clamnet_tf.networks.grid import grid_of
from clamnet_tf.networks.prune import head_numbers, prune


def node_names(network):
    """Names of the nodes that have a convolution in a network."""
    names = {layer.name.split("_conv_")[0] for layer in network.layers if "_conv_" in layer.name}
    return {name.removesuffix("_shortcut") for name in names}  # of a residual block


def test_pruned_network_equals_its_head_and_holds_nothing_else(variant, images):
    x, grid = images(variant), grid_of(variant.section)
    full = variant.network(x)
    assert head_numbers(variant.network) == sorted(grid.heads)
    for head in {min(grid.heads), max(grid.heads)}:
        pruned = prune(variant.network, head)
        outputs = pruned(x)
        assert list(outputs) == [f"head_{head}"]
        np.testing.assert_allclose(outputs[f"head_{head}"], full[f"head_{head}"], atol=1e-6)
        assert node_names(pruned) == {node.name for node in grid.needed(head)}
        assert [layer.name for layer in pruned.layers if "head" in layer.name] == [
            f"head_{head}_logits",
            f"head_{head}",
        ]


def test_weights_are_copies(variant_of, images):
    network = variant_of("batch_norm_leaky_relu").network
    x = images(variant_of("batch_norm_leaky_relu"))
    before, pruned = np.asarray(network(x)["head_1"]), prune(network, 1)
    for weight in pruned.weights:
        weight.assign(weight + 1.0)
    np.testing.assert_array_equal(network(x)["head_1"], before)
    assert np.abs(pruned(x)["head_1"] - before).max() > 0.01


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras 3.15 saving under NumPy 2
def test_a_reloaded_file_is_pruned_without_its_section(variant_of, images, tmp_path):
    variant = variant_of("duplicated_pool")
    x = images(variant)
    variant.network.save(tmp_path / "full.keras")
    pruned = prune(keras.models.load_model(tmp_path / "full.keras"), 1)
    np.testing.assert_allclose(pruned(x)["head_1"], variant.network(x)["head_1"], atol=1e-6)
    pruned.save(tmp_path / "pruned.keras")
    again = keras.models.load_model(tmp_path / "pruned.keras")
    np.testing.assert_allclose(again(x)["head_1"], variant.network(x)["head_1"], atol=1e-6)
    assert node_names(again) == {"x_0_0", "x_1_0", "x_0_1"}
    assert head_numbers(again) == [1]
    assert again.name == "unet_plus_plus_d3_dup0-1_head_1"
    assert prune(again, 1).count_params() == again.count_params()


def test_a_pruned_network_has_logits(variant_of, images):
    variant = variant_of("three_classes")
    logits = logits_network(prune(variant.network, 1))(images(variant))
    assert {key: tuple(values.shape) for key, values in logits.items()} == {"head_1": (2, 32, 32, 3)}


def test_a_head_that_is_not_there_is_named(variant_of):
    with pytest.raises(
        NetworkError, match=r"head: expected one of \[1, 2\], received 3; choose a head of unet_plus_plus_d3"
    ):
        prune(variant_of("default").network, 3)
    with pytest.raises(
        NetworkError, match=r"head: expected one of \[2\], received 1; choose a head of unet_d3"
    ):
        prune(variant_of("plain").network, 1)
