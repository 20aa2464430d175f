"""Records of prepared slices: the cache's numbers, by this process and by Apache Beam, killed, repeated,
changed.
"""

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from clamnet_tf.cli.main import main
from clamnet_tf.preprocessing import shards
from clamnet_tf.preprocessing.tfrecords import parse
from clamnet_tf.progress import Reporter
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.workflows.dataset import Source, prepare_dataset

NAMES = tuple(f"TCGA_{site}_{number:04d}_19990101" for number, site in enumerate(("CS", "DU") * 4))
CHEAP = (
    "data.side=32",
    "organ.method=foreground",
    "network.depth=3",
    "network.filters=[4,8,16]",
    "network.kernels=[3,3,3]",
)
SLOWLY = """
import sys, time
from clamnet_tf.preprocessing import prepared_volume, shard_folder, shards
shards.SLICES = 8
def slowly(*arguments):
    time.sleep(float(sys.argv[1]))
    return prepared_volume.prepare_volume(*arguments)
shard_folder.prepare_volume = slowly
from clamnet_tf.cli.main import main
main(sys.argv[2:])
"""
beam_only = pytest.mark.skipif(
    importlib.util.find_spec("apache_beam") is None,
    reason="apache_beam is not installed; tools/test-beam makes its environment",
)


@pytest.fixture
def folder(make_kaggle, monkeypatch):
    """8 patients of 6 slices, in 4 shards of two."""
    monkeypatch.setattr(shards, "SLICES", 8)
    return make_kaggle(patients=NAMES)


def arguments(folder, *more):
    settings = [each for text in CHEAP for each in ("--set", text)]
    return ["data", "prepare", "mri_carcinoma", "--data", str(folder), *settings, *map(str, more)]


def run(folder, *more):
    result = CliRunner().invoke(main, arguments(folder, *more))
    assert result.exit_code == 0, result.output
    return result.output


def start(folder, *more, delay=0.0):
    """The command in a process of its own, `delay` seconds longer for every volume."""
    return subprocess.Popen(
        [sys.executable, "-c", SLOWLY, str(delay), *arguments(folder, *more)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def records(out):
    """Every record in order of shards and rows: {field: stacked array}."""
    found = [
        one
        for path in sorted(map(str, Path(out).glob("slices-*.tfrecord")))
        for one in tf.data.TFRecordDataset(path).map(parse).as_numpy_iterator()
    ]
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def written(out):
    """{file: when it was written}"""
    return {path.name: path.stat().st_mtime_ns for path in Path(out).glob("slices-*")}


def same_as_cache(folder, cache, found):
    recipe = load_recipe("mri_carcinoma", CHEAP)
    manifest, prepared = prepare_dataset(recipe, Source(folder, cache=cache), Reporter(quiet=True))
    table = prepared.table
    np.testing.assert_array_equal(found["image"], prepared.images)
    np.testing.assert_array_equal(found["organ"], prepared.organ)
    for name in ("case", "slice_index", "label", "box"):
        np.testing.assert_array_equal(found[name], getattr(table, name), err_msg=name)
    for name in ("position", "area", "eta", "spacing"):
        np.testing.assert_array_equal(found[name], getattr(table, name).astype(np.float32), err_msg=name)
    for name in ("pixel_hash", "markers", "split"):
        assert [value.decode() for value in found[name].tolist()] == getattr(table, name).tolist(), name
    assert [manifest.cases[first].patient for first in found["patient"]] == table.patient.tolist()
    assert (
        (2 * found["shard"] + found["volume"]).tolist() == table.volume.tolist()
        and set(found["side"]) == {32}
        and set(found["channels"]) == {3}
    )


def test_records_hold_what_the_cache_holds(folder, tmp_path):
    assert "Written in" in run(folder, "--format", "tfrecord", "--out", tmp_path / "records")
    names = sorted(path.name[:21] for path in (tmp_path / "records").glob("slices-*"))
    assert names == [f"slices-{number:05d}-of-00004"[:21] for number in range(4)]
    same_as_cache(folder, tmp_path / "cache", records(tmp_path / "records"))
    text = b"".join(path.read_bytes() for path in (tmp_path / "records").iterdir())
    assert b"TCGA" not in text and str(folder).encode() not in text


def test_array_records_hold_the_same(folder, tmp_path):
    source_of = pytest.importorskip(
        "array_record.python.array_record_data_source", reason="array_record is not installed"
    ).ArrayRecordDataSource
    run(folder, "--format", "tfrecord", "--out", tmp_path / "a")
    run(folder, "--format", "array_record", "--out", tmp_path / "b")
    source, expected = (
        source_of(sorted(map(str, (tmp_path / "b").glob("slices-*.array_record")))),
        records(tmp_path / "a"),
    )
    assert len(source) == len(expected["case"]) == 48
    for row in (47, 0, 13):
        found = parse(source[row])
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name].numpy(), values[row], err_msg=name)


def test_again_does_nothing_and_a_changed_file_its_shard_alone(folder, tmp_path):
    out = tmp_path / "records"
    run(folder, "--format", "tfrecord", "--out", out)
    before = written(out)
    run(folder, "--format", "tfrecord", "--out", out)
    assert written(out) == before
    picture = sorted(folder.rglob("*_3.tif"))[-1]
    picture.write_bytes(sorted(folder.rglob("*_3.tif"))[0].read_bytes())
    run(folder, "--format", "tfrecord", "--out", out)
    after = written(out)
    assert len(after) == 4 and len(before.items() & after.items()) == 3


def test_other_settings_are_refused(folder, tmp_path):
    run(folder, "--format", "tfrecord", "--out", tmp_path / "records")
    result = CliRunner().invoke(
        main,
        arguments(folder, "--format", "tfrecord", "--out", tmp_path / "records", "--set", "organ.margin=0.3"),
    )
    assert result.exit_code == 2 and "holds records of other settings (organ differ" in result.output


@pytest.mark.parametrize(
    "options, message",
    [
        (["--format", "tfrecord"], "needs --out FOLDER"),
        (["--out", "x"], "--out needs one of these formats"),
        (["--beam-option=--runner=DirectRunner"], "--beam-option needs --runner beam"),
    ],
    ids=["no folder", "no format", "no beam"],
)
def test_options_that_do_not_go_together(folder, options, message):
    result = CliRunner().invoke(main, arguments(folder, *options))
    assert result.exit_code == 2 and message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is not None, reason="Apache Beam is installed")
def test_without_beam_the_message_says_what_to_install(folder, tmp_path):
    result = CliRunner().invoke(main, arguments(folder, "--runner", "beam", "--cache", tmp_path))
    assert (
        result.exit_code == 1
        and "needs Apache Beam, which is not installed" in result.output
        and "'clamnet-tf[beam]'" in result.output
    )


def test_killed_it_leaves_whole_files_and_goes_on(folder, tmp_path):
    out = tmp_path / "records"
    running = start(folder, "--format", "tfrecord", "--out", out, delay=0.5)
    while not written(out):
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    before = written(out)
    assert 1 <= len(before) < 4
    run(folder, "--format", "tfrecord", "--out", out)
    assert len(written(out)) == 4 and before.items() <= written(out).items()
    same_as_cache(folder, tmp_path / "cache", records(out))


# Apache Beam's DirectRunner


@beam_only
def test_beam_writes_the_same_records(folder, tmp_path):
    run(folder, "--format", "tfrecord", "--out", tmp_path / "local")
    run(folder, "--runner", "beam", "--format", "tfrecord", "--out", tmp_path / "beam")
    content = [
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("slices-*")}
        for name in ("local", "beam")
    ]
    assert content[0] == content[1] and len(content[0]) == 4
    before = written(tmp_path / "beam")
    run(folder, "--runner", "beam", "--format", "tfrecord", "--out", tmp_path / "beam")
    assert written(tmp_path / "beam") == before and not list((tmp_path / "beam").glob(".*"))


@beam_only
def test_beam_fills_the_cache_that_fit_opens(folder, tmp_path):
    output = run(folder, "--runner", "beam", "--cache", tmp_path / "cache")
    assert "48 slices of 32 x 32 pixels, 3 channel(s), found in the cache" in output
    run(folder, "--format", "tfrecord", "--out", tmp_path / "records")
    same_as_cache(folder, tmp_path / "cache", records(tmp_path / "records"))


@beam_only
def test_a_file_that_cannot_be_read_is_named_and_the_other_shards_are_finished(folder, tmp_path):
    victim = sorted(folder.rglob("*_3.tif"))[0]
    victim.write_bytes(victim.read_bytes()[:100])
    result = CliRunner().invoke(
        main, arguments(folder, "--runner", "beam", "--format", "tfrecord", "--out", tmp_path / "records")
    )
    assert (
        result.exit_code == 2
        and "1 of 4 shards could not be prepared, the others are finished" in result.output
        and victim.name in result.output
    )
    assert len(written(tmp_path / "records")) == 3


@beam_only
def test_a_killed_pipeline_goes_on_with_two_worker_processes(folder, tmp_path):
    cache = tmp_path / "cache"

    def finished():
        return {path.parent.name: path.stat().st_mtime_ns for path in cache.glob("prepared-*/meta.json")}

    running = start(folder, "--runner", "beam", "--cache", cache, delay=0.7)
    while not finished():
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    before = finished()
    assert 1 <= len(before) < 4
    again = start(
        folder,
        "--runner",
        "beam",
        "--cache",
        cache,
        "--beam-option=--direct_running_mode=multi_processing",
        "--beam-option=--direct_num_workers=2",
    )
    output = again.communicate()[0]
    assert (
        again.returncode == 0 and "48 slices of 32 x 32 pixels, 3 channel(s), found in the cache" in output
    ), output
    assert len(finished()) == 4 and before.items() <= finished().items()
