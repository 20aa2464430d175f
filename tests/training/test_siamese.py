"""The train step: terms against NumPy, twins, gradients, and one replica against two."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from clamnet_tf.networks.build import build_network, logits_network
from clamnet_tf.training.siamese import SiameseTrainer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from conftest import LOSS, TINY, toy_batch, toy_slices  # noqa: E402


def trainer(kind="shared", steps=10, **changes):
    keras.utils.set_random_seed(5)
    network = build_network(TINY, side=16, channels=2)
    twin = build_network(TINY, side=16, channels=2, name="twin") if kind in ("separate", "ema") else None
    result = SiameseTrainer(network, twin=twin, kind=kind, loss=LOSS | changes, steps=steps, momentum=0.9)
    result.compile(optimizer=keras.optimizers.Adam(1e-2, global_clipnorm=1.0), jit_compile=False)
    return result


def test_hybrid_term_weighs_abnormal_by_eta_and_stays_inside_the_organ(toy):
    batch = toy_batch(toy)
    subject = trainer("none")
    terms = subject.loss_terms(batch, training=False)
    log_p = (
        tf.nn.log_softmax(logits_network(subject.network)(batch["view_a"])["head_1"]).numpy().astype(float)
    )
    label, organ = batch["label"].numpy(), batch["organ_a"].numpy()
    for index in range(len(label)):
        chosen = log_p[index][..., label[index]][organ[index] > 0]
        p = np.exp(chosen)
        raw = -(chosen + p / (1 + p**2 + 1e-6)).mean()
        assert terms["raw"].numpy()[index] == pytest.approx(raw, rel=1e-4)
        assert terms["hybrid"].numpy()[index] == pytest.approx(raw * (0.7 if label[index] else 1.0), rel=1e-4)


def test_agreement_is_small_for_a_constant_network_and_large_for_noise(toy):
    batch = toy_batch(toy)
    subject = trainer("shared")
    for variable in subject.network.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    constant = subject.loss_terms(batch, training=False)["agreement"].numpy()
    keras.utils.set_random_seed(1)
    for variable in subject.network.trainable_variables:
        variable.assign(tf.random.normal(variable.shape))
    noisy = subject.loss_terms(batch, training=False)["agreement"].numpy()
    assert constant.max() < 1e-3 < noisy.mean()


def test_contrast_is_shared_by_the_two_slices_of_a_pair(toy):
    contrast = trainer("shared").loss_terms(toy_batch(toy), training=False)["contrast"].numpy()
    np.testing.assert_array_equal(contrast[0::2], contrast[1::2])
    assert (contrast > 0).all()


@pytest.mark.parametrize("kind", ["none", "shared", "separate", "ema"])
def test_a_step_changes_what_it_should(toy, kind):
    subject, batch = trainer(kind), toy_batch(toy)
    before = [variable.numpy() for variable in subject.network.trainable_variables]
    twin_before = (
        [variable.numpy() for variable in subject.twin.variables] if subject.twin is not None else []
    )
    logs = subject.train_step(batch)
    assert all(np.isfinite(float(value)) for value in logs.values())
    moved = [
        np.abs(variable.numpy() - old).max()
        for variable, old in zip(subject.network.trainable_variables, before)
    ]
    assert min(moved[:-1]) >= 0 and max(moved) > 1e-3
    if kind == "separate":
        assert (
            max(
                np.abs(variable.numpy() - old).max()
                for variable, old in zip(subject.twin.variables, twin_before)
            )
            > 1e-3
        )
    if kind == "ema":
        for teacher, student, old in zip(subject.twin.variables, subject.network.variables, twin_before):
            np.testing.assert_allclose(teacher.numpy(), 0.9 * old + 0.1 * student.numpy(), atol=1e-6)
    assert int(subject.step_counter.numpy()) == 1


@pytest.mark.parametrize("distance", ["squared", pytest.param("hybrid", marks=pytest.mark.slow)])
def test_it_learns_to_mark_the_discs_from_labels_alone(rng, distance):
    slices = toy_slices(rng, count=60)
    subject = trainer("shared", steps=60, agreement_distance=distance)
    step = tf.function(subject.train_step)
    subject.optimizer.build(subject.trainable_variables)
    for number in range(60):
        step(toy_batch(slices, size=16, seed=number))
    probability = subject.network(slices[0])["head_1"].numpy()[..., 1]
    inside = slices[3].astype(bool) & (slices[1] > 0)
    outside = (slices[1] > 0) & ~slices[3].astype(bool)
    assert probability[inside].mean() > probability[outside].mean() + 0.3


REPLICAS = """
    import json, sys
    sys.path.insert(0, {here!r})
    import numpy as np, tensorflow as tf
    count = int(sys.argv[1])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    import keras
    from conftest import toy_batch, toy_slices
    import test_siamese
    from clamnet_tf.training.strategy import build_strategy
    kind = sys.argv[2]
    strategy = build_strategy("mirrored" if count > 1 else "one_device")
    slices = toy_slices(np.random.default_rng(0))
    with strategy.scope():
        subject = test_siamese.trainer(kind)
        subject.optimizer.build(subject.trainable_variables)
    batches = [toy_batch(slices, size=8, seed=seed) for seed in range(3)]
    signature = {{k: tf.TensorSpec(v.shape, v.dtype) for k, v in batches[0].items()}}
    whole = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    whole = whole.apply(tf.data.experimental.assert_cardinality(3))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    fed = whole.with_options(options)
    fed = fed if count == 1 else strategy.experimental_distribute_dataset(fed)
    subject.fit(fed, epochs=1, steps_per_epoch=3, verbose=0)
    print(json.dumps([np.asarray(v).ravel().tolist() for v in subject.network.trainable_variables]))
"""


@pytest.mark.parametrize("kind", ["shared", pytest.param("ema", marks=pytest.mark.slow)])
def test_two_replicas_give_the_same_steps_as_one(kind):
    script = textwrap.dedent(REPLICAS).format(here=str(HERE))
    weights = []
    for count in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", script, count, kind], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        weights.append(json.loads(done.stdout.splitlines()[-1]))
    for one, two in zip(*weights):
        np.testing.assert_allclose(one, two, atol=1e-5)
