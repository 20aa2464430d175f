"""Every layer that a network may have, written as ONNX and run by ONNX Runtime, against Keras."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from clamnet_tf.errors import ExportFailure
from clamnet_tf.export.onnx_graph import onnx_graph
from clamnet_tf.networks.onnx_file import OPERATORS, read_onnx
from clamnet_tf.networks.saved import ALLOWED

LAYERS = {
    "same": lambda: layers.Conv2D(5, 3, padding="same"),
    "valid, dilated": lambda: layers.Conv2D(5, 3, dilation_rate=2, use_bias=False),
    "strided": lambda: layers.Conv2D(5, 3, strides=2, padding="same"),
    "strided, even kernel": lambda: layers.Conv2D(5, (4, 2), strides=(2, 1), padding="same"),
    "grouped": lambda: layers.Conv2D(6, 3, groups=2, padding="same"),
    "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", strides=2),
    "transposed": lambda: layers.Conv2DTranspose(5, 2, strides=2, padding="same"),
    "group norm": lambda: layers.GroupNormalization(groups=2),
    "instance norm": lambda: layers.GroupNormalization(groups=-1),
    "batch norm": lambda: layers.BatchNormalization(),
    "batch norm without scale": lambda: layers.BatchNormalization(scale=False, center=False),
    "pool": lambda: layers.MaxPooling2D(2),
    "average": lambda: layers.AveragePooling2D((5, 3), strides=1, padding="same"),
    "highest": lambda: layers.GlobalMaxPooling2D(keepdims=True),
    "left out": lambda: layers.Dropout(0.5, noise_shape=(None, 1, 1, 1)),
    "taken": lambda: layers.MaxPooling2D(1, strides=2),
    "bilinear": lambda: layers.UpSampling2D(2, interpolation="bilinear"),
    "nearest": lambda: layers.UpSampling2D((2, 3)),
    "rescaled": lambda: layers.Rescaling(0.5, offset=-1.0),
    "rescaled by channel": lambda: layers.Rescaling([1.0, 2.0, 3.0, 4.0], offset=[0.0, -1.0, 1.0, 2.0]),
    "dropout": lambda: layers.SpatialDropout2D(0.5),
    **{
        name: lambda name=name: layers.Activation(name)
        for name in "linear relu leaky_relu elu gelu silu relu6 sigmoid tanh softplus softmax".split()
    },
}


def run(network, images):
    """The outputs of a network by ONNX Runtime, by name."""
    import onnxruntime

    config = json.loads(network.to_json())["config"]
    content = onnx_graph(config, lambda name: network.get_layer(name).get_weights(), {"key": "value"})
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return content, dict(zip(names, session.run(names, {"images": images})))


@pytest.fixture
def images(rng):
    return rng.normal(0.3, 2, (3, 12, 8, 4)).astype(np.float32)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_what_keras_gives(name, images, rng, tmp_path):
    image = keras.Input((12, 8, 4), name="image")
    network = keras.Model(image, {"head_1": LAYERS[name]()(image)})
    for layer in network.layers:
        layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    content, found = run(network, images)
    wanted = np.asarray(network(images, training=False)["head_1"])
    np.testing.assert_allclose(found["head_1"], wanted, rtol=1e-5, atol=1e-5)
    (tmp_path / "model.onnx").write_bytes(content)
    assert read_onnx(tmp_path / "model.onnx").metadata == {"key": "value"}


def test_layers_are_joined_and_added(images):
    image = keras.Input((12, 8, 4), name="image")
    first, second, third = (layers.Conv2D(3, 3, padding="same")(image) for _ in range(3))
    total = layers.Add()([first, second, third])
    outputs = {"head_1": layers.Concatenate()([total, image, first]), "head_2": total}
    network = keras.Model(image, outputs)
    _, found = run(network, images)
    for name, wanted in network(images, training=False).items():
        np.testing.assert_allclose(found[name], np.asarray(wanted), rtol=1e-5, atol=1e-5)


def test_a_comparison_of_two_images_gives_what_keras_gives(rng):
    from clamnet_tf.export.folding import folded
    from clamnet_tf.networks.build import build_network
    from clamnet_tf.recipe.schema_network import NetworkSection

    own = {"blocks": 3, "frozen_blocks": 3, "comparison": True}
    section = NetworkSection(pretrained=own, output="sigmoid", dropout=0.5)
    network = build_network(section, side=32, channels=2)
    evidence = network.get_layer("evidence")
    evidence.set_weights([rng.normal(size=weight.shape) for weight in evidence.get_weights()])
    images = rng.normal(size=(3, 32, 32, 2)).astype(np.float32)
    images[1, ..., 1] = 0
    wanted = np.asarray(network(images, training=False)["head_1"])
    for form in (network, folded(network)):
        np.testing.assert_allclose(run(form, images)[1]["head_1"], wanted, rtol=1e-4, atol=1e-4)


def test_what_is_not_written_is_refused(images):
    image = keras.Input((12, 8, 4), name="image")
    for layer, what in (
        (layers.Dense(2, name="odd"), "Dense cannot be written as ONNX"),
        (layers.Activation("softsign", name="odd"), "expected one of relu,"),
        (layers.Conv2D(2, 3, activation="relu", name="odd"), "expected channels_last and no activation"),
        (layers.Conv2DTranspose(2, 3, strides=2, name="odd"), "expected kernels of the size of the stride"),
        (layers.AveragePooling2D(2, name="odd"), "expected channels_last, odd pools of stride 1"),
        (layers.MaxPooling2D(3, name="odd"), "expected sides that the stride divides"),
    ):
        with pytest.raises(ExportFailure, match=f"layer odd: {what}"):
            run(keras.Model(image, {"head_1": layer(image)}), images)
    anything = keras.Input((None, None, 4), name="image")
    with pytest.raises(ExportFailure, match="expected a single input of fixed size"):
        run(keras.Model(anything, {"head_1": layers.Conv2D(2, 3)(anything)}), images)


def test_every_layer_of_a_saved_network_is_written_but_those_of_classifiers():
    from clamnet_tf.export.onnx_graph import _WRITERS
    from clamnet_tf.export.onnx_weightless import _SIMPLE

    assert ALLOWED["keras.layers"] - set(_WRITERS) == {"Dense", "GlobalAveragePooling2D"}
    assert {operator for operator, _ in _SIMPLE.values()} <= OPERATORS
