"""Preparation in shards: which volume goes where, one view of all, killed and resumed, shared by
processes.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing import npy_files, shards
from clamnet_tf.preprocessing.archive import check_archive, on_two_sides
from clamnet_tf.preprocessing.cache import prepare, prepare_shards
from clamnet_tf.preprocessing.npy_files import ShardedArray, open_rows
from clamnet_tf.preprocessing.shards import shards_of
from clamnet_tf.recipe.schema_data import DataSection, OrganSection

SECTIONS = {"data": DataSection(side=32), "organ": OrganSection()}
NAMES = tuple(f"TCGA_CS_{number:04d}_19990101" for number in range(6))
COLUMNS = (
    "image",
    "case",
    "volume",
    "slice_index",
    "position",
    "area",
    "box",
    "spacing",
    "pixel_hash",
    "label",
    "patient",
)
COMMAND = """
import os, pathlib, sys, time
from clamnet_tf.preprocessing import archive, dataset, prepared_volume, shard_folder, shards
shards.SLICES = 6
def slowly(*arguments):
    time.sleep({delay})
    return prepared_volume.prepare_volume(*arguments)
shard_folder.prepare_volume = slowly
from clamnet_tf.cli.main import main
meeting = pathlib.Path({meeting!r})
(meeting / str(os.getpid())).touch()
while len(list(meeting.iterdir())) < {processes}:
    time.sleep(0.01)
main(["data", "prepare", "mri_carcinoma", "--data", {folder!r}, "--cache", {cache!r},
      "--set", "data.side=32", "--set", "organ.method=foreground",
      "--set", "network.depth=3", "--set", "network.filters=[4,8,16]", "--set", "network.kernels=[3,3,3]"])
"""


@pytest.fixture
def manifest(make_kaggle):
    """6 patients of 5 slices."""
    return recognize(make_kaggle(patients=NAMES, slices=5))


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of two volumes of 5 slices."""
    monkeypatch.setattr(shards, "SLICES", 6)


def start(folder, cache, delay=0.0, processes=1):
    """`clamnet-tf data prepare` in a process of its own, with small shards; `delay` seconds longer for every
    volume; so many begin together.
    """
    meeting = folder.parent / "meeting"
    meeting.mkdir(exist_ok=True)
    code = COMMAND.format(
        folder=str(folder), cache=str(cache), delay=delay, meeting=str(meeting), processes=processes
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finished(cache):
    """{name of a finished shard: when each of its files was written}."""
    return {
        path.name: tuple(file.stat().st_mtime_ns for file in sorted(path.iterdir()))
        for path in Path(cache).glob("prepared-*")
    }


# which volume goes where


def test_whole_volumes_in_order_and_every_case_once(manifest, small_shards):
    found = list(shards_of(manifest))
    assert [len(shard.cases) for shard in found] == [10, 10, 10] and [
        (shard.number, shard.of) for shard in found
    ] == [(0, 3), (1, 3), (2, 3)]
    assert sorted(case for shard in found for case in shard.cases) == list(range(30))
    for shard in found:
        assert [manifest.cases[case] for case in shard.cases] == list(shard.manifest.cases)
        assert [shard.manifest.cases[group.cases[0]].patient for group in shard.groups] == [
            manifest.cases[case].patient for case in shard.cases[::5]
        ]
        assert {case.patient for case in shard.manifest.cases} == {
            manifest.cases[first].patient for first in shard.patients
        }


def test_files_of_unknown_length_count_as_many_slices():
    volumes = Manifest(
        Path("/d"), tuple(Case(Path(f"/d/{number}.nii.gz"), str(number), 0) for number in range(40))
    )
    pictures = replace(
        volumes, cases=tuple(Case(Path(f"/d/{number}.png"), str(number), 0) for number in range(2000))
    )
    assert [len(shard.cases) for shard in shards_of(volumes)] == [16, 16, 8]
    assert [len(shard.cases) for shard in shards_of(pictures)] == [1024, 976]


# the same slices


def test_shards_hold_what_one_folder_holds(manifest, tmp_path, monkeypatch):
    whole = prepare(manifest, **SECTIONS, cache=tmp_path / "one")
    monkeypatch.setattr(shards, "SLICES", 6)
    parts = prepare(manifest, **SECTIONS, cache=tmp_path / "three")
    assert (
        len(list((tmp_path / "three").glob("prepared-*"))) == 3
        and parts.folder == parts.cache == tmp_path / "three"
        and not parts.reused
    )
    assert whole.cache == tmp_path / "one" == whole.folder.parent
    assert (
        isinstance(parts.images, ShardedArray)
        and parts.images.shape == whole.images.shape
        and parts.images.dtype == np.float16
    )
    np.testing.assert_array_equal(parts.images, whole.images)
    np.testing.assert_array_equal(parts.organ, whole.organ)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(parts.table, name), getattr(whole.table, name), err_msg=name)
    seen = []
    again = prepare(
        manifest, **SECTIONS, cache=tmp_path / "three", progress=lambda *counts: seen.append(counts)
    )
    assert again.reused and again.key == parts.key and seen == []


def test_a_patient_more_leaves_full_shards_as_they_are(manifest, make_kaggle, tmp_path, small_shards):
    prepare(manifest, **SECTIONS, cache=tmp_path / "cache")
    before = finished(tmp_path / "cache")
    more = recognize(make_kaggle(patients=("TCGA_ZZ_9999_19990101",), slices=5))
    seen = []
    longer = prepare(more, **SECTIONS, cache=tmp_path / "cache", progress=lambda *counts: seen.append(counts))
    assert seen == [(35, 35)] and len(longer.table) == 35
    assert before.items() <= finished(tmp_path / "cache").items()


@pytest.mark.parametrize("victim", ["meta.json", "table.csv", "images.npy"])
def test_only_a_damaged_shard_is_made_again(manifest, tmp_path, small_shards, victim):
    first = prepare(manifest, **SECTIONS, cache=tmp_path / "cache")
    images, before = np.asarray(first.images), finished(tmp_path / "cache")
    damaged = sorted(before)[1]
    file = tmp_path / "cache" / damaged / victim
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    again = prepare(manifest, **SECTIONS, cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.images, images)
    after = finished(tmp_path / "cache")
    assert {name for name in before if after[name] != before[name]} == {damaged}


def test_channels_that_differ_between_shards_are_an_error(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(shards, "SLICES", 1)
    for name, shape in (("a", (16, 16, 3)), ("b", (16, 16, 3, 2))):
        nibabel.save(
            nibabel.Nifti1Image(rng.normal(100, 9, shape).astype(np.float32), np.eye(4)),
            tmp_path / f"{name}.nii.gz",
        )
    both = Manifest(tmp_path, tuple(Case(tmp_path / f"{name}.nii.gz", name, 0) for name in "ab"))
    with pytest.raises(DataError, match="a.nii.gz has 1, .*b.nii.gz has 2; convert them"):
        prepare(both, **SECTIONS, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.lock"))


# copies across patients, looked for without opening everything


def test_copies_on_two_sides_are_found_in_whatever_shard_they_are(rng):
    hashes, sides = rng.integers(0, 60, 200).astype(np.uint64), rng.integers(0, 3, 200).astype(np.uint8)
    sides[hashes < 30] = hashes[hashes < 30] % 3  # many times, on one side
    expected = {}
    for case, value in enumerate(hashes.tolist()):
        if len({side for other, side in zip(hashes.tolist(), sides.tolist()) if other == value}) > 1:
            expected[1000 + case] = [str(value)]
    assert expected and on_two_sides(hashes, np.arange(1000, 1200), sides) == expected


def test_copies_in_two_shards_are_refused(manifest, tmp_path, small_shards):
    copy, original = (
        next(case.image for case in manifest.cases if case.patient in name and case.image.stem.endswith("_3"))
        for name in (NAMES[0], NAMES[5])
    )
    copy.write_bytes(original.read_bytes())
    sides = {
        case.patient: "val" if case.patient == manifest.cases[-1].patient else "train"
        for case in manifest.cases
    }
    split = replace(
        manifest, cases=tuple(replace(case, split=sides[case.patient]) for case in manifest.cases)
    )
    kept = prepare_shards(split, **SECTIONS, cache=tmp_path / "cache")
    with pytest.raises(DataError, match="1 image.* same pixels on two sides"):
        check_archive(split, kept, 0.02)
    same = replace(split, cases=tuple(replace(case, split="train") for case in split.cases))
    table = prepare(same, **SECTIONS, cache=tmp_path / "cache").table
    survey = check_archive(same, kept, 0.02)
    assert (
        (survey.kept, survey.left_out)
        == (int((table.area >= 0.02).sum()), int((table.area < 0.02).sum()))
        == (24, 6)
    )


# one array of several files


@pytest.fixture
def rows(tmp_path, rng):
    """(23, 2, 3) float16 in files of 5, 1, 10 and 7 rows: the array, the view."""
    array, ends = rng.normal(size=(23, 2, 3)).astype(np.float16), np.cumsum([0, 5, 1, 10, 7])
    paths = [tmp_path / f"{number}.npy" for number in range(4)]
    for path, first, end in zip(paths, ends, ends[1:]):
        np.save(path, array[first:end])
    return array, ShardedArray(paths, np.diff(ends))


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        22,
        np.int64(6),
        slice(None),
        slice(4, 18, 3),
        slice(20, 3, -2),
        slice(9, 9),
        [3, 3, 22, 0],
        [],
        np.array([[5, 4], [-1, 6]]),
        np.arange(23) % 4 == 1,
    ],
    ids=str,
)
def test_rows_are_those_of_the_whole_array(rows, index):
    array, view = rows
    found, expected = view[index], array[np.asarray(index, int) if isinstance(index, list) else index]
    np.testing.assert_array_equal(found, expected)
    assert found.shape == expected.shape and found.dtype == expected.dtype


@pytest.mark.parametrize("index", [23, -24, [0, 23], 1.0, (0, 1), [True, False], None], ids=str)
def test_other_indices_are_refused(rows, index):
    with pytest.raises(IndexError, match="prepared slices"):
        rows[1][index]


def test_it_is_read_only_and_an_array_when_asked(rows):
    array, view = rows
    with pytest.raises(TypeError):
        view[0] = 1
    assert (len(view), view.ndim, view.dtype) == (23, 3, np.float16) and np.asarray(
        view, np.float32
    ).dtype == np.float32
    np.testing.assert_array_equal(view, array)


def test_few_files_are_open_at_a_time(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(npy_files, "_KEPT_OPEN", 2)
    array, view = rows[0], ShardedArray([tmp_path / f"{number}.npy" for number in range(4)], [5, 1, 10, 7])
    np.testing.assert_array_equal(view[:], array)
    numbers = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    opened = [os.readlink(number) for number in numbers if os.path.islink(number)]
    assert view._part.cache_info().currsize == 2 and sorted(
        Path(name).name for name in opened if name.startswith(str(tmp_path))
    ) == ["0.npy", "2.npy", "3.npy"]
    assert isinstance(open_rows([tmp_path / "0.npy"], [5]), np.memmap)


# processes


def test_killed_in_the_middle_it_loses_the_shard_it_was_at_and_goes_on(manifest, tmp_path):
    expected = prepare(
        manifest, data=DataSection(side=32), organ=OrganSection(method="foreground"), cache=tmp_path / "whole"
    )
    cache = tmp_path / "cache"
    running = start(manifest.root, cache, delay=0.5)
    while not finished(cache):
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    before = finished(cache)
    assert 1 <= len(before) < 3
    output = start(manifest.root, cache).communicate()[0]
    assert "30 slices of 32 x 32 pixels, 3 channel(s), prepared" in output, output
    after = finished(cache)
    assert len(after) == 3 and before.items() <= after.items()
    assert "found in the cache" in start(manifest.root, cache).communicate()[0]
    assert finished(cache) == after and not list(cache.glob("*.lock"))
    rows = np.concatenate(
        [
            np.load(folder / "images.npy")
            for folder in sorted(
                cache.glob("prepared-*"),
                key=lambda folder: json.loads((folder / "meta.json").read_text())["shard"],
            )
        ]
    )
    np.testing.assert_array_equal(rows, expected.images)


@pytest.mark.slow
def test_two_processes_share_the_work(manifest, tmp_path):
    cache = tmp_path / "cache"
    both = [start(manifest.root, cache, delay=0.7, processes=2) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    made = [
        int(number)
        for output in outputs
        for number in re.findall(r"prepared, (\d) of 3 shards by this process", output)
    ]
    assert len(made) == 2 and sum(made) == 3 and len(finished(cache)) == 3, outputs
    assert not list(cache.glob(".writing-*")) and not list(cache.glob("*.lock"))


@pytest.mark.slow
def test_what_a_killed_process_held_is_taken_over(manifest, tmp_path):
    cache = tmp_path / "cache"
    dying = start(manifest.root, cache, delay=60)
    while not list(cache.glob("shard-*.lock")):
        assert dying.poll() is None, dying.communicate()[0]
        time.sleep(0.02)
    other = start(manifest.root, cache)
    while len(finished(cache)) < 2:
        assert other.poll() is None, other.communicate()[0]
        time.sleep(0.02)
    time.sleep(1.0)
    assert other.poll() is None and len(finished(cache)) == 2  # waits for the shard that is held
    dying.send_signal(signal.SIGKILL)
    dying.communicate()
    assert "30 slices" in other.communicate()[0] and len(finished(cache)) == 3
