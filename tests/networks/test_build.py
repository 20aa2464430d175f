"""Built networks: shapes, dtypes, gradients, names, the original's golden counts, saving, seeds."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks import blocks
from clamnet_tf.networks.build import build_network, logits_network, original_section
from clamnet_tf.networks.grid import grid_of
from clamnet_tf.networks.prune import prune
from clamnet_tf.recipe.network_blocks import BLOCKS
from clamnet_tf.recipe.schema import NetworkSection
from clamnet_tf.recipe.schema_network import DuplicateSection

LOAD_ELSEWHERE = """
import json, sys
import keras, numpy as np
folder = sys.argv[1]
differences = {}
for name, numbers in json.load(open(f"{folder}/expected.json")).items():
    network = keras.models.load_model(f"{folder}/{name}.keras")
    images, expected = np.load(f"{folder}/{name}.npz")["images"], np.load(f"{folder}/{name}.npz")
    outputs = network(images)
    assert sorted(outputs) == numbers, (sorted(outputs), numbers)
    differences[name] = max(float(np.abs(np.asarray(outputs[key]) - expected[key]).max()) for key in outputs)
assert not [module for module in sys.modules if module.startswith("clamnet")]
print(json.dumps(differences))
"""


def tiny(**changes):
    return NetworkSection(**{"depth": 3, "filters": [4, 6, 8], "kernels": [3, 3, 5], **changes})


def test_heads_are_probability_maps_of_the_image_size(variant, images):
    outputs = variant.network(images(variant))
    channels = 1 if variant.section.output == "sigmoid" else variant.section.classes
    assert set(outputs) == {f"head_{number}" for number in grid_of(variant.section).heads}
    for values in outputs.values():
        assert values.shape == (2, variant.side, variant.side, channels)
        assert values.dtype == tf.float32
        assert np.all((values >= 0) & (values <= 1))
        if channels > 1:
            np.testing.assert_allclose(tf.reduce_sum(values, -1), 1, atol=1e-6)


def test_logits_are_the_heads_before_softmax_or_sigmoid(variant, images):
    x = images(variant)
    logits, outputs = logits_network(variant.network)(x), variant.network(x)
    turn = tf.sigmoid if variant.section.output == "sigmoid" else tf.nn.softmax
    assert set(logits) == set(outputs)
    for key in outputs:
        assert logits[key].dtype == tf.float32
        np.testing.assert_allclose(turn(logits[key]), outputs[key], atol=1e-6)


def test_logits_network_shares_the_layers(variant_of):
    network = variant_of("default").network
    logits = logits_network(network)
    assert {id(weight) for weight in logits.weights} == {id(weight) for weight in network.weights}


def test_every_trainable_weight_gets_a_gradient(variant, images):
    x = images(variant, 4)
    logits = logits_network(variant.network)
    with tf.GradientTape() as tape:
        value = tf.add_n(
            [tf.reduce_mean(tf.square(values - 1.0)) for values in logits(x, training=True).values()]
        )
    weights = variant.network.trainable_weights
    for weight, gradient in zip(weights, tape.gradient(value, weights)):
        assert gradient is not None and np.all(np.isfinite(gradient)) and np.any(gradient != 0), weight.path


def test_node_layers_bear_the_names_of_the_grid(variant):
    for node in grid_of(variant.section).nodes.values():
        side = variant.side >> node.row
        assert variant.network.get_layer(node.name).output.shape[1:] == (side, side, node.filters)


def test_original_settings_have_the_golden_parameter_counts():
    """Count L4 with four heads, and L1..L4 with one, as in docs/method.md, section "Idea"."""
    network = build_network(original_section(), side=96, channels=1)
    assert network.count_params() == 9_041_700
    assert [prune(network, head).count_params() for head in (1, 2, 3, 4)] == [
        100_961,
        511_105,
        2_204_961,
        9_041_601,
    ]
    assert build_network(original_section(2), side=96, channels=1).count_params() == 100_961


@pytest.mark.parametrize(("changes", "strides"), [({}, [1, 1, 1, 2, 1, 2]), ({"down": "pool"}, [1] * 6)])
def test_halving_is_in_the_second_convolution_or_in_the_pool(changes, strides):
    network = build_network(tiny(**changes), side=8, channels=1)
    layers = [network.get_layer(f"x_{level}_0_conv_{number}") for level in range(3) for number in (1, 2)]
    assert [layer.strides[0] for layer in layers] == strides
    assert len([layer for layer in network.layers if isinstance(layer, keras.layers.MaxPooling2D)]) == (
        2 if changes else 0
    )


def test_a_duplicated_level_gets_two_more_convolutions_of_equal_size():
    network = build_network(tiny(duplicate=DuplicateSection(levels=[1])), side=32, channels=1)
    added = [network.get_layer(f"x_1_0_conv_{number}") for number in (3, 4)]
    assert network.name == "unet_plus_plus_d3_dup1"
    assert [(layer.filters, layer.kernel_size, layer.strides) for layer in added] == [(6, (3, 3), (1, 1))] * 2
    assert [layer.name for layer in network.layers if layer.name.endswith("conv_3")] == ["x_1_0_conv_3"]


@pytest.mark.parametrize(
    ("name", "biased"),
    [
        ("default", False),
        ("batch_norm_leaky_relu", False),
        ("instance_norm_gelu", False),
        ("no_norm_silu", True),
    ],
)
def test_norm_replaces_the_bias_of_its_convolution(variant_of, name, biased):
    assert variant_of(name).network.get_layer("x_0_0_conv_1").use_bias is biased


@pytest.mark.parametrize(
    ("filters", "groups"), [(1, 1), (7, 7), (8, 8), (12, 6), (16, 8), (22, 2), (13, 1), (20, 5)]
)
def test_group_count_is_the_largest_divisor_up_to_8(filters, groups):
    assert blocks.group_count(filters) == groups


@pytest.mark.parametrize(
    ("table", "field"), [("NORMS", "norm"), ("UPS", "up"), ("ACTIVATIONS", "activation")]
)
def test_tables_hold_what_the_schema_allows(table, field):
    assert set(getattr(blocks, table)) == set(NetworkSection.model_json_schema()["properties"][field]["enum"])


def test_blocks_are_what_the_schema_allows():
    assert set(BLOCKS) == set(NetworkSection.model_json_schema()["properties"]["block"]["enum"])


def test_bilinear_interpolates_between_pixel_centres():
    raised = blocks.bilinear_up(
        np.array([0.0, 4.0], np.float32).reshape(1, 1, 2, 1), filters=1, l2=0, name="up"
    )
    np.testing.assert_allclose(np.asarray(raised)[0, 0, :, 0], [0, 1, 3, 4])


def test_l2_penalty_is_that_of_all_kernels(variant_of):
    network = variant_of("bilinear_l2").network
    kernels = [weight for weight in network.trainable_weights if weight.name == "kernel"]
    np.testing.assert_allclose(
        sum(network.losses), 0.01 * sum(np.sum(np.square(kernel)) for kernel in kernels), rtol=1e-5
    )
    np.testing.assert_allclose(sum(logits_network(network).losses), sum(network.losses))
    assert not variant_of("default").network.losses


def test_dropout_acts_in_training_only_and_on_whole_maps(variant_of, images):
    variant = variant_of("dropout")
    x = images(variant)
    node = keras.Model(variant.network.input, variant.network.get_layer("x_0_0").output)
    np.testing.assert_array_equal(node(x), node(x))
    dropped = np.all(np.asarray(node(np.repeat(x, 8, 0), training=True)) == 0, axis=(1, 2))
    assert 0 < dropped.mean() < 1
    assert not np.array_equal(
        variant.network(x, training=True)["head_2"], variant.network(x, training=True)["head_2"]
    )


def test_same_seed_same_network_and_same_dropout():
    x, seen = np.ones((1, 8, 8, 1), np.float32), []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        network = build_network(tiny(depth=1, filters=[8], kernels=[3], dropout=0.5), side=8, channels=1)
        seen.append((network.get_weights(), np.asarray(network(x, training=True)["head_1"])))
    assert all(np.array_equal(first, second) for first, second in zip(seen[0][0], seen[1][0]))
    np.testing.assert_array_equal(seen[0][1], seen[1][1])
    assert not np.array_equal(seen[0][1], seen[2][1])


def test_heads_are_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = build_network(tiny(norm="group"), side=32, channels=1)
    finally:
        keras.config.set_dtype_policy(before)
    x = np.ones((1, 32, 32, 1), np.float32)
    assert network.get_layer("x_0_2").compute_dtype == "float16"
    for model in (network, logits_network(network)):
        assert {values.dtype for values in model(x).values()} == {tf.float32}


def test_weights_fit_a_network_for_another_side(variant_of):
    variant = variant_of("default")
    larger = build_network(variant.section, side=64, channels=variant.channels)
    larger.set_weights(variant.network.get_weights())
    assert larger(np.zeros((1, 64, 64, variant.channels), np.float32))["head_2"].shape == (1, 64, 64, 2)


def test_impossible_networks_are_refused():
    with pytest.raises(
        NetworkError, match="side: expected a positive multiple of 4 pixels, since a network of depth 3"
    ):
        build_network(tiny(), side=30, channels=1)
    with pytest.raises(NetworkError, match="network.kernels: expected 3 entries"):
        build_network(tiny(kernels=[3]), side=32, channels=1)
    with pytest.raises(NetworkError, match="channels: expected 1 or more, received 0"):
        build_network(tiny(), side=32, channels=0)


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras 3.15 saving under NumPy 2
def test_saved_networks_load_where_this_package_is_unknown(variant_of, images, tmp_path):
    names = ["bilinear_l2", "batch_norm_leaky_relu", "instance_norm_gelu", "duplicated_pool", "sigmoid"]
    expected = {}
    for name in names:
        variant = variant_of(name)
        x = images(variant)
        variant.network.save(tmp_path / f"{name}.keras")
        outputs = {key: np.asarray(values) for key, values in variant.network(x).items()}
        np.savez(tmp_path / f"{name}.npz", images=x, **outputs)
        expected[name] = sorted(outputs)
    (tmp_path / "expected.json").write_text(json.dumps(expected))
    answer = subprocess.run(
        [sys.executable, "-I", "-c", LOAD_ELSEWHERE, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    differences = json.loads(answer.stdout.splitlines()[-1])
    assert sorted(differences) == sorted(names)
    assert max(differences.values()) < 1e-6, differences


def test_a_kernel_of_one_pixel_halves_by_taking_every_other_pixel(rng):
    """TensorFlow's CPU kernel for the gradient of a 1x1 convolution of stride 2 corrupts memory, so that it
    is not built.
    """
    section = NetworkSection(depth=2, filters=[4, 6], kernels=[3, 1], norm="none")
    network = build_network(section, side=16, channels=1)
    assert all(
        layer.strides == (1, 1) for layer in network.layers if getattr(layer, "kernel_size", None) == (1, 1)
    )
    before = keras.Model(network.input, network.get_layer("x_1_0_activation_1").output)
    after = keras.Model(network.input, network.get_layer("x_1_0_conv_2").output)
    images = rng.normal(size=(2, 16, 16, 1)).astype(np.float32)
    kernel, bias = network.get_layer("x_1_0_conv_2").get_weights()
    np.testing.assert_allclose(
        after(images), np.asarray(before(images))[:, ::2, ::2] @ kernel[0, 0] + bias, atol=1e-5
    )
