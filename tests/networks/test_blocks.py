"""The residual block: against its formula, independent counts of what it sees and costs, Keras saving, export
and recipes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.python.profiler import model_analyzer, option_builder

from clamnet_tf.errors import NetworkError
from clamnet_tf.export.folding import folded
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.cost import network_cost
from clamnet_tf.networks.fast_form import fast_form
from clamnet_tf.networks.grid import grid_of
from clamnet_tf.networks.receptive_field import pixel_intervals
from clamnet_tf.networks.saved import check_saved, load_network
from clamnet_tf.recipe.network_blocks import BLOCKS
from clamnet_tf.recipe.schema import NetworkSection
from clamnet_tf.recipe.schema_network import DuplicateSection

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras 3.15 saving under NumPy 2
SMALL = {"depth": 3, "filters": [4, 6, 8], "kernels": [3, 3, 5]}


def network_of(side=32, channels=3, **settings):
    return build_network(NetworkSection(**{**SMALL, **settings}), side=side, channels=channels)


def test_the_default_is_the_plain_block_and_leaves_the_recipe_as_it_was():
    assert "block" not in NetworkSection().model_dump()
    assert NetworkSection(block="residual").model_dump()["block"] == "residual"
    assert NetworkSection(**NetworkSection(block="residual").model_dump()).block == "residual"


def test_what_goes_in_is_added():
    """With kernels of zero what a node gives is the activation of its shortcut."""
    network = network_of(norm="none", depth=1, filters=[4], kernels=[3], channels=2)
    residual = network_of(norm="none", depth=1, filters=[4], kernels=[3], channels=2, block="residual")
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 2)).astype(np.float32)
    for model in (network, residual):
        model.get_layer("x_0_0_conv_2").set_weights(
            [np.zeros((3, 3, 4, 4), np.float32), np.zeros(4, np.float32)]
        )
    kernel, bias = residual.get_layer("x_0_0_shortcut_conv_1").get_weights()
    node = keras.Model(residual.input, residual.get_layer("x_0_0").output)
    np.testing.assert_allclose(node(x), np.maximum(x @ kernel[0, 0] + bias, 0), atol=1e-6)
    assert not np.any(keras.Model(network.input, network.get_layer("x_0_0").output)(x))


def test_halving_shortcuts_take_every_other_pixel_without_a_strided_convolution():
    """TensorFlow 2.21 writes outside of memory in the gradient of a 1 x 1 convolution of stride 2."""
    network = network_of(block="residual")
    assert not [
        layer.name
        for layer in network.layers
        if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1) and layer.strides != (1, 1)
    ]
    taken = network.get_layer("x_1_0_shortcut_taken_1")
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(taken(x)[0, ..., 0], x[0, ::2, ::2, 0])


def test_a_shortcut_of_equal_size_and_channels_has_no_weights():
    names = {
        layer.name for layer in network_of(block="residual", duplicate=DuplicateSection(levels=[1])).layers
    }
    assert (
        "x_1_0_shortcut_conv_1" in names and "x_1_0_add_2" in names and "x_1_0_shortcut_conv_2" not in names
    )


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("down", ["stride", "pool"])
def test_gradient_of_an_output_pixel_reaches_what_the_receptive_field_says(block, down):
    section = NetworkSection(
        **{**SMALL, "filters": [1, 1, 1]}, block=block, down=down, up="bilinear", norm="none"
    )
    network = build_network(section, side=64, channels=1)
    network.set_weights(
        [
            np.zeros_like(weight) if weight.ndim == 1 else np.full_like(weight, 0.1)
            for weight in network.get_weights()
        ]
    )
    grid, position = grid_of(section), 32
    image = tf.random.stateless_uniform(
        (24, 64, 64, 1), seed=(1, 2)
    )  # a pool sees one pixel of each square at a time: of many images all
    logits = keras.Model(
        network.input, {key: network.get_layer(f"{key}_logits").output for key in network.output}
    )
    for head in grid.heads:
        with tf.GradientTape() as tape:
            tape.watch(image)
            value = logits(image)[f"head_{head}"][:, position, position, 1]
        reached = np.flatnonzero(np.abs(tape.gradient(value, image)[..., 0]).max(axis=(0, 2)) > 0)
        intervals = pixel_intervals(grid, head, down=down, up="bilinear", block=block)
        first, last = (
            end + position - position % len(intervals) for end in intervals[position % len(intervals)]
        )
        assert (reached[0], reached[-1]) == (max(first, 0), min(last, 63))


def test_cost_by_hand():
    """Depth 2, filters 4 and 6, kernels of 3, no norm, side 8, one channel, two classes: every convolution
    written out."""
    section = NetworkSection(depth=2, filters=[4, 6], kernels=[3, 3], norm="none", block="residual")
    convolutions = [  # (kernel, received, filters, side of the result)
        (3, 1, 4, 8),
        (3, 4, 4, 8),
        (1, 1, 4, 8),  # X[0,0], with the shortcut from 1 to 4 channels
        (3, 4, 6, 8),
        (3, 6, 6, 4),
        (1, 4, 6, 4),  # X[1,0] halves in the second one
        (3, 8, 4, 8),
        (3, 4, 4, 8),
        (1, 8, 4, 8),  # X[0,1]
        (1, 4, 2, 8),  # the head
    ]
    up = 4 * 6 * 4 + 4, 8 * 8 * (2 * 6 * 4 + 4)
    cost = network_cost(section, grid_of(section), [1], side=8, channels=1)
    assert cost.parameters == sum(k * k * a * b + b for k, a, b, _ in convolutions) + up[0]
    assert cost.operations == sum(s * s * (2 * k * k * a * b + b) for k, a, b, s in convolutions) + up[1]


@pytest.mark.parametrize("block", BLOCKS)
def test_operations_of_convolutions_are_those_that_tensorflow_counts(block):
    section = NetworkSection(**SMALL, block=block, up="bilinear", norm="group")
    network = build_network(section, side=32, channels=2)
    graph = tf.function(network).get_concrete_function(tf.TensorSpec((1, 32, 32, 2))).graph
    options = option_builder.ProfileOptionBuilder(option_builder.ProfileOptionBuilder.float_operation())
    options = options.with_empty_output().with_accounted_types(["Conv2D"]).build()
    counted = model_analyzer.profile(graph, options=options).total_float_ops
    heads = list(grid_of(section).heads)
    biases = (
        len(heads) * 32 * 32 * section.classes
    )  # of the heads, which TensorFlow counts as another operation
    assert network_cost(section, grid_of(section), heads, side=32, channels=2).operations == counted + biases


def test_saved_and_loaded_by_the_table_of_stock_layers(tmp_path):
    network = network_of(block="residual", norm="batch")
    network.save(tmp_path / "model.keras")
    x = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32)
    loaded = load_network(tmp_path / "model.keras")
    for key, values in network(x).items():
        np.testing.assert_array_equal(loaded(x)[key], values)


def test_an_addition_of_unlike_channels_is_refused(tmp_path):
    image = keras.Input((32, 32, 1))
    one, two = layers.Conv2D(4, 1, name="one")(image), layers.Conv2D(4, 1, name="two")(image)
    keras.Model(image, layers.Add(name="sum")([one, two])).save(tmp_path / "a.keras")
    check_saved(tmp_path / "a.keras")
    wide = layers.Conv2D(1, 1, name="two")(image)  # Keras itself would spread one channel over all
    keras.Model(image, layers.Add(name="sum")([one, wide])).save(tmp_path / "b.keras")
    with pytest.raises(NetworkError, match=r"layer sum adds \[4, 1\] channels"):
        check_saved(tmp_path / "b.keras")


@pytest.mark.parametrize("norm", ["group", "batch", "none"])
def test_fast_form_gives_the_same_outputs_and_gradients(norm):
    network = network_of(block="residual", norm=norm)
    x = np.random.default_rng(2).normal(size=(2, 32, 32, 3)).astype(np.float32)
    results = []
    for model in (network, fast_form(network)):
        with tf.GradientTape() as tape:
            loss = sum(
                tf.reduce_mean(tf.square(values)) for values in model(x, training=norm != "batch").values()
            )
        results.append((loss, tape.gradient(loss, network.trainable_variables)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    for stock, fast in zip(results[0][1], results[1][1]):
        np.testing.assert_allclose(stock, fast, atol=2e-5)


def test_batch_norms_are_folded_for_export():
    network = network_of(block="residual", norm="batch")
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([weight + 0.1 * number for number, weight in enumerate(layer.get_weights())])
    x, plain = np.random.default_rng(3).normal(size=(2, 32, 32, 3)).astype(np.float32), folded(network)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in plain.layers)
    np.testing.assert_allclose(plain(x)["head_2"], network(x)["head_2"], atol=1e-5)
