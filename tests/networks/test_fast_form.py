"""The fast form against the stock layers of Keras: outputs, gradients, moving statistics, and what is
saved.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from clamnet_tf.networks import fast_convolutions
from clamnet_tf.networks.build import build_network, logits_network
from clamnet_tf.networks.fast_form import fast_form, set_training_kind
from clamnet_tf.recipe.schema import NetworkSection


def network_of(norm):
    keras.utils.set_random_seed(3)
    network = build_network(
        NetworkSection(depth=3, filters=[6, 8, 16], kernels=[3, 3, 5], norm=norm), side=16, channels=2
    )
    rng = np.random.default_rng(4)
    network.set_weights(
        [
            value + 0.3 * rng.normal(size=value.shape).astype(np.float32) ** 2
            for value in network.get_weights()
        ]
    )
    return network


@pytest.fixture
def images():
    return tf.constant(np.random.default_rng(0).normal(0.7, 2.0, size=(4, 16, 16, 2)).astype(np.float32))


def outputs_and_gradients(model, variables, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = model(images, training=True)
        loss = sum(
            tf.reduce_mean(tf.square(value) * (1.0 + head)) for head, value in enumerate(outputs.values())
        )
    return outputs, tape.gradient(loss, [*variables, images])


@pytest.mark.parametrize("norm", ["group", "instance", "batch", "none"])
def test_outputs_and_gradients_are_those_of_the_stock_network(norm, images):
    stock = logits_network(network_of(norm))
    fast = fast_form(stock)
    assert fast is not stock and [variable.path for variable in fast.trainable_variables] == [
        variable.path for variable in stock.trainable_variables
    ]
    expected, wanted = outputs_and_gradients(stock, stock.trainable_variables, images)
    found, gradients = outputs_and_gradients(fast, stock.trainable_variables, images)
    for head in expected:
        np.testing.assert_allclose(found[head], expected[head], rtol=1e-4, atol=1e-4)
    for one, other in zip(gradients, wanted):
        np.testing.assert_allclose(
            one, other, rtol=1e-3, atol=1e-4 * float(tf.reduce_max(tf.abs(other))) + 1e-6
        )


def test_group_norm_against_numbers_worked_out_in_double_precision(images):
    layer = keras.layers.GroupNormalization(groups=2)
    inputs = keras.Input((16, 16, 4))
    model = keras.Model(inputs, {"head_1": layer(inputs)})
    layer.gamma.assign([1.0, 2.0, 0.5, -1.0])
    layer.beta.assign([0.0, 1.0, 2.0, 3.0])
    x = np.random.default_rng(1).normal(5.0, 3.0, size=(3, 16, 16, 4))
    groups = x.reshape(3, 256, 2, 2)
    mean, variance = groups.mean(axis=(1, 3), keepdims=True), groups.var(axis=(1, 3), keepdims=True)
    expected = ((groups - mean) / np.sqrt(variance + 1e-3)).reshape(x.shape) * [1.0, 2.0, 0.5, -1.0] + [
        0.0,
        1.0,
        2.0,
        3.0,
    ]
    np.testing.assert_allclose(fast_form(model)(x.astype(np.float32))["head_1"], expected, atol=2e-5)


def test_batch_norm_moves_its_statistics_as_keras_does(images):
    one, other = network_of("batch"), network_of("batch")
    fast = fast_form(logits_network(other))
    for _ in range(3):
        logits_network(one)(images, training=True)
        fast(images, training=True)
    for stock, moved in zip(one.non_trainable_variables, other.non_trainable_variables):
        np.testing.assert_allclose(moved, stock, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        fast_form(other)(images)["head_2"], one(images)["head_2"], atol=1e-4
    )  # inference uses them


def test_concatenations_are_left_out_and_penalties_kept(images):
    network = build_network(
        NetworkSection(depth=3, filters=[6, 8, 16], kernels=[3, 3, 5], norm="group", l2=0.01),
        side=16,
        channels=2,
    )
    fast = fast_form(network)

    def joined_maps(model):
        graph = tf.function(lambda x: model(x, training=True)).get_concrete_function(images).graph
        return [
            each.name
            for each in graph.get_operations()
            if each.type == "ConcatV2" and each.outputs[0].shape.rank == 4
        ]

    assert len(joined_maps(network)) == 3 and not joined_maps(fast)
    assert len(network.losses) == len(fast.losses) > 0
    np.testing.assert_allclose(sum(fast.losses), sum(network.losses), rtol=1e-6)


def test_a_concatenation_that_something_else_reads_stays(images):
    joined = keras.layers.Concatenate()(
        [inputs := keras.Input((16, 16, 2)), keras.layers.Conv2D(3, 3, padding="same")(inputs)]
    )
    model = keras.Model(
        inputs,
        {
            "head_1": keras.layers.Conv2D(2, 3, padding="same")(joined),
            "head_2": keras.layers.Activation("tanh")(joined),
        },
    )
    for head, expected in model(images).items():
        np.testing.assert_allclose(fast_form(model)(images)[head], expected, atol=1e-5)


@pytest.mark.parametrize("stride, side", [(1, 6), (2, 6), (2, 7)])
def test_convolution_of_parts_against_the_joined_one_in_double_precision(stride, side):
    rng = np.random.default_rng(6)
    parts, kernel = (
        [tf.constant(rng.normal(size=(2, side, side, count))) for count in (3, 1, 2)],
        tf.constant(rng.normal(size=(3, 3, 6, 4))),
    )
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([*parts, kernel])
        expected = tf.nn.conv2d(tf.concat(parts, -1), kernel, stride, "SAME")
        found = fast_convolutions.convolution(parts, kernel, stride)
        losses = [tf.reduce_sum(tf.sin(each)) for each in (expected, found)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    for one, other in zip(*(tape.gradient(loss, [*parts, kernel]) for loss in losses)):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_doubling_against_the_stock_operation_in_double_precision():
    rng = np.random.default_rng(7)
    x, kernel = tf.constant(rng.normal(size=(2, 3, 5, 4))), tf.constant(rng.normal(size=(2, 2, 3, 4)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, kernel])
        expected = tf.nn.conv2d_transpose(x, kernel, (2, 6, 10, 3), 2, "SAME")
        found = fast_convolutions.doubling(x, kernel)
        losses = [tf.reduce_sum(tf.sin(each)) for each in (expected, found)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    for one, other in zip(*(tape.gradient(loss, [x, kernel]) for loss in losses)):
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.fixture
def bfloat16():
    set_training_kind("bfloat16")
    yield
    set_training_kind("float32")


def rounded(array):
    """Round to the 8 bits of mantissa of bfloat16, ties to even, without TensorFlow."""
    bits = np.asarray(array, np.float32).view(np.uint32).astype(np.uint64)
    bits += 0x7FFF + ((bits >> 16) & 1)
    return (bits & 0xFFFF0000).astype(np.uint32).view(np.float32)


def test_a_convolution_in_bfloat16_multiplies_rounded_factors_and_adds_them_up_exactly():
    rng = np.random.default_rng(8)
    x, kernel = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 9, 9, 64), (3, 3, 64, 5)))
    found = fast_convolutions.convolution([tf.constant(x)], tf.constant(kernel), 1, "bfloat16")
    exact = tf.nn.conv2d(rounded(x).astype(np.float64), rounded(kernel).astype(np.float64), 1, "SAME")
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, exact, rtol=2**-8, atol=2e-3)  # the result is rounded once
    np.testing.assert_array_equal(rounded(found), found)


def test_training_in_bfloat16_is_close_and_everything_else_is_float32(images, bfloat16):
    network = network_of("group")
    fast = fast_form(logits_network(network))
    stock = logits_network(network)
    expected, wanted = outputs_and_gradients(stock, stock.trainable_variables, images)
    found, gradients = outputs_and_gradients(fast, stock.trainable_variables, images)
    for head in expected:
        scale = float(tf.reduce_max(tf.abs(expected[head])))
        error = float(tf.reduce_max(tf.abs(found[head] - expected[head]))) / scale
        assert 1e-5 < error < 0.03, (head, error)
    assert {gradient.dtype for gradient in gradients} == {tf.float32}
    one, other = (np.concatenate([np.ravel(each) for each in some]) for some in (gradients, wanted))
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.999
    for head, value in stock(images, training=False).items():
        np.testing.assert_allclose(fast(images, training=False)[head], value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv2D(3, 3, padding="same"),
        keras.layers.Conv2DTranspose(3, 2, strides=2, padding="same"),
    ],
)
def test_each_kind_of_convolution_is_rounded_in_training_alone(layer, images, bfloat16):
    inputs = keras.Input((16, 16, 2))
    stock = keras.Model(inputs, {"head_1": layer(inputs)})
    fast = fast_form(stock)
    trained, used = (fast(images, training=training)["head_1"].numpy() for training in (True, False))
    np.testing.assert_array_equal(trained, rounded(trained))  # the bias is 0
    assert not np.array_equal(used, rounded(used))
    np.testing.assert_allclose(trained, used, atol=0.03 * np.abs(used).max())


def test_only_known_number_formats_are_set():
    with pytest.raises(ValueError, match="expected float32 or bfloat16, received float16"):
        set_training_kind("float16")


def test_what_has_no_faster_form_and_what_has_lower_precision_stays_as_it_is():
    inputs = keras.Input((16, 16, 1))
    plain = keras.Model(inputs, {"head_1": keras.layers.Conv2D(2, 1)(inputs)})
    assert fast_form(plain) is plain
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = build_network(
            NetworkSection(depth=2, filters=[4, 6], kernels=[3, 3], norm="group"), side=16, channels=1
        )
    finally:
        keras.config.set_dtype_policy("float32")
    assert fast_form(half) is half


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras 3.15 saving under NumPy 2
def test_the_network_is_saved_with_stock_layers(images, tmp_path):
    network = network_of("group")
    expected = fast_form(network)(images)["head_2"]
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert {type(layer).__module__.split(".")[0] for layer in loaded.layers} == {"keras"}
    np.testing.assert_allclose(loaded(images)["head_2"], expected, atol=1e-4)
    assert len(loaded.layers) == len(network.layers)
