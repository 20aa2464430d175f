"""The residual classifiers: shapes, pooling against SciPy, the fast form, saving; their trainer: erasure,
replicas.
"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from scipy.special import logsumexp

from clamnet_tf.errors import NetworkError
from clamnet_tf.inference import attribution
from clamnet_tf.networks.evidence_classifier import (
    EVIDENCE,
    LOGIT,
    build_evidence_classifiers,
    classifiers_of,
    residual_block,
)
from clamnet_tf.networks.fast_form import fast_form
from clamnet_tf.recipe.schema_attribution import AttributionSection
from clamnet_tf.training import checkpoints
from clamnet_tf.training.classification import ClassifierTrainer

TRAINING = Path(__file__).resolve().parents[1] / "training"
SMALL = {"networks": 2, "filters": [4, 6], "blocks": [1, 2], "norm": "batch"}


def section_of(classifier=(), **changes):
    return AttributionSection(**{"classifier": SMALL | dict(classifier), **changes})


def network_of(seed=3, side=16, **changes):
    keras.utils.set_random_seed(seed)
    return build_evidence_classifiers(section_of(changes).classifier, side=side, channels=2)


@pytest.fixture
def images(rng):
    return tf.constant(rng.normal(0.5, 2.0, size=(6, 16, 16, 2)).astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "places"),
    [({}, 8), ({"stem_stride": 2}, 4), ({"filters": [4, 6, 8], "blocks": [1, 1, 1]}, 4)],
    ids=str,
)
def test_shapes(images, changes, places):
    network = network_of(**changes)
    assert list(network.output) == ["classifier_1", "classifier_2"] and network(images)[
        "classifier_2"
    ].shape == (6,)
    for classifier in classifiers_of(network):
        assert classifier(images)[EVIDENCE].shape == (6, places, places)
    one, other = (np.asarray(classifier(images)[LOGIT]) for classifier in classifiers_of(network))
    assert np.abs(one - other).max() > 1e-4  # of different initial weights


def test_a_side_that_cannot_be_halved_is_refused():
    with pytest.raises(NetworkError):
        network_of(side=18, filters=[4, 6, 8], blocks=[1, 1, 1])


@pytest.mark.parametrize("sharpness", [0.5, 4.0])
def test_the_score_is_the_log_mean_exp_of_the_evidence(images, sharpness):
    for classifier in classifiers_of(network_of(sharpness=sharpness)):
        found = {name: np.asarray(value, float) for name, value in classifier(images).items()}
        expected = logsumexp(sharpness * found[EVIDENCE], b=1 / 64, axis=(1, 2)) / sharpness
        np.testing.assert_allclose(found[LOGIT], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_the_fast_form_gives_the_stock_outputs_gradients_and_moving_statistics(images, norm):
    stock, other = (classifiers_of(network_of(norm=norm))[0] for _ in range(2))
    fast = fast_form(other)
    for _ in range(2):
        results = []
        for model, owner in ((stock, stock), (fast, other)):
            with tf.GradientTape() as tape:
                logit = model(images, training=True)[LOGIT]
                loss = tf.reduce_sum(tf.sin(logit))
            results.append((logit, tape.gradient(loss, owner.trainable_variables)))
        np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-3, atol=1e-4)
        for one, two in zip(results[0][1], results[1][1]):
            np.testing.assert_allclose(
                two, one, rtol=1e-2, atol=1e-3 * float(tf.reduce_max(tf.abs(one))) + 1e-5
            )
    for one, two in zip(stock.non_trainable_variables, other.non_trainable_variables):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        fast(images, training=False)[LOGIT], stock(images, training=False)[LOGIT], rtol=1e-3, atol=1e-4
    )
    moving = [np.abs(value).max() for value in (v.numpy() for v in other.non_trainable_variables)]
    assert (norm == "batch") == bool([value for value in moving if value > 0])


def test_a_shortcut_takes_every_other_pixel():
    """What a 1x1 convolution of stride 2 computes, without it: its gradient writes out of bounds on CPUs
    (TensorFlow 2.21).
    """
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, residual_block(inputs, 5, 2, "none", prefix="b"))
    assert not [
        layer
        for layer in model.layers
        if getattr(layer, "kernel_size", None) == (1, 1) and layer.strides != (1, 1)
    ]
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    for name in ("b_2_conv",):
        layer = model.get_layer(name)
        layer.set_weights([np.zeros_like(value) for value in layer.get_weights()])
    kernel, bias = model.get_layer("b_shortcut_conv").get_weights()
    np.testing.assert_allclose(
        model(x), np.maximum(x[:, ::2, ::2] @ kernel[0, 0] + bias, 0), rtol=1e-4, atol=1e-5
    )


def test_weights_are_saved_and_restored(images, tmp_path):
    network, other = network_of(seed=3), network_of(seed=4)
    for classifier in classifiers_of(network):
        classifier(images, training=True)  # moves the statistics
    checkpoints.save_weights(tmp_path / "weights.npz", network)
    checkpoints.load_weights(tmp_path / "weights.npz", other)
    for name, value in network(images).items():
        np.testing.assert_array_equal(other(images)[name], value)


def trainer_of(steps=10, seed=5, erasure=None, **changes):
    section = section_of(changes | {"erasure": erasure or {}})
    keras.utils.set_random_seed(seed)
    network = build_evidence_classifiers(section.classifier, side=16, channels=2)
    result = ClassifierTrainer(network, section, steps=steps)
    result.compile(
        optimizer=keras.optimizers.Adam(1e-2), jit_compile=False
    )  # clipping: build_optimizer shares it out
    return result


def batch_of(images, label):
    ones = tf.ones(images.shape[:3])
    return {
        "view_a": images,
        "view_b": images[:, :, ::-1],
        "organ_a": ones,
        "organ_b": ones,
        "label": tf.constant(label),
    }


def test_the_loss_is_the_cross_entropy_of_two_views_in_turn(images):
    subject = trainer_of(norm="none")
    batch = batch_of(images, [1, 0] * 3)
    found, logged = subject.minimised(batch)
    logits = [
        np.asarray(one(batch[view], training=True)[LOGIT], float)
        for one, view in zip(classifiers_of(subject.network), ("view_a", "view_b"))
    ]
    abnormal = np.array([1, 0] * 3)
    each = [np.log1p(np.exp(logit)) - abnormal * logit for logit in logits]
    assert float(found) == pytest.approx(np.mean(each), rel=1e-4)
    score = np.mean([1 / (1 + np.exp(-logit)) for logit in logits], axis=0)
    value, weight = logged["score_abnormal"]
    np.testing.assert_allclose(value, score, rtol=1e-4)
    np.testing.assert_array_equal(weight, abnormal)
    assert not np.asarray(logged["erased"][0]).any()


def test_erased_is_the_share_of_the_organ_with_the_highest_gradient_x_input(images):
    subject = trainer_of(erasure={"weight": 1.0, "share": 0.1})
    classifier = classifiers_of(subject.network)[0]
    organ = np.zeros((6, 16, 16), np.float32)
    organ[:, 2:14, 2:14] = 1
    x = images.numpy()
    gradient = attribution.gradient_of(lambda batch: classifier(batch, training=False)[LOGIT], images).numpy()
    found = np.maximum((gradient * (x - x.min(axis=(1, 2), keepdims=True))).sum(-1), 0)
    found = (
        ndimage.gaussian_filter(found.astype(float), (0, 16 / 24, 16 / 24), mode="constant", truncate=4)
        * organ
    )
    erased = subject.erased(classifier, images, tf.constant(organ)).numpy()
    around = attribution.surroundings(images).numpy()
    for number in range(6):
        highest = np.sort(found[number].ravel())[-14]  # a tenth of 144 places, rounded down
        hidden = (found[number] >= highest) & (found[number] > 0)
        assert hidden.sum() == 14
        soft = ndimage.gaussian_filter(hidden.astype(float), 1.0, mode="constant", truncate=4)[..., None]
        np.testing.assert_allclose(erased[number], x[number] * (1 - soft) + around[number] * soft, atol=2e-3)


def test_the_term_of_erasure_begins_at_its_start(images):
    subject, batch = (
        trainer_of(steps=4, erasure={"weight": 1.0, "share": 0.1, "start": 0.5}),
        batch_of(images, [1, 0] * 3),
    )
    seen = []
    for _ in range(4):
        seen.append(np.asarray(subject.minimised(batch)[1]["erased"][0]))
        subject.updated()
    assert not seen[0].any() and not seen[1].any()
    for value in seen[2:]:
        assert (value[[0, 2, 4]] > 0).all() and not value[
            [1, 3, 5]
        ].any()  # normal slices have nothing to erase


REPLICAS = """
    import json, sys
    sys.path[:0] = [{training!r}, {here!r}]
    import numpy as np, tensorflow as tf
    count = int(sys.argv[1])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    from conftest import toy_batch, toy_slices
    import test_evidence_classifier as tests
    from clamnet_tf.training.strategy import build_strategy
    strategy = build_strategy("mirrored" if count > 1 else "one_device")
    with strategy.scope():
        erasure = {{"weight": float(sys.argv[2]), "share": 0.1, "start": 0.3}}
        subject = tests.trainer_of(norm="none", erasure=erasure, steps=3)
        subject.optimizer.build(subject.trainable_variables)
    batches = [toy_batch(toy_slices(np.random.default_rng(0)), size=8, seed=seed) for seed in range(3)]
    signature = {{k: tf.TensorSpec(v.shape, v.dtype) for k, v in batches[0].items()}}
    whole = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    whole = whole.apply(tf.data.experimental.assert_cardinality(3))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    whole = whole.with_options(options)
    fed = whole if count == 1 else strategy.experimental_distribute_dataset(whole)
    subject.fit(fed, epochs=1, steps_per_epoch=3, verbose=0)
    print(json.dumps([np.asarray(v).ravel().tolist() for v in subject.network.trainable_variables]))
"""


@pytest.mark.parametrize("weight", ["0.0", "0.5"])
def test_two_replicas_give_the_same_steps_as_one(weight):
    script = textwrap.dedent(REPLICAS).format(here=str(Path(__file__).parent), training=str(TRAINING))
    weights = []
    for count in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", script, count, weight], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        weights.append(json.loads(done.stdout.splitlines()[-1]))
    for one, two in zip(*weights):
        np.testing.assert_allclose(one, two, atol=1e-5)
