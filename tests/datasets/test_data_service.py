"""Batches of a tf.data service of real processes: the same as made here, in the same order, also when a
worker is killed.
"""

import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.input_pipeline.augmentation import AugmentationConfig, draw_view, warp_between
from clamnet_tf.input_pipeline.data_service import DataService, made_here
from clamnet_tf.input_pipeline.file_rows import file_rows
from clamnet_tf.input_pipeline.pair_sampling import PairPlan
from clamnet_tf.input_pipeline.pipeline import RowView, Share, SliceStore, mask_dataset, pair_dataset
from clamnet_tf.preprocessing.npy_files import ShardedArray

LAW = AugmentationConfig(noise=0.2, rotate_degrees=15.0, zoom=(0.9, 1.1), channel_loss=0.5, main_channel=1)
ROWS = np.array([9, 3, 4, 5, 17, 30, 2, 1, 0, 11])


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Dispatcher and two workers; (address, pids of the workers)."""
    with subprocess.Popen(
        [sys.executable, "-m", "clamnet_tf", "data-service", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as running:
        address = running.stdout.readline().split(": ")[1].strip()
        pids = [int(pid) for pid in running.stdout.readline().split(": ")[1].split()]
        yield DataService(address, tmp_path_factory.mktemp("shared")), pids
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Ten rows of 31 in files, as the cache has them; the organ's array in memory."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("prepared") / "images.npy"
    np.save(path, rng.normal(size=(31, 12, 12, 2)).astype(np.float16))
    images = np.load(path, mmap_mode="r")
    labels = np.array([0, 1, 0, 2, 0, 1, 0, 1, 0, 1])
    etas = np.linspace(0.1, 1, 10, dtype=np.float32)
    organ = (rng.random((31, 12, 12)) > 0.3).astype(np.uint8)
    return SliceStore(RowView(images, ROWS), RowView(organ, ROWS), labels, np.stack([etas, 1 - etas], axis=1))


def pairs(store, steps=12, **options):
    plan = PairPlan(
        store.labels,
        {name: np.zeros(10) for name in ("position", "area", "site")},
        batch_size=8,
        seed=0,
        matching={"on": "none"},
    )
    return pair_dataset(store, plan, LAW, start=2, steps=steps, seed=3, twin=True, **options), plan


def assert_same(one, other):
    one, other = list(one), list(other)
    assert len(one) == len(other) > 0
    for first, second in zip(one, other):
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("shape", [(7, 12, 12, 2), (5, 3, 5), (4, 1), (6, 64, 64, 1)], ids=str)
@pytest.mark.parametrize("kind", [np.float16, np.uint8, np.float32])
def test_rows_of_a_file_are_those_of_the_array(tmp_path, shape, kind, rng, monkeypatch):
    monkeypatch.setattr("clamnet_tf.input_pipeline.file_rows._BLOCK", 3)
    array = (100 * rng.random(shape)).astype(kind)
    np.save(tmp_path / "a.npy", array)
    wanted = np.array([3, 0, 3, 2])
    np.save(tmp_path / "b.npy", array[:2])
    mapped, sharded = (
        np.load(tmp_path / "a.npy", mmap_mode="r"),
        ShardedArray([tmp_path / "a.npy", tmp_path / "b.npy"], [shape[0], 2]),
    )
    for source, into in (
        (mapped, "none"),
        (array, "written"),
        (mapped[1:], "written"),
        (RowView(mapped, np.arange(shape[0])[::-1]), "none"),
        (RowView(sharded, np.arange(shape[0] + 2)[::-1]), "written"),
    ):
        found = file_rows(source, tmp_path / into)
        if len(source) > 3:
            got = found.gather(tf.constant(found.numbers(wanted)))
            assert got.dtype == kind and (got.numpy() == np.asarray(source)[wanted]).all()
    assert not (tmp_path / "none").exists() and len(list((tmp_path / "written").iterdir())) == 3


def test_the_same_batches_in_the_same_order(service, store):
    assert_same(pairs(store, service=service[0])[0], pairs(store)[0])
    share = Share(1, 2, 4)
    assert_same(pairs(store, share=share, service=service[0])[0], pairs(store, share=share)[0])
    masks, plan = np.arange(10 * 144).reshape(10, 12, 12).astype(np.uint8) % 3, pairs(store)[1]
    assert_same(
        *(
            mask_dataset(store, masks, plan, LAW, start=0, steps=5, seed=1, service=one)
            for one in (service[0], None)
        )
    )


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(service, store):
    served, expected = pairs(store, steps=150, service=service[0])[0], list(pairs(store, steps=150)[0])
    got = []
    for number, batch in enumerate(served):
        got.append(batch)
        if number == 10:
            os.kill(service[1][0], signal.SIGKILL)
    assert_same(got, expected)


def test_what_was_lost_is_made_here_to_the_last_bit(tmp_path):
    """The steps of a view in any order; a tf.function differs in some of them."""
    images = tf.constant(np.random.default_rng(0).normal(size=(8, 12, 12, 2)).astype(np.float32))

    def make(number):
        view, organ, matrix = draw_view(
            images, tf.ones([8, 12, 12]), tf.stack([3, tf.cast(number, tf.int32)]), LAW
        )
        return {"view": view, "organ": organ, "warp": warp_between(matrix, matrix[::-1])}

    expected, found = list(tf.data.Dataset.range(40).map(make)), made_here(make)
    for number in (7, 3, 39, *range(40)):
        for name, value in found(number).items():
            np.testing.assert_array_equal(value, expected[number][name])


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them():
    with subprocess.Popen(
        [sys.executable, "-m", "clamnet_tf", "data-service", "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as running:
        running.stdout.readline()
        pids = [int(pid) for pid in running.stdout.readline().split(": ")[1].split()]
        running.kill()
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_nobody_there(store, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(
        EnvironmentFailure,
        match=rf"runtime.data_service: nothing answers at grpc://127.0.0.1:{port} .*clamnet-tf data-service",
    ):
        pairs(store, service=DataService(f"grpc://127.0.0.1:{port}", tmp_path))
