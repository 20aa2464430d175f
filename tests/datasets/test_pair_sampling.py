"""The plan of pairs: classes, matching, coverage, and that it depends on seed and step alone."""

import collections
import tracemalloc

import numpy as np
import pytest

from clamnet_tf.errors import DataError
from clamnet_tf.input_pipeline.matching import matching_weights
from clamnet_tf.input_pipeline.pair_sampling import PairPlan, ShuffledPlan

MATCHING = {"on": "position", "tolerance": 0.05, "same_site": True}


@pytest.fixture
def slices(rng):
    count = 300
    labels = (rng.random(count) < 0.4).astype(int)
    position = np.where(labels, rng.uniform(0.3, 0.8, count), rng.uniform(0, 1, count))
    return labels, {"position": position, "area": rng.random(count), "site": rng.choice(["a", "b"], count)}


def plan(slices, **changes):
    options = {"batch_size": 8, "seed": 3, "matching": MATCHING} | changes
    return PairPlan(slices[0], slices[1], **options)


def test_rows_alternate_abnormal_and_normal(slices):
    for step in range(20):
        labels = slices[0][plan(slices).rows(step)]
        assert labels.tolist() == [1, 0] * 4


def test_a_step_is_the_same_whenever_it_is_asked_for(slices):
    first, second = plan(slices), plan(slices)
    forwards = [first.rows(step).tolist() for step in range(30)]
    backwards = [second.rows(step).tolist() for step in reversed(range(30))][::-1]
    assert forwards == backwards
    assert forwards != [plan(slices, seed=4).rows(step).tolist() for step in range(30)]


def test_partners_are_drawn_from_the_weights_of_all_pairs(slices):
    labels, columns = slices
    sides = [{name: values[labels == label] for name, values in columns.items()} for label in (1, 0)]
    table = np.cumsum(matching_weights(*sides, **MATCHING), axis=1)
    planned, normal = plan(slices), np.flatnonzero(labels == 0)
    place = {row: index for index, row in enumerate(np.flatnonzero(labels))}
    for step in range(60):
        uniform = np.random.default_rng([3, 2, step]).random(4)
        for (abnormal, partner), drawn in zip(planned.rows(step).reshape(-1, 2), uniform):
            assert partner == normal[np.searchsorted(table[place[abnormal]], drawn)]


def test_memory_grows_with_the_slices_and_not_with_their_pairs():
    count = 100_000  # a table of all pairs would take 1.6 GB
    labels = np.arange(count) % 50 == 0
    columns = {"position": np.linspace(0, 1, count), "area": np.ones(count), "site": np.full(count, "a")}
    tracemalloc.start()
    planned = plan((labels, columns))
    planned.rows(0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 100e6


def test_every_abnormal_slice_comes_once_per_epoch(slices):
    abnormal = int(slices[0].sum())
    steps = abnormal // 4 * 4 // 4
    seen = collections.Counter(
        np.concatenate([plan(slices).rows(step)[0::2] for step in range(steps)]).tolist()
    )
    assert max(seen.values()) == 1 and len(seen) == steps * 4


def test_matched_normals_are_near_in_height_and_of_the_same_site(slices):
    matched = np.concatenate([plan(slices).rows(step) for step in range(100)]).reshape(-1, 2)
    free = np.concatenate(
        [
            plan(slices, matching=MATCHING | {"on": "none", "same_site": False}).rows(step)
            for step in range(100)
        ]
    ).reshape(-1, 2)
    position, site = slices[1]["position"], slices[1]["site"]
    distance = [np.abs(position[rows[:, 0]] - position[rows[:, 1]]).mean() for rows in (matched, free)]
    assert distance[0] < 0.06 < 0.2 < distance[1]
    assert (
        (site[matched[:, 0]] == site[matched[:, 1]]).mean()
        > 0.85
        > 0.65
        > (site[free[:, 0]] == site[free[:, 1]]).mean()
    )


def test_weights_equal_the_formula():
    abnormal = {"position": [0.5], "area": [0.2], "site": ["a"]}
    normal = {"position": [0.5, 0.6, 0.5], "area": [0.2, 0.2, 0.2], "site": ["a", "a", "b"]}
    raw = np.array([1.0, np.exp(-0.5), 0.1])
    np.testing.assert_allclose(matching_weights(abnormal, normal, "position", 0.1, True), [raw / raw.sum()])


def test_no_near_neighbour_draws_the_nearest():
    weights = matching_weights(
        {"position": [0.0], "site": ["a"]},
        {"position": [0.9, 1.0], "site": ["a", "a"]},
        "position",
        0.001,
        False,
    )
    np.testing.assert_allclose(weights, [[1.0, 0.0]], atol=1e-12)


def test_one_class_alone_is_an_error():
    with pytest.raises(DataError, match=r"received 0 abnormal and 5 normal.*minimum_organ_fraction"):
        PairPlan(
            np.zeros(5, int),
            {"position": np.zeros(5), "area": np.zeros(5), "site": ["a"] * 5},
            batch_size=4,
            seed=0,
            matching=MATCHING,
        )


def test_shuffled_plan_covers_every_row_each_epoch():
    shuffled = ShuffledPlan(10, batch_size=4, seed=1)
    rows = np.concatenate([shuffled.rows(step) for step in range(5)])
    assert sorted(rows[:10].tolist()) == sorted(rows[10:].tolist()) == list(range(10))
    with pytest.raises(DataError, match="none"):
        ShuffledPlan(0, batch_size=4, seed=1)
