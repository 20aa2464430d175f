"""The step loop against Keras `fit` on the same train step, and parts of batches against whole ones."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from clamnet_tf.input_pipeline.augmentation import AugmentationConfig
from clamnet_tf.input_pipeline.pair_sampling import PairPlan
from clamnet_tf.input_pipeline.pipeline import Share, SliceStore, mask_dataset, pair_dataset
from clamnet_tf.training.updates import updates

sys.path.insert(0, str(Path(__file__).parent))
import test_siamese
from conftest import toy_slices

LAW = AugmentationConfig(noise=0.2, rotate_degrees=15.0, zoom=(0.9, 1.1), channel_loss=0.5, main_channel=1)


@pytest.fixture
def slices(rng):
    return toy_slices(rng)


def data_of(slices, kind="pairs", **options):
    images, organ, labels, masks = slices
    plan = PairPlan(
        labels,
        {name: np.zeros(len(labels)) for name in ("position", "area", "site")},
        batch_size=8,
        seed=0,
        matching={"on": "none"},
    )
    store = SliceStore(images, organ, labels, 0.7 * np.minimum(labels, 1)[:, None])
    if kind == "masks":
        return mask_dataset(store, masks, plan, LAW, start=1, steps=4, seed=3, **options)
    return pair_dataset(store, plan, LAW, start=1, steps=4, seed=3, twin=True, **options)


@pytest.mark.parametrize("kind", ["pairs", "masks"])
def test_the_parts_of_all_replicas_make_up_the_batch(slices, kind):
    whole = list(data_of(slices, kind))
    two_here = list(data_of(slices, kind, share=Share(2, 2, 4)))
    others = [list(data_of(slices, kind, share=Share(first, 1, 4))) for first in (0, 1)]
    assert (len(whole), len(two_here), len(others[0])) == (3, 6, 3)
    for step, batch in enumerate(whole):
        parts = [others[0][step], others[1][step], two_here[2 * step], two_here[2 * step + 1]]
        for name, value in batch.items():
            np.testing.assert_allclose(
                np.concatenate([part[name] for part in parts]), value, rtol=1e-4, atol=1e-6
            )  # the machine may fuse sums otherwise
    if kind == "pairs":  # abnormal and normal in turn, in every part
        assert all(
            (part["label"].numpy()[0::2] > 0).all() and (part["label"].numpy()[1::2] == 0).all()
            for part in two_here
        )


@pytest.mark.parametrize("kind", ["shared", "ema"])
def test_the_loop_is_the_fit_of_keras(slices, kind):
    by_fit, by_loop = test_siamese.trainer(kind), test_siamese.trainer(kind)
    for subject in (by_fit, by_loop):
        subject.optimizer.build(subject.trainable_variables)
    history = by_fit.fit(data_of(slices), epochs=1, steps_per_epoch=3, verbose=0, shuffle=False).history
    told = list(
        updates(by_loop, lambda share: data_of(slices, share=share), steps=3, asked_to_stop=lambda: False)
    )
    for one, two in zip(
        by_fit.variables + by_fit.optimizer.variables, by_loop.variables + by_loop.optimizer.variables
    ):
        if not any(one is variable for metric in by_fit.metrics for variable in metric.variables):
            np.testing.assert_allclose(np.asarray(one), np.asarray(two), atol=1e-6)
    sums = sum(sums.astype(float) for sums, _ in told)
    for index, name in enumerate(by_loop.terms):
        assert sums[0, index] / sums[1, index] == pytest.approx(history[name][0], rel=1e-4, abs=1e-6), name
    assert not any(stop for _, stop in told)


def test_a_request_ends_the_loop_after_the_running_step(slices):
    subject = test_siamese.trainer("none")
    subject.optimizer.build(subject.trainable_variables)
    done, asked = 0, []
    for _, stop in updates(
        subject, lambda share: data_of(slices, share=share), steps=3, asked_to_stop=lambda: bool(asked)
    ):
        done += 1
        if stop:
            break
        asked.append(done)
    assert done == 2 and int(subject.optimizer.iterations.numpy()) == 2 == int(
        tf.cast(subject.step_counter, tf.int32)
    )
