"""Attributions of a score on fixed weights: closed forms, finite differences, NumPy, SciPy and
tf-keras-vis.
"""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from clamnet_tf.errors import NetworkError
from clamnet_tf.inference import attribution
from clamnet_tf.inference.attribution_map import AttributionMap
from clamnet_tf.inference.attribution_result import AttributionResult
from clamnet_tf.inference.build import build_predictor
from clamnet_tf.networks.classifier import has_heads, is_classifier
from clamnet_tf.networks.evidence_classifier import (
    EVIDENCE,
    LOGIT,
    build_evidence_classifiers,
    classifiers_of,
    level_name,
)
from clamnet_tf.networks.evidence_maps import evidence_maps, is_evidence_maps, with_scores
from clamnet_tf.networks.prune import prune
from clamnet_tf.networks.saved import load_network
from clamnet_tf.recipe.schema import InferenceSection
from clamnet_tf.recipe.schema_attribution import AttributionSection

SIDE = 12
CLASSIFIER = {"networks": 2, "filters": [4, 6], "blocks": [1, 1], "norm": "batch"}


@pytest.fixture
def images(rng):
    return tf.constant(rng.normal(size=(3, SIDE, SIDE, 2)).astype(np.float32))


@pytest.fixture
def weights(rng):
    return rng.normal(size=(SIDE, SIDE, 2)).astype(np.float32)


def section_of(**changes):
    return AttributionSection(**{"classifier": CLASSIFIER, **changes})


@pytest.fixture(scope="module")
def network():
    """Two classifiers whose moving statistics and evidence weights are not those of a fresh network."""
    keras.utils.set_random_seed(3)
    result = build_evidence_classifiers(section_of().classifier, side=SIDE, channels=2)
    rng = np.random.default_rng(4)
    result.set_weights(
        [value + 0.3 * rng.normal(size=value.shape).astype(np.float32) ** 2 for value in result.get_weights()]
    )
    return result


@pytest.fixture(scope="module")
def score(network):
    classifier = classifiers_of(network)[0]
    return lambda batch: classifier(batch, training=False)[LOGIT]


def linear(weights):
    return lambda batch: tf.reduce_sum(weights * batch, axis=(1, 2, 3))


def quadratic(weights):
    return lambda batch: 0.5 * tf.reduce_sum(weights * tf.square(batch), axis=(1, 2, 3))


def noise_of(copy):
    """The noise that `gradient_input` states it adds, the same for every image: (H, W, C)."""
    return tf.random.stateless_normal((1, SIDE, SIDE, 2), [20221, copy]).numpy()[0]


def test_gradient_input_of_a_linear_score_is_its_weights_times_the_input(images, weights):
    found = attribution.gradient_input(linear(weights), images, -1.0, copies=1, noise=0.0)
    np.testing.assert_allclose(
        found, np.maximum((weights * (images.numpy() + 1.0)).sum(-1), 0), rtol=1e-5, atol=1e-6
    )
    assert (found.numpy() == 0).any() and (found.numpy() > 1).any()


def test_gradient_input_of_a_quadratic_score_is_the_mean_of_positive_parts_over_noisy_copies(images, weights):
    baseline = np.float32(0.25)
    found = attribution.gradient_input(quadratic(weights), images, baseline, copies=3, noise=0.5)
    noisy = np.stack([images.numpy() + 0.5 * noise_of(copy) for copy in range(3)])
    each = np.maximum((weights * noisy * (noisy - baseline)).sum(-1), 0)
    np.testing.assert_allclose(found, each.mean(0), rtol=1e-4, atol=1e-5)
    assert (
        np.abs(each.mean(0) - np.maximum((weights * noisy * (noisy - baseline)).sum(-1).mean(0), 0)).max()
        > 0.1
    )  # not the same rule


def test_gradients_equal_finite_differences_of_the_classifier(score, images):
    gradient, step = attribution.gradient_of(score, images[:1]).numpy()[0], 1e-2
    places = np.random.default_rng(1).choice(gradient.size, 40, replace=False)
    moved = np.zeros((2, len(places), gradient.size), np.float32)
    for row, place in enumerate(places):
        moved[0, row, place], moved[1, row, place] = step, -step
    up, down = (score(images[:1] + part.reshape(-1, *gradient.shape)).numpy() for part in moved)
    expected = (up - down) / (2 * step)
    # the score has kinks (relu): most places agree closely, all of them roughly
    error = np.abs(gradient.ravel()[places] - expected)
    assert np.median(error) < 0.02 * np.abs(gradient).max() and error.max() < 0.25 * np.abs(gradient).max()
    assert np.corrcoef(gradient.ravel()[places], expected)[0, 1] > 0.98


def quiet_tf_keras_vis():
    """Its saliency classes; its own imports are from older SciPy and NumPy."""
    pytest.importorskip("tf_keras_vis", reason="comes with the extra [test]", exc_type=ImportError)
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.layercam import Layercam
    from tf_keras_vis.saliency import Saliency

    return Saliency, {"grad_cam": Gradcam, "layer_cam": Layercam}


def test_gradients_equal_the_saliency_of_tf_keras_vis(network, score, images):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saliency, _ = quiet_tf_keras_vis()
        one = classifiers_of(network)[0]
        model = keras.Model(one.input, one.output[LOGIT][:, None])
        expected = saliency(model)(
            lambda output: output[:, 0], images.numpy(), keepdims=True, normalize_map=False
        )
    np.testing.assert_allclose(np.abs(attribution.gradient_of(score, images)), expected, rtol=1e-4, atol=1e-6)


def test_integrated_gradients_are_exact_for_linear_and_quadratic_scores(images, weights):
    """The midpoint rule is exact where the gradient is linear along the path: w (x^2 - b^2) / 2 per channel
    (Sundararajan 2017).
    """
    x = images.numpy()
    baseline = np.full((1, 1, 1, 2), [0.5, -0.25], np.float32)
    found = attribution.integrated_gradients(linear(weights), images, baseline, steps=1)
    np.testing.assert_allclose(found, np.maximum((weights * (x - baseline)).sum(-1), 0), rtol=1e-4, atol=1e-5)
    found = attribution.integrated_gradients(quadratic(weights), images, baseline, steps=3)
    np.testing.assert_allclose(
        found, np.maximum((0.5 * weights * (x**2 - baseline**2)).sum(-1), 0), rtol=1e-4, atol=1e-5
    )


def test_integrated_gradients_are_complete(images, weights):
    """Where every contribution is positive, they add up to score(x) - score(baseline)."""
    up = np.abs(weights)
    rising = lambda batch: tf.reduce_sum(tf.math.softplus(up * batch), axis=(1, 2, 3))
    above = tf.abs(images) + 0.5
    baseline = tf.zeros_like(above)
    found = tf.reduce_sum(attribution.integrated_gradients(rising, above, baseline, steps=64), axis=(1, 2))
    np.testing.assert_allclose(found, rising(above) - rising(baseline), rtol=1e-4)


def test_occlusion_equals_a_plain_loop(images, score):
    baseline, windows, result = np.full((3, 1, 1, 2), 0.5, np.float32), (3, 8), np.zeros((3, SIDE, SIDE))
    whole = score(images).numpy()
    for window in windows:
        fall, times = np.zeros((3, SIDE, SIDE)), np.zeros((SIDE, SIDE))
        starts = {3: range(10), 8: (0, 4)}[window]
        for top in starts:
            for left in starts:
                hidden = images.numpy().copy()
                hidden[:, top : top + window, left : left + window] = 0.5
                fall[:, top : top + window, left : left + window] += np.maximum(
                    whole - score(tf.constant(hidden)).numpy(), 0
                )[:, None, None]
                times[top : top + window, left : left + window] += 1
        result += fall / times / len(windows)
    found = attribution.occlusion(score, images, baseline, windows=windows)
    np.testing.assert_allclose(found, result, rtol=1e-3, atol=1e-5)
    assert found.numpy().max() > 1e-3


@pytest.mark.parametrize(
    ("length", "window", "stride"), [(12, 5, 2), (12, 7, 3), (10, 4, 3), (5, 5, 2), (9, 2, 1)]
)
def test_windows_cover_every_row(length, window, stride):
    starts = attribution._starts(length, window, stride)
    covered = {row for start in starts for row in range(start, start + window)}
    assert covered == set(range(length))


def test_baselines_by_hand(images):
    x = images.numpy()
    black = attribution.BASELINES["black"](images).numpy()
    assert black.shape == (3, 1, 1, 2)
    for slice_, darkest in zip(x, black[:, 0, 0]):
        assert darkest.tolist() == [slice_[..., 0].min(), slice_[..., 1].min()]
    mean = attribution.BASELINES["mean"](images).numpy()
    assert not np.broadcast_to(mean, x.shape).any()
    # smoothed by an eighth of the side, weighted by what lies inside of the slice
    deviation = SIDE / 8
    weigh = lambda a: ndimage.gaussian_filter(
        a.astype(float), (0, deviation, deviation, 0), mode="constant", truncate=4
    )
    np.testing.assert_allclose(
        attribution.BASELINES["surroundings"](images), weigh(x) / weigh(np.ones_like(x)), atol=1e-4
    )
    flat = tf.fill((1, SIDE, SIDE, 1), 3.0)
    np.testing.assert_allclose(attribution.surroundings(flat), flat, rtol=1e-5)


@pytest.mark.parametrize("deviation", [0.4, 1.0, 2.5])
def test_smoothing_equals_scipy(rng, deviation):
    maps = rng.normal(size=(2, 40, 44)).astype(np.float32)
    expected = ndimage.gaussian_filter(
        maps.astype(float), (0, deviation, deviation), mode="constant", truncate=4
    )
    np.testing.assert_allclose(attribution.smoothed(tf.constant(maps), deviation), expected, atol=1e-5)


def test_no_smoothing_changes_nothing(rng):
    maps = tf.constant(rng.normal(size=(2, 8, 8)).astype(np.float32))
    np.testing.assert_array_equal(attribution.smoothed(maps, 0.0), maps)


@pytest.mark.parametrize("method", ["grad_cam", "layer_cam"])
def test_activation_maps_equal_tf_keras_vis(network, images, method):
    """Of the deepest level of each classifier, enlarged, smoothed, scaled and combined here by hand."""
    subject = AttributionMap(network, section_of(method=method, smoothing=1.0))
    scaled = []
    for number, classifier in enumerate(classifiers_of(network)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, theirs = quiet_tf_keras_vis()
            model = keras.Model(classifier.input, classifier.output[LOGIT][:, None])
            options = {
                "penultimate_layer": level_name(1),
                "seek_penultimate_conv_layer": False,
                "expand_cam": False,
                "normalize_cam": False,
            }
            expected = np.asarray(
                theirs[method](model)(lambda output: output[:, 0], images.numpy(), **options)
            )
        assert expected.max() > 1e-5
        enlarged = tf.image.resize(expected[..., None], (SIDE, SIDE)).numpy()[..., 0]
        np.testing.assert_allclose(subject._raw(number, images), enlarged, rtol=1e-3, atol=1e-6)
        smooth = ndimage.gaussian_filter(enlarged.astype(float), (0, 1, 1), mode="constant", truncate=4)
        scaled.append(np.maximum(smooth / smooth.max(axis=(1, 2), keepdims=True), 1e-6))
    found, combined = subject(images.numpy())[..., 0], np.sqrt(scaled[0] * scaled[1])
    np.testing.assert_allclose(found, np.where(combined > 2e-6, combined, 0), rtol=1e-3, atol=1e-4)
    assert found.max() <= 1 and found.min() >= 0


@pytest.mark.parametrize("method", ["gradient_input", "integrated_gradients", "occlusion"])
def test_every_method_is_what_its_function_says(network, images, method):
    section = section_of(
        method=method,
        baseline="surroundings",
        copies=3,
        noise=0.2,
        windows=[5],
        smoothing=0.0,
        classifier={**CLASSIFIER, "networks": 2},
    )
    subject, baseline = AttributionMap(network, section), attribution.surroundings(images)
    for number, classifier in enumerate(classifiers_of(network)):
        score = lambda batch, one=classifier: one(batch, training=False)[LOGIT]
        expected = {
            "gradient_input": lambda: attribution.gradient_input(
                score, images, baseline, copies=3, noise=0.2
            ),
            "integrated_gradients": lambda: attribution.integrated_gradients(
                score, images, baseline, steps=3
            ),
            "occlusion": lambda: attribution.occlusion(score, images, baseline, windows=[5]),
        }[method]()
        np.testing.assert_allclose(subject._raw(number, images), expected, rtol=1e-3, atol=1e-4)
    maps = subject(images.numpy())
    assert maps.shape == (3, SIDE, SIDE, 1) and 0 < maps.max() <= 1


def test_maps_and_probabilities_do_not_depend_on_the_company_of_a_slice(network, images):
    x = images.numpy()
    subject = AttributionMap(network, section_of(copies=2), batch_size=2)
    np.testing.assert_allclose(subject(x)[2:], subject(x[2:]), atol=1e-4)
    np.testing.assert_allclose(subject.probability(x)[2:], subject.probability(x[2:]), atol=1e-5)
    logits = np.mean([one(images, training=False)[LOGIT].numpy() for one in classifiers_of(network)], axis=0)
    np.testing.assert_allclose(subject.probability(x), 1 / (1 + np.exp(-logits)), atol=1e-5)
    assert subject.probability(x[:0]).shape == (0,)


def test_a_slice_without_positive_evidence_has_an_empty_map(network):
    """All weights 0: no gradient, no map, and no NaN."""
    silent = keras.models.clone_model(network)
    silent.set_weights([np.zeros_like(value) for value in silent.get_weights()])
    found = AttributionMap(silent, section_of(copies=2))(np.ones((2, SIDE, SIDE, 2), np.float32))
    np.testing.assert_array_equal(found, np.zeros((2, SIDE, SIDE, 1)))


def test_methods_are_those_of_the_recipe():
    from typing import get_args

    fields = AttributionSection.model_fields
    assert set(attribution.BASELINES) == set(get_args(fields["baseline"].annotation))
    assert set(get_args(fields["method"].annotation)) == {
        "gradient_input",
        "occlusion",
        "integrated_gradients",
        "grad_cam",
        "layer_cam",
    }
    assert EVIDENCE != LOGIT


@pytest.mark.parametrize("backbone", ["residual", "efficientnet_lite0"])
def test_saved_evidence_maps_give_the_scores_and_attributions_of_the_classifiers(backbone, tmp_path):
    keys = {"backbone": backbone, **(CLASSIFIER if backbone == "residual" else {"networks": 2})}
    section, side = section_of(classifier=keys, copies=2), SIDE if backbone == "residual" else 64
    classifiers = build_evidence_classifiers(section.classifier, side=side, channels=2)
    rng = np.random.default_rng(7)
    for classifier in classifiers_of(classifiers):
        layer = classifier.get_layer("evidence_map")
        layer.set_weights([rng.normal(size=value.shape) for value in layer.get_weights()])
    kept = evidence_maps(classifiers)
    # they are kept in half precision, so that is what they are compared with
    halves = [value.astype(np.float16).astype(np.float32) for value in classifiers.get_weights()]
    classifiers.set_weights(halves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept.save(tmp_path / "model.keras")
    loaded = load_network(tmp_path / "model.keras")
    assert is_evidence_maps(loaded) and not has_heads(loaded) and not is_classifier(loaded)
    with pytest.raises(NetworkError, match="holds classifiers, which have no heads; received 1"):
        prune(loaded, 1)

    slices = rng.normal(size=(2, side, side, 2)).astype(np.float32)
    again = with_scores(loaded, section.classifier.sharpness)
    for name, logit in classifiers(slices).items():
        np.testing.assert_allclose(again(slices)[name], logit, rtol=1e-4, atol=1e-4)
    for method in ("gradient_input", "grad_cam"):
        section = section_of(classifier=keys, copies=2, method=method)
        expected = AttributionMap(classifiers, section)(slices)
        found = AttributionMap(again, section)(slices)
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)
        assert expected.max() > 0.1

    both = AttributionResult(loaded, section, flip_views=True)
    found, mirrored = both(slices), both(slices[:, :, ::-1])
    scores = AttributionMap(again, section)
    expected = 0.5 * (scores.scores(slices) + scores.scores(slices[:, :, ::-1]))
    np.testing.assert_allclose(found.max(axis=(1, 2, 3)).ravel(), expected, rtol=1e-3)
    np.testing.assert_allclose(mirrored[:, :, ::-1], found, rtol=1e-2, atol=1e-3)

    before = float(np.ravel(again(slices)["classifier_1"])[0])
    result = AttributionResult(loaded, section)
    loaded.get_layer("classifier_1_evidence_map").bias.assign_add([2.0])  # weights are shared
    assert float(np.ravel(again(slices)["classifier_1"])[0]) == pytest.approx(before + 2.0, abs=1e-3)
    assert result.head_names == ["attribution"] and result.part == "attribution"
    with pytest.raises(NetworkError, match="no section attribution"):
        build_predictor(loaded, InferenceSection())
    with pytest.raises(NetworkError, match="expected the evidence maps of classifiers"):
        with_scores(keras.Model(loaded.input, {"head_1": loaded.output["evidence_1"]}), 4.0)


def test_large_slices_are_smoothed_in_a_graph_too(rng):
    """A convolution by a kernel longer than the slice ended the process there."""
    images = rng.normal(size=(1, 320, 320, 1)).astype(np.float32)
    smooth = lambda array: ndimage.gaussian_filter(array, 40.0, mode="constant", truncate=4.0)
    expected = smooth(images[0, ..., 0]) / smooth(np.ones((320, 320)))
    found = tf.function(attribution.surroundings)(tf.constant(images))
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=1e-4)
