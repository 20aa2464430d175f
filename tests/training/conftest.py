"""A tiny learnable data set: bright discs on noisy heads, labels per image."""

import numpy as np
import pytest

from clamnet_tf.recipe.schema import NetworkSection

LOSS = {
    "k": 1,
    "head_weights": None,
    "agreement_weight": 0.5,
    "agreement_distance": "squared",
    "agreement_ramp": 0.25,
    "contrast_weight": 0.5,
    "contrast_margin": 0.7,
    "pooling_power": 6.0,
}
TEACHERS = """\
name: teachers
title: Teachers
recipe: {recipe}
seeds: [{seeds}]
reference: attribution
groups:
  - kind: main
    title: All of them
    arms:"""
"""A study whose arms, which follow, have different teachers."""
TINY = NetworkSection(depth=2, filters=[4, 6], kernels=[3, 3], norm="none")


def toy_slices(rng, count=40, side=16):
    """images (N, side, side, 2), organ (N, side, side), labels (N,), masks (N, side, side)."""
    rows, columns = np.mgrid[:side, :side]
    images = rng.normal(0, 0.3, (count, side, side, 2)).astype(np.float32)
    organ = (
        np.broadcast_to(
            (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (0.45 * side) ** 2, (count, side, side)
        )
        .astype(np.uint8)
        .copy()
    )
    labels = np.arange(count) % 2
    masks = np.zeros((count, side, side), np.uint8)
    for index in np.flatnonzero(labels):
        y, x = rng.uniform(0.35 * side, 0.65 * side, 2)
        masks[index] = (rows - y) ** 2 + (columns - x) ** 2 < (0.15 * side) ** 2
        images[index, ..., 1] += 2.0 * masks[index]
    return images, organ, labels, masks


@pytest.fixture
def toy(rng):
    return toy_slices(rng)


def toy_batch(slices, size=8, seed=0):
    """One batch of the pair pipeline, as a dict of arrays."""
    from clamnet_tf.input_pipeline.augmentation import AugmentationConfig
    from clamnet_tf.input_pipeline.pair_sampling import PairPlan
    from clamnet_tf.input_pipeline.pipeline import SliceStore, pair_dataset

    images, organ, labels, _ = slices
    store = SliceStore(images, organ, labels, 0.7 * np.minimum(labels, 1)[:, None])
    columns = {
        "position": np.zeros(len(labels)),
        "area": np.zeros(len(labels)),
        "site": np.full(len(labels), "a"),
    }
    plan = PairPlan(labels, columns, batch_size=size, seed=seed, matching={"on": "none"})
    return next(iter(pair_dataset(store, plan, AugmentationConfig(), start=0, steps=1, seed=seed, twin=True)))
