"""Trained baselines: terms against NumPy, learning on toy discs, one replica against two."""

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
from clamnet_tf.recipe.classes import LesionClass
from clamnet_tf.recipe.objectives import OBJECTIVES as TABLE
from clamnet_tf.recipe.schema import LossSection, NetworkSection
from clamnet_tf.recipe.schema_loss import TwinSection
from clamnet_tf.training.objectives import MultipleInstance, NonNegative, ObjectiveTrainer
from clamnet_tf.training.siamese import SiameseTrainer

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from conftest import TINY, toy_batch, toy_slices  # noqa: E402

ALONE = (LesionClass("", 0.9, 0.07),)
CLASSES = (LesionClass("one", 1.0, 0.07), LesionClass("two", 1.0, 0.2))
OBJECTIVES = {
    "non_negative": NonNegative((0.1,), None),
    "generalised_mean": MultipleInstance("generalised_mean", 6.0, None),
    "log_sum_exp": MultipleInstance("log_sum_exp", 6.0, None),
}


def trainer(name, rate=1e-2):
    keras.utils.set_random_seed(5)
    result = ObjectiveTrainer(build_network(TINY, side=16, channels=2), OBJECTIVES[name])
    result.compile(optimizer=keras.optimizers.Adam(rate, global_clipnorm=1.0), jit_compile=False)
    return result


def built(section, classes=ALONE, **changes):
    network = build_network(TINY, side=16, channels=2)
    others = {"twin": TwinSection(kind="none"), "new_twin": None, "steps": 10, **changes}
    return TABLE[section.objective].build(network, section, classes=classes, **others)


def build_objective(section, classes):
    return built(section, classes).objective


def test_the_table_of_objectives_is_that_of_the_recipe():
    assert set(TABLE) == set(LossSection.model_json_schema()["properties"]["objective"]["enum"])
    assert [name for name, one in TABLE.items() if one.needs_pairs] == ["hybrid"]
    assert [name for name, one in TABLE.items() if one.classifies] == ["classification"]


def test_labels_of_objectives_in_words():
    words = {name: one.label(LossSection(objective=name), 0.07) for name, one in TABLE.items()}
    assert words == {
        "hybrid": None,
        "non_negative": "non-negative negative-unlabelled risk, prior 0.07",
        "multiple_instance": "multiple-instance learning (generalised mean of the pixels, sharpness 6)",
        "classification": "classification of slices",
    }


def test_the_hybrid_loss_is_built_with_a_twin_where_there_is_one():
    twin = build_network(TINY, side=16, channels=2)
    one = built(LossSection(), twin=TwinSection(kind="ema", momentum=0.5), new_twin=lambda: twin)
    assert (
        isinstance(one, SiameseTrainer)
        and one.twin is twin
        and (one.kind, one.momentum, one.steps) == ("ema", 0.5, 10)
    )
    assert built(LossSection(), twin=TwinSection(kind="shared"), new_twin=None).twin is None


def test_objectives_are_built_from_the_recipe():
    section = LossSection(objective="non_negative", head_weights=[1.0, 2.0])
    assert build_objective(section, CLASSES) == NonNegative((0.07, 0.2), [1.0, 2.0])
    assert build_objective(
        LossSection(objective="non_negative", non_negative={"prior": 0.3}), CLASSES
    ).priors == (0.3, 0.3)
    section = LossSection(
        objective="multiple_instance", multiple_instance={"pooling": "log_sum_exp", "sharpness": 5.0}
    )
    assert build_objective(section, CLASSES) == MultipleInstance("log_sum_exp", 5.0, None)


def test_heads_count_by_their_weights(toy):
    """Three levels, two heads: loss and risks against a loop over the slices in NumPy."""
    section = NetworkSection(depth=3, filters=[4, 6, 8], kernels=[3, 3, 3], norm="none")
    keras.utils.set_random_seed(1)
    network, batch = build_network(section, side=16, channels=2), toy_batch(toy)
    label, organ = batch["label"].numpy(), batch["organ_a"].numpy()
    maps = {
        head: tf.nn.softmax(z).numpy()[..., 1].astype(float)
        for head, z in logits_network(network)(batch["view_a"]).items()
    }
    means = {head: np.array([p[o > 0].mean() for p, o in zip(each, organ)]) for head, each in maps.items()}
    parts = {
        head: (
            each[label == 0].mean() / 2,
            (1 - each[label > 0].mean() - 0.9 * (1 - each[label == 0]).mean()) / 0.2,
        )
        for head, each in means.items()
    }
    terms = ObjectiveTrainer(network, NonNegative((0.1,), [1.0, 3.0])).loss_terms(batch, training=False)
    weighted = [0.25 * one + 0.75 * two for one, two in zip(parts["head_1"], parts["head_2"])]
    assert float(terms["background_risk"]) == pytest.approx(weighted[0], rel=1e-4)
    assert float(terms["marker_risk"]) == pytest.approx(weighted[1], abs=1e-4)
    assert float(terms["loss"]) == pytest.approx(
        sum(w * (b + max(0, m)) for w, (b, m) in zip((0.25, 0.75), parts.values())), rel=1e-4
    )
    terms = ObjectiveTrainer(network, MultipleInstance("log_sum_exp", 4.0, [0.0, 1.0])).loss_terms(
        batch, training=False
    )
    scores = np.array([np.log(np.mean(np.exp(4 * p[o > 0]))) / 4 for p, o in zip(maps["head_2"], organ)])
    assert float(terms["loss"]) == pytest.approx(
        -np.mean(np.where(label > 0, np.log(scores), np.log(1 - scores))), rel=1e-3
    )
    assert float(terms["score_abnormal"]) == pytest.approx(scores[label > 0].mean(), rel=1e-4)
    assert float(terms["area_normal"]) == pytest.approx(
        np.mean([(p[o > 0] > 0.5).mean() for p, o in zip(maps["head_2"], organ)], where=label == 0), abs=1e-6
    )


@pytest.mark.parametrize(
    "objective", [NonNegative((0.1, 0.3), None), MultipleInstance("log_sum_exp", 4.0, None)]
)
def test_several_classes_are_learned_as_each_against_all_else(toy, objective):
    """The terms are means over the classes, of each as if it were the only one."""
    keras.utils.set_random_seed(2)
    network, batch = (
        build_network(TINY.model_copy(update={"classes": 3}), side=16, channels=2),
        toy_batch(toy),
    )
    first = np.arange(len(batch["label"])) % 4 == 0
    shown = np.stack([first, ~first], axis=1) * (batch["label"].numpy() > 0)[:, None]
    maps = tf.nn.softmax(logits_network(network)(batch["view_a"])["head_1"])
    found = ObjectiveTrainer(network, objective).loss_terms(
        {**batch, "eta": tf.constant(shown, tf.float32)}, training=False
    )
    alone = []
    for index in range(2):
        own = (
            NonNegative((objective.priors[index],), None) if isinstance(objective, NonNegative) else objective
        )
        p = maps[..., index + 1 : index + 2]
        alone.append(
            own(
                {"head_1": tf.math.log(tf.concat([1 - p, p], axis=-1))},
                {**batch, "eta": tf.constant(shown[:, index : index + 1], tf.float32)},
            )
        )
    for name in ("loss", *objective.terms):
        assert float(found[name]) == pytest.approx(
            np.mean([float(one[name]) for one in alone]), rel=1e-4, abs=1e-6
        )


@pytest.fixture(scope="module")
def learned_from():
    """Slices and some batches of them, to be used over and over."""
    slices = toy_slices(np.random.default_rng(0), count=60)
    return slices, [toy_batch(slices, size=16, seed=seed) for seed in range(6)]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_it_learns_to_mark_the_discs_from_labels_alone(learned_from, name):
    slices, batches = learned_from
    rate, gap = (5e-3, 0.1) if name == "non_negative" else (1e-2, 0.3)  # its sigmoid loss learns slowly
    subject = trainer(name, rate=rate)
    subject.optimizer.build(subject.trainable_variables)
    step = tf.function(subject.train_step)
    for number in range(72):
        logs = step(batches[number % len(batches)])
    assert all(np.isfinite(float(value)) for value in logs.values())
    probability = subject.network(slices[0])["head_1"].numpy()[..., 1]
    inside = slices[3].astype(bool) & (slices[1] > 0)
    outside = (slices[1] > 0) & ~slices[3].astype(bool)
    assert probability[inside].mean() > probability[outside].mean() + gap


REPLICAS = """
    import json, sys
    sys.path.insert(0, {here!r})
    import numpy as np, tensorflow as tf
    count = int(sys.argv[1])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    import keras
    from conftest import toy_batch, toy_slices
    import test_objectives
    from clamnet_tf.training.strategy import build_strategy
    strategy = build_strategy("mirrored" if count > 1 else "one_device")
    slices = toy_slices(np.random.default_rng(0))
    with strategy.scope():
        subject = test_objectives.trainer(sys.argv[2], rate=1e-3)
        subject.optimizer.build(subject.trainable_variables)
    batches = [toy_batch(slices, size=8, seed=seed) for seed in range(6)]
    signature = {{k: tf.TensorSpec(v.shape, v.dtype) for k, v in batches[0].items()}}
    whole = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    whole = whole.apply(tf.data.experimental.assert_cardinality(len(batches)))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    fed = whole.with_options(options)
    fed = fed if count == 1 else strategy.experimental_distribute_dataset(fed)
    risks = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: risks.append(float(logs.get("marker_risk", 0)))
    )
    subject.fit(fed, epochs=1, steps_per_epoch=len(batches), verbose=0, callbacks=[watch])
    print(json.dumps([risks, [np.asarray(v).ravel().tolist() for v in subject.network.trainable_variables]]))
"""


@pytest.mark.parametrize("name", ["non_negative", pytest.param("log_sum_exp", marks=pytest.mark.slow)])
def test_two_replicas_give_the_same_steps_as_one(name):
    script = textwrap.dedent(REPLICAS).format(here=str(HERE))
    results = []
    for count in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", script, count, name], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        results.append(json.loads(done.stdout.splitlines()[-1]))
    print(results[0][0], results[1][0])
    for one, two in zip(results[0][1], results[1][1]):
        np.testing.assert_allclose(one, two, atol=1e-5)
