"""Registries over real HTTP on loopback: whole downloads, cut ones, wrong bytes, two processes, hostile
indexes, stalls, offline.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clamnet_tf.errors import ZooError
from clamnet_tf.progress import Reporter
from clamnet_tf.zoo.entry import FILES, OPTIONAL_FILES
from clamnet_tf.zoo.index import make_index
from clamnet_tf.zoo.read import read_entry
from clamnet_tf.zoo.remote import HttpsRegistry, NotOffered, configured_registries, open_registry, pull_first
from clamnet_tf.zoo.resolve import find_entry, open_model
from clamnet_tf.zoo.transport import check_address

NAME = "mri_stranger"
WEIGHTS = f"/{NAME}/model.keras"


@pytest.fixture
def registry(copy, serve):
    """A served folder with one entry and its index: (server, registry)."""
    folder = copy(NAME)
    (folder.parent / "index.json").write_text(json.dumps(make_index(folder.parent)))
    server = serve(folder.parent)
    return server, HttpsRegistry(f"{server.address}/index.json", 2.0)


def rewrite(server, change):
    """Change the index that is served."""
    path = server.root / "index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))


def pull(registry):
    return pull_first([registry], NAME, Reporter(quiet=True))


def leftovers(registry):
    """What lies in the registry's folder besides whole entries, its index, locks and unfinished parts."""
    return sorted(
        path.name
        for path in registry.folder.glob("*")
        if path.name != "index.json" and not path.name.endswith(".lock") and path.name != "parts"
    )


def test_pulled_whole_found_by_name_and_not_asked_again(registry, monkeypatch):
    server, source = registry
    folder = pull(source)
    assert sorted(path.name for path in folder.iterdir()) == sorted((*FILES, *OPTIONAL_FILES))
    for name in (*FILES, *OPTIONAL_FILES):
        assert (folder / name).read_bytes() == (server.root / NAME / name).read_bytes()
    asked = len(server.log)
    assert open_model(NAME).path == folder.resolve() and len(server.log) == asked
    assert pull(source) == folder and [path for path, _ in server.log[asked:]] == ["/index.json"]


def test_a_name_is_resolved_from_a_registry(registry, monkeypatch):
    server, source = registry
    monkeypatch.setenv("CLAMNET_TF_REGISTRY", source.url)
    assert open_model(NAME).model.read_bytes() == (server.root / NAME / "model.keras").read_bytes()
    with pytest.raises(
        ZooError,
        match=r"mri_strangers: .*nearest name mri_stranger\. Looked in the packaged zoo(.|\n)*not offered "
        r"by http://127",
    ):
        find_entry("mri_strangers")


def test_a_cut_connection_goes_on_where_it_was(registry):
    server, source = registry
    server.cut[WEIGHTS] = 1_000_000
    folder = pull(source)
    assert read_entry(folder).name == NAME
    assert server.ranges(WEIGHTS) == [None, "bytes=1000000-"]


def test_a_killed_download_goes_on_in_the_next_process(registry):
    server, source = registry
    server.stall.add(WEIGHTS)
    command = [sys.executable, "-m", "clamnet_tf", "zoo", "pull", NAME, "--from", source.url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not [
        part for part in source.folder.glob("parts/*.part") if part.stat().st_size == 100
    ]:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    server.stall.clear()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert server.ranges(WEIGHTS) == [None, "bytes=100-"]
    assert leftovers(source) == [f"{NAME}-1"] or leftovers(source)[0].startswith(
        ".writing-"
    )  # of the killed one


def test_wrong_bytes_are_refused_and_nothing_is_kept(registry):
    server, source = registry
    content = bytearray((server.root / NAME / "model.keras").read_bytes())
    content[5000] ^= 1
    server.bytes[WEIGHTS] = bytes(content)
    with pytest.raises(ZooError, match="sent other bytes"):
        pull(source)
    assert leftovers(source) == [] and not list(source.folder.glob("parts/*"))


def test_a_wrong_part_is_thrown_away_once(registry):
    server, source = registry
    sha = next(
        item["sha256"]
        for item in make_index(server.root)["entries"][0]["files"]
        if item["file"] == "model.keras"
    )
    (source.folder / "parts").mkdir(parents=True)
    (source.folder / "parts" / f"{sha}.part").write_bytes(b"x" * 1234)
    assert read_entry(pull(source)).name == NAME
    assert server.ranges(WEIGHTS) == ["bytes=1234-", None]


def test_more_bytes_than_declared_are_not_read(registry):
    server, source = registry
    server.bytes[WEIGHTS] = (server.root / NAME / "model.keras").read_bytes() + b"more"
    with pytest.raises(ZooError, match="as the index declares; the server sends more"):
        pull(source)


def test_two_processes_at_once_download_it_once(registry):
    server, source = registry
    command = [sys.executable, "-m", "clamnet_tf", "zoo", "pull", NAME, "--from", source.url]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    ended = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    assert server.ranges(WEIGHTS) == [None]
    assert read_entry(source.folder / f"{NAME}-1").name == NAME


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda index: index["entries"][0].update(name="../../evil"),
            r"entries\[0\]\.name: expected text .* of the form \^\[a-z\]",
        ),
        (
            lambda index: index["entries"][0]["files"][0].update(file="../../evil"),
            r"entries\[0\]\.files\[0\]\.file: expected entry\.yaml, README\.md",
        ),
        (
            lambda index: index["entries"][0]["files"][5].update(file="entry.yaml"),
            r"entry mri_stranger: expected each of .* missing: model\.keras",
        ),
        (
            lambda index: index["entries"][0]["files"][5].update(bytes=10**12),
            r"files\[5\]\.bytes: expected a whole number from 1 to 500000000",
        ),
        (
            lambda index: index["entries"][0].update(versoin=1),
            r"entries\[0\]\.versoin: expected a key .*nearest valid key entries\[0\]\.version",
        ),
        (
            lambda index: index["entries"].append(index["entries"][0]),
            "each version of an entry once; mri_stranger version 1 is listed twice",
        ),
        (
            lambda index: index["entries"][0].update(version=2),
            "expected mri_stranger version 2, as offered; received mri_stranger version 1",
        ),
        (
            lambda index: index["entries"][0]["files"][5].update(url="file:///etc/passwd"),
            "expected an address that begins with https://",
        ),
        (
            lambda index: index["entries"][0]["files"][5].update(url="http://example.org/model.keras"),
            "expected an address that begins with https://",
        ),
        (
            lambda index: index["entries"][0]["files"][5].update(url="https://name:secret@example.org/m"),
            "without user name and password",
        ),
    ],
    ids=[
        "name",
        "file name",
        "file twice",
        "size",
        "key",
        "version twice",
        "other entry",
        "file address",
        "http address",
        "password",
    ],
)
def test_a_hostile_index_is_refused(registry, tmp_path, change, message):
    server, source = registry
    rewrite(server, change)
    before = sorted(tmp_path.rglob("*evil*"))
    with pytest.raises(ZooError, match=message):
        pull_first(
            [source],
            json.loads((server.root / "index.json").read_text())["entries"][0]["name"],
            Reporter(quiet=True),
        )
    assert sorted(tmp_path.rglob("*evil*")) == before and leftovers(source) == []


def test_a_file_name_in_the_entry_leads_nowhere(registry):
    server, _source = registry
    path = server.root / NAME / "entry.yaml"
    path.write_text(path.read_text().replace("file: model.keras", "file: ../../../secret"))
    (server.root / "index.json").write_text('{"format": 1, "entries": []}')
    with pytest.raises(
        ZooError, match=r"weights\.file: expected model\.keras, received text '\.\./\.\./\.\./secret'"
    ):
        make_index(server.root)


@pytest.mark.parametrize(
    "name", ["../etc", "mri/../../x", "/etc/passwd", "MRI", "a" * 100, "mri carcinoma", "mri\n"]
)
def test_a_name_that_is_no_name_is_not_looked_up(registry, name):
    _, source = registry
    with pytest.raises(NotOffered, match="not offered"):
        pull_first([source], name)


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://example.org/model.keras",
        "//example.org/model.keras",
    ],
)
def test_a_redirect_elsewhere_is_refused(registry, location):
    server, source = registry
    server.redirect[WEIGHTS] = location
    with pytest.raises(
        ZooError, match=r"redirected from http://127.*expected an address that begins with https://"
    ):
        pull(source)


def test_a_redirect_on_this_machine_is_followed_and_a_circle_is_left(registry):
    server, source = registry
    server.redirect[WEIGHTS] = "/elsewhere/model.keras"
    (server.root / "elsewhere").mkdir()
    shutil.copy(server.root / NAME / "model.keras", server.root / "elsewhere")
    assert pull(source)
    server.redirect["/index.json"] = "/index.json"
    with pytest.raises(ZooError, match="redirected more than 5 times"):
        pull(source)


def test_https_never_steps_down():
    assert (
        check_address("https://example.org/a")
        and check_address("http://[::1]:80/a")
        and check_address("http://localhost/a")
    )
    for url, came_from in [
        ("http://127.0.0.1/a", "https://example.org"),
        ("http://127.0.0.1.example.org/", None),
        ("https://", None),
        ("HTTP://2130706433/", None),
        ("x", None),
    ]:
        with pytest.raises(ZooError, match="expected an address that begins with https://"):
            check_address(url, came_from)


def test_a_server_that_stalls_is_given_up(registry):
    server, _ = registry
    source = HttpsRegistry(f"{server.address}/index.json", 0.3)
    server.stall.add(WEIGHTS)
    began = time.monotonic()
    with pytest.raises(ZooError, match=r"did not answer in time \(4 attempts\)\. What was received is kept"):
        pull(source)
    assert time.monotonic() - began < 15
    assert sum(part.stat().st_size for part in source.folder.glob("parts/*.part")) >= 100
    assert leftovers(source) == []


def test_no_server_at_all(tmp_path):
    with pytest.raises(ZooError, match="the connection failed"):
        HttpsRegistry("http://127.0.0.1:9/index.json", 1.0).listing()


def test_a_missing_file_is_said_at_once(registry):
    server, source = registry
    (server.root / NAME / "model.keras").unlink()
    with pytest.raises(ZooError, match="the server answers 404"):
        pull(source)
    assert server.ranges(WEIGHTS) == [None]


def test_offline_nothing_is_asked(registry, monkeypatch):
    server, source = registry
    monkeypatch.setenv("CLAMNET_TF_OFFLINE", "1")
    monkeypatch.setenv("CLAMNET_TF_REGISTRY", source.url)
    with pytest.raises(ZooError, match="CLAMNET_TF_OFFLINE is set"):
        open_model(NAME)
    assert server.log == []
    monkeypatch.delenv("CLAMNET_TF_OFFLINE")
    folder = pull(source)
    monkeypatch.setenv("CLAMNET_TF_OFFLINE", "1")
    asked = len(server.log)
    assert open_model(NAME).path == folder.resolve()
    assert [offer.name for offer in source.listing()] == [NAME]
    assert pull(source) == folder and len(server.log) == asked


def test_the_newest_version_is_pulled_and_used(registry):
    server, source = registry
    pull(source)
    path = server.root / NAME / "entry.yaml"
    text = path.read_text()
    path.write_text(
        text.replace("\nversion: 1\n", "\nversion: 2\n").replace(
            "changelog:\n", "changelog:\n- version: 2\n  date: '2026-11-23'\n  changes: More.\n"
        )
    )
    (server.root / "index.json").write_text(json.dumps(make_index(server.root)))
    assert pull(source).name == f"{NAME}-2" and open_model(NAME).path.name == f"{NAME}-2"


def test_a_pulled_entry_that_was_changed_is_refused_and_pulled_again(registry):
    _server, source = registry
    folder = pull(source)
    with open(folder / "model.keras", "r+b") as stream:
        stream.write(b"x")
    with pytest.raises(ZooError, match="expected sha256 .* found"):
        open_model(NAME)
    assert pull(source) == folder and open_model(NAME)


@pytest.mark.parametrize("name", ["model.keras", "selection.json", "recipe.yaml"])
def test_other_files_under_the_same_version_are_refused(registry, monkeypatch, name):
    server, source = registry
    folder = pull(source)

    def other(index, name):
        for item in index["entries"][0]["files"]:
            if item["file"] == name:
                item["sha256"] = "0" * 64

    rewrite(server, lambda index: other(index, "README.md"))
    assert pull(source) == folder  # a card may be reworded
    rewrite(server, lambda index: other(index, name))
    with pytest.raises(ZooError, match=f"version 1 is not the one that was pulled: {name} changed since"):
        pull(source)
    assert open_model(NAME).path == folder.resolve()  # as it was pulled; the registry is not asked
    monkeypatch.setenv("CLAMNET_TF_OFFLINE", "1")
    assert pull(source) == folder


def test_registries_are_named_by_address(monkeypatch):
    monkeypatch.setenv(
        "CLAMNET_TF_REGISTRY", "https://example.org/index.json  https://example.org/other.json"
    )
    assert [registry.label for registry in configured_registries()] == [
        "https://example.org/index.json",
        "https://example.org/other.json",
    ]
    assert len({registry.folder for registry in configured_registries()}) == 2
    for wrong in ("ftp://example.org/", "example.org", "hf://one", "hf://a/../b", "file:///tmp/index.json"):
        with pytest.raises(ZooError, match="expected"):
            open_registry(wrong)


def test_the_command_lists_what_is_offered(registry):
    server, source = registry
    environment = {**os.environ, "CLAMNET_TF_REGISTRY": source.url}
    done = subprocess.run(
        [sys.executable, "-m", "clamnet_tf", "zoo", "list", "--remote"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(
        rf"^{NAME} version 1, \d\.\d MB, offered by {re.escape(source.url)}$", done.stdout, flags=re.MULTILINE
    )
    assert Path(server.root).exists()
