"""Mixed supervision: the loss of a batch against NumPy, ignored pixels, plans, one replica against two."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from clamnet_tf.input_pipeline.augmentation import AugmentationConfig
from clamnet_tf.input_pipeline.pair_sampling import MixedPlan, PairPlan, ShuffledPlan, SubsetPlan
from clamnet_tf.input_pipeline.pipeline import (
    WHOLE,
    KnownMasks,
    Share,
    SliceStore,
    mask_dataset,
    pair_dataset,
)
from clamnet_tf.networks.build import build_network, logits_network
from clamnet_tf.recipe.schema_loss import MixedSection, SoftDiceSection
from clamnet_tf.training.mixed import MixedTrainer
from clamnet_tf.training.supervised import SupervisedTrainer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from conftest import LOSS, TINY, toy_slices  # noqa: E402

WEIGHTS = MixedSection(mask_weight=2.0, label_weight=0.5)
PLAIN = AugmentationConfig()
DICE = SoftDiceSection(smoothing=3.0)


def trainer(kind="shared", **changes):
    keras.utils.set_random_seed(5)
    network = build_network(TINY, side=16, channels=2)
    twin = build_network(TINY, side=16, channels=2, name="twin") if kind in ("separate", "ema") else None
    options = {"twin": twin, "kind": kind, "loss": LOSS | changes, "steps": 10, "momentum": 0.9}
    result = MixedTrainer(network, mixed=WEIGHTS, dice=DICE, **options)
    result.compile(optimizer=keras.optimizers.Adam(1e-2, global_clipnorm=1.0), jit_compile=False)
    return result


def mixed_data(slices, *, twin=True, steps=1, ignored=True, share=WHOLE, law=PLAIN):
    """Batches of 8 in which pairs 1 and 3 have masks; rows 0 to 9 of the toy slices do."""
    images, organ, labels, masks = slices
    masks = masks.copy()
    if ignored:
        masks[:, 6:9, 6:12] = 255
    store = SliceStore(images, organ, labels, 0.7 * np.minimum(labels, 1)[:, None])
    known = np.arange(len(labels)) < 10
    rows, others = np.flatnonzero(known), np.flatnonzero(~known)

    def paired(part):
        columns = {name: np.zeros(len(part)) for name in ("position", "area", "site")}
        plan = PairPlan(labels[part], columns, batch_size=4, seed=0, matching={"on": "none"})
        return SubsetPlan(plan, part)

    plan = MixedPlan(paired(rows), paired(others), pairs=4, masked_pairs=2)
    values = np.where(known[:, None, None], masks, 7).astype(np.uint8)  # 7 must never matter
    options = {"start": 0, "steps": steps, "seed": 0, "share": share}
    return pair_dataset(
        store, plan, law, twin=twin, known=KnownMasks(values, known.astype(np.float32)), **options
    )


def by_hand(log_p, mask, organ):
    """Hybrid loss and soft Dice of one slice in NumPy, from (H, W, 2) log-probabilities."""
    inside = (organ > 0) & (mask != 255)
    p, truth = np.exp(log_p[..., 1].astype(float)), (mask == 1).astype(float)
    chosen = np.where(truth > 0, p, 1 - p)
    hybrid = -(np.log(chosen) + chosen / (1 + chosen**2 + 1e-6))[inside].mean()
    overlap, sizes = (p * truth)[inside].sum(), (p + truth)[inside].sum()
    return hybrid, 1 - (2 * overlap + DICE.smoothing) / (sizes + DICE.smoothing)


def test_a_mixed_batch_is_minimised_as_computed_by_hand(rng):
    batch = {name: value.numpy() for name, value in next(iter(mixed_data(toy_slices(rng)))).items()}
    assert batch["masked"].tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert 7 in batch["mask_a"][0] and not (batch["mask_a"][2:4] == 7).any()
    subject = trainer("shared")
    loss, logged = subject.minimised(batch)
    terms = subject.loss_terms(batch, training=False)
    views = [
        tf.nn.log_softmax(logits_network(subject.network)(batch[f"view_{letter}"])["head_1"]).numpy()
        for letter in "ab"
    ]
    expected, of_masks = [], []
    for index in range(8):
        if batch["masked"][index]:
            found = [
                by_hand(views[side][index], batch[f"mask_{letter}"][index], batch[f"organ_{letter}"][index])
                for side, letter in enumerate("ab")
            ]
            of_masks.append(np.mean(found, axis=0))
            expected.append(2.0 * of_masks[-1].sum())
        else:  # the ramp of the agreement is 0 at step 0
            expected.append(0.5 * (terms["hybrid"][index] + 0.5 * terms["contrast"][index]).numpy())
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-4)
    for column, name in enumerate(("mask_hybrid", "mask_soft_dice")):
        value, weight = (np.asarray(part) for part in logged[name])
        assert (value * weight).sum() / 4 == pytest.approx(np.mean(of_masks, axis=0)[column], rel=1e-4)
    weight = np.asarray(logged["hybrid_abnormal"][1])
    assert weight.tolist() == [1, 0, 0, 0, 1, 0, 0, 0]


def test_slices_without_a_mask_learn_as_they_do_without_mixing(rng):
    """Their gradient is half of what SiameseTrainer gives, and that of the others has no part in it."""
    from test_siamese import trainer as siamese

    batch = next(iter(mixed_data(toy_slices(rng))))
    alone = {name: tf.gather(value, [0, 1, 4, 5]) for name, value in batch.items()}
    gradients = []
    for subject in (trainer("shared"), siamese("shared")):
        with tf.GradientTape() as tape:
            loss, _ = subject.minimised(alone)
        gradients.append(tape.gradient(loss, subject.network.trainable_variables))
    for mixed, usual in zip(*gradients):
        np.testing.assert_allclose(mixed, 0.5 * usual.numpy(), atol=1e-6)


def test_ignored_pixels_have_no_gradient(rng):
    from clamnet_tf.losses.of_masks import mask_terms

    logits = tf.Variable(rng.normal(size=(1, 8, 8, 2)).astype(np.float32))
    mask, organ = np.zeros((1, 8, 8), np.int32), np.ones((1, 8, 8), np.float32)
    mask[0, 2:4, 2:4], mask[0, 5:7, 1:6], organ[0, :, 7] = 1, 255, 0
    with tf.GradientTape() as tape:
        hybrid, dice = mask_terms(tf.nn.log_softmax(logits), mask, organ, 1, SoftDiceSection())
        loss = tf.reduce_sum(hybrid + dice)
    gradient = np.abs(tape.gradient(loss, logits).numpy()[0]).max(axis=-1)
    silent = (mask[0] == 255) | (organ[0] == 0)
    assert (gradient[silent] == 0).all() and (gradient[~silent] > 0).all()


def test_students_weigh_true_masks_and_marks_of_a_teacher(rng):
    images, organ, labels, masks = toy_slices(rng)
    store = SliceStore(images, organ, labels, np.zeros((len(labels), 1)))
    plan, masked = ShuffledPlan(len(labels), batch_size=8, seed=1), np.arange(len(labels)) % 4 == 1
    data = mask_dataset(store, masks, plan, AugmentationConfig(), start=0, steps=1, seed=0, masked=masked)
    batch = next(iter(data))
    np.testing.assert_array_equal(batch["masked"], masked[plan.rows(0)])
    keras.utils.set_random_seed(5)
    subject = SupervisedTrainer(build_network(TINY, side=16, channels=2), dice=DICE, mixed=WEIGHTS)
    loss, logged = subject.minimised(batch)
    each = logged["hybrid"][0].numpy() + logged["soft_dice"][0].numpy()
    assert float(loss) == pytest.approx(np.mean(each * np.where(batch["masked"] > 0, 2.0, 0.5)), rel=1e-5)


@pytest.mark.parametrize("kind", ["none", "separate", "ema"])
def test_a_step_of_every_twin_is_finite(rng, kind):
    subject = trainer(kind)
    batch = next(iter(mixed_data(toy_slices(rng), twin=kind != "none")))
    logs = subject.train_step(batch)
    assert all(np.isfinite(float(value)) for value in logs.values()) and float(logs["mask_soft_dice"]) > 0


def test_masked_pairs_are_spread_over_the_batch():
    one, two = (SubsetPlan(ShuffledPlan(1, batch_size=n, seed=0), [n]) for n in (4, 12))
    rows = MixedPlan(one, two, pairs=8, masked_pairs=2).rows(3)
    assert rows.reshape(-1, 2)[:, 0].tolist() == [12, 12, 12, 4, 12, 12, 12, 4]


def test_parts_of_replicas_make_up_a_mixed_batch(rng):
    slices, law = toy_slices(rng), AugmentationConfig(rotate_degrees=15.0, noise=0.1)
    [whole] = mixed_data(slices, law=law)
    parts = [next(iter(mixed_data(slices, law=law, share=Share(first, 1, 2)))) for first in (0, 1)]
    for name, value in whole.items():
        np.testing.assert_allclose(
            np.concatenate([part[name] for part in parts]), value, rtol=1e-4, atol=1e-6
        )


def test_parts_of_a_batch_have_the_mean_loss_and_gradient_of_the_whole(rng):
    """So it does not matter which replica has which kind of slices."""
    subject, [whole] = trainer("shared"), mixed_data(toy_slices(rng))
    found = []
    for rows in (range(8), range(2), range(2, 8)):  # without masks alone, and both kinds
        with tf.GradientTape() as tape:
            loss, _ = subject.minimised({name: tf.gather(value, rows) for name, value in whole.items()})
        gradients = tape.gradient(loss, subject.network.trainable_variables)
        found.append([len(rows) / 8 * value.numpy() for value in (loss, *gradients)])
    for all_rows, first, others in zip(*found):
        np.testing.assert_allclose(first + others, all_rows, atol=1e-6)


REPLICAS = """
import json, sys
sys.path.insert(0, {here!r})
import numpy as np, tensorflow as tf
count = int(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
import test_mixed
from conftest import toy_slices
from clamnet_tf.recipe.schema import OptimizerSection
from clamnet_tf.training.optimizers import build_optimizer
from clamnet_tf.training.strategy import build_strategy
from clamnet_tf.training.updates import updates
slices = toy_slices(np.random.default_rng(0))
with build_strategy("mirrored" if count > 1 else "one_device").scope():
    subject = test_mixed.trainer("shared")
    section = OptimizerSection(name="sgd", learning_rate=1e-2, clip_norm=0.2)  # below most gradients
    subject.compile(optimizer=build_optimizer(section, steps=3, replicas=count), jit_compile=False)
    subject.optimizer.build(subject.trainable_variables)
data = lambda share: test_mixed.mixed_data(slices, steps=3, share=share)
sums = [row.tolist() for row, _ in updates(subject, data, steps=3, asked_to_stop=lambda: False)]
print(json.dumps([[np.asarray(v).ravel().tolist() for v in subject.network.trainable_variables], sums]))
"""


@pytest.mark.slow
def test_two_replicas_make_the_same_mixed_steps_as_one():
    results = []
    for count in ("1", "2"):
        command = [sys.executable, "-c", REPLICAS.format(here=str(HERE)), count]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        results.append(json.loads(done.stdout.splitlines()[-1]))
    (weights, sums), (weights_of_two, sums_of_two) = results
    for one, two in zip(weights, weights_of_two):
        np.testing.assert_allclose(one, two, atol=1e-5)
    means = [np.sum(part, axis=0) for part in (sums, sums_of_two)]
    np.testing.assert_allclose(*(part[0] / part[1] for part in means), rtol=1e-3)
