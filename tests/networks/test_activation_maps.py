"""The classifier on the encoder, and its maps against tf-keras-vis, closed form, finite differences and
NumPy.
"""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from clamnet_tf.errors import NetworkError
from clamnet_tf.inference.activation_maps import METHODS, ActivationMap, as_probability, grad_cam, layer_cam
from clamnet_tf.inference.build import build_predictor
from clamnet_tf.networks.build import build_network
from clamnet_tf.networks.classifier import build_classifier, is_classifier, levels
from clamnet_tf.networks.describe import classifier_cost
from clamnet_tf.recipe.schema import InferenceSection, NetworkSection

SIDE = 16
SECTION = NetworkSection(depth=3, filters=[4, 6, 8], kernels=[3, 3, 3], norm="none")


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(3)
    return build_classifier(SECTION, side=SIDE, channels=2)


@pytest.fixture
def images(rng):
    return rng.normal(size=(3, SIDE, SIDE, 2)).astype(np.float32)


def layers_of(network):
    """Name -> shapes of the weights of every layer that has some."""
    return {
        layer.name: [tuple(weight.shape) for weight in layer.weights]
        for layer in network.layers
        if layer.weights
    }


@pytest.mark.parametrize(
    "changes",
    [{}, {"down": "pool", "norm": "group"}, {"skips": "plain"}, {"duplicate": {"levels": [1]}}],
    ids=str,
)
def test_the_encoder_is_the_first_column_of_the_grid(changes):
    section = NetworkSection(**(SECTION.model_dump() | changes))
    found, whole = (
        layers_of(build_classifier(section, side=SIDE, channels=2)),
        layers_of(build_network(section, side=SIDE, channels=2)),
    )
    assert found.pop("classifier_logits") == [(8, 1), (1,)]
    assert found == {
        name: shapes for name, shapes in whole.items() if name.split("_")[2] == "0" and name.startswith("x_")
    }
    assert len({name[:5] for name in found}) == 3


def test_it_tells_one_probability_per_slice_and_survives_saving(network, images, tmp_path):
    values = network(images)["classifier"].numpy()
    assert values.shape == (3, 1) and (values > 0).all() and (values < 1).all()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "__array__ implementation", DeprecationWarning
        )  # Keras 3.15 saving under NumPy 2
        network.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(back(images)["classifier"], values, atol=1e-6)
    assert is_classifier(back) and levels(back) == 3 and back.name == "classifier_d3"
    assert not is_classifier(build_network(SECTION, side=SIDE, channels=2))
    predictor = build_predictor(back, InferenceSection(activation_map={"method": "layer_cam", "level": 1}))
    np.testing.assert_allclose(
        predictor(images), ActivationMap(network, method="layer_cam", level=1)(images), atol=1e-6
    )


def test_cost_counts_what_keras_counts(network):
    assert classifier_cost(SECTION, side=SIDE, channels=2).parameters == network.count_params()


def test_grad_cam_of_the_deepest_level_is_cam(network, images):
    """With pooling and one dense layer the gradient is w_k / (h w): Grad-CAM is CAM / (h w) (Selvaraju 2017,
    section 3.1), cut at 0.
    """
    inner = keras.Model(network.input, network.get_layer("x_2_0").output)
    activations, (weights, bias) = inner(images).numpy(), network.get_layer("classifier_logits").get_weights()
    cam = activations @ weights[:, 0]
    logit = np.log(
        network(images)["classifier"].numpy()[:, 0] / (1 - network(images)["classifier"].numpy()[:, 0])
    )
    np.testing.assert_allclose(cam.mean(axis=(1, 2)) + bias[0], logit, atol=1e-4)  # CAM adds up to the logit
    found = ActivationMap(network).raw(tf.constant(images)).numpy()
    np.testing.assert_allclose(found, np.maximum(cam, 0) / 16, atol=1e-6)
    assert found.max() > 1e-3
    evidence = np.maximum(cam, 0)
    np.testing.assert_allclose(as_probability(found, 16), evidence / (1 + evidence), atol=1e-5)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_maps_equal_tf_keras_vis(network, images, method, level):
    """tf-keras-vis 0.8.7, not normalised: the methods as its authors wrote them, on fixed weights, for every
    level.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own imports are from older SciPy and NumPy
        pytest.importorskip("tf_keras_vis", reason="comes with the extra [test]", exc_type=ImportError)
        from tf_keras_vis.gradcam import Gradcam
        from tf_keras_vis.layercam import Layercam

        theirs = {"grad_cam": Gradcam, "layer_cam": Layercam}[method]
        logits = keras.Model(network.input, network.get_layer("classifier_logits").output)
        options = {
            "penultimate_layer": f"x_{level}_0",
            "seek_penultimate_conv_layer": False,
            "expand_cam": False,
            "normalize_cam": False,
        }
        expected = theirs(logits)(lambda output: output[:, 0], images, **options)
    found = ActivationMap(network, method=method, level=level).raw(tf.constant(images)).numpy()
    assert found.shape == (3, SIDE >> level, SIDE >> level) and found.max() > 1e-5
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_gradients_are_those_of_the_logit(images):
    """Against finite differences through the layers behind level 1; with gelu, which has no kinks to step
    over.
    """
    network = build_classifier(SECTION.model_copy(update={"activation": "gelu"}), side=SIDE, channels=2)
    behind, x = keras.Input((8, 8, 6)), None
    for name in (
        "x_2_0_conv_1",
        "x_2_0_activation_1",
        "x_2_0_conv_2",
        "x_2_0",
        "pooled",
        "classifier_logits",
    ):
        x = network.get_layer(name)(behind if x is None else x)
    behind = keras.Model(behind, x)
    level = keras.Model(network.input, network.get_layer("x_1_0").output)(images[:1]).numpy()
    step, gradients = 1e-2, np.zeros_like(level)
    moved = np.repeat(level, level.size, axis=0).reshape(level.size, -1)
    np.fill_diagonal(moved, moved.diagonal() + step)
    up = behind(moved.reshape(-1, *level.shape[1:])).numpy()[:, 0]
    np.fill_diagonal(moved, moved.diagonal() - 2 * step)
    gradients[0] = ((up - behind(moved.reshape(-1, *level.shape[1:])).numpy()[:, 0]) / (2 * step)).reshape(
        level.shape[1:]
    )
    expected = np.maximum((np.maximum(gradients, 0) * level).sum(axis=-1), 0)
    found = ActivationMap(network, method="layer_cam", level=1).raw(tf.constant(images[:1])).numpy()
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=5e-3 * expected.max())


def test_the_formulas_by_hand():
    activations = tf.constant([[[[1.0, 2.0], [3.0, 1.0]]]])  # (1, 1, 2, 2)
    gradients = tf.constant([[[[2.0, -1.0], [0.0, -3.0]]]])
    np.testing.assert_allclose(
        grad_cam(activations, gradients), [[[0.0, 1.0]]]
    )  # weights 1 and -2: 1 - 4 and 3 - 2
    np.testing.assert_allclose(layer_cam(activations, gradients), [[[2.0, 0.0]]])
    np.testing.assert_allclose(
        as_probability(np.array([[[0.0, 0.5]]]), 2), [[[0.0, 0.5]]]
    )  # two places: evidence 0 and 1


def bilinear(small, side):
    """Half-pixel centres, edges repeated: along rows, then along columns."""
    places = (np.arange(side) + 0.5) * len(small) / side - 0.5
    weights = np.array([np.interp(places, np.arange(len(small)), unit) for unit in np.eye(len(small))])
    return weights.T @ small @ weights


def test_maps_are_of_the_slices_size_and_do_not_depend_on_their_company(network, images):
    predictor = ActivationMap(network, batch_size=2)
    assert predictor.head_names == ["activation_map"] and predictor.heads(images).shape == (
        1,
        3,
        SIDE,
        SIDE,
        1,
    )
    maps = predictor(images)
    assert maps.dtype == np.float32 and maps.min() >= 0 and maps.max() < 1
    np.testing.assert_allclose(
        predictor(images[2:]), maps[2:], atol=1e-6
    )  # no scaling slice by slice or batch by batch
    enlarged = np.stack([bilinear(each, SIDE) for each in 16 * predictor.raw(tf.constant(images)).numpy()])
    np.testing.assert_allclose(maps[..., 0], enlarged / (1 + enlarged), atol=1e-5)
    flipped = ActivationMap(network, flip_views=True)
    np.testing.assert_allclose(flipped(images)[:, :, ::-1], flipped(images[:, :, ::-1]), atol=1e-5)


def test_a_level_that_is_not_there(network):
    with pytest.raises(
        NetworkError,
        match="inference.activation_map.level: expected a level from 0 to 2 of classifier_d3, received 3",
    ):
        ActivationMap(network, level=3)


def test_methods_are_those_of_the_recipe():
    from typing import get_args

    from clamnet_tf.recipe.schema import ActivationMapSection

    assert set(METHODS) == set(get_args(ActivationMapSection.model_fields["method"].annotation))
