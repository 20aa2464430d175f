"""Content hashes: right, remembered, and never stale."""

import hashlib
import json
import os

import pytest

from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing import content_hashes
from clamnet_tf.preprocessing.content_hashes import ContentHashes


@pytest.fixture
def remembering(tmp_path, monkeypatch):
    """Files are remembered at once, not only when they are some seconds old; gives a function that makes a
    new memo.
    """
    monkeypatch.setattr(content_hashes, "_RECENT_SECONDS", -1.0)
    return lambda: ContentHashes(tmp_path / "cache", tmp_path)


def test_hash_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    assert (
        ContentHashes(tmp_path, tmp_path).of(tmp_path / "a") == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    )


def test_the_memo_is_used(tmp_path, remembering):
    (tmp_path / "a").write_bytes(b"one")
    hashes = remembering()
    hashes.of(tmp_path / "a")
    hashes.save()
    memo = json.loads(hashes.path.read_text())
    memo[content_hashes.path_key(tmp_path / "a")][3] = "from the memo"
    hashes.path.write_text(json.dumps(memo))
    assert remembering().of(tmp_path / "a") == "from the memo"


@pytest.mark.parametrize("content", [b"two", b"three"], ids=["same size", "other size"])
def test_a_changed_file_is_read_again_even_with_its_old_time(tmp_path, remembering, content):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    status = path.stat()
    hashes = remembering()
    hashes.of(path)
    hashes.save()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert remembering().of(path) == hashlib.sha256(content).hexdigest()


def test_fresh_files_are_not_remembered(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    hashes = ContentHashes(tmp_path / "cache", tmp_path)
    hashes.of(tmp_path / "a")
    hashes.save()
    assert not hashes.path.exists()


@pytest.mark.parametrize("rubbish", ["", "[1]", '{"x": 3}', "{"])
def test_a_damaged_memo_is_ignored(tmp_path, remembering, rubbish):
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "cache").mkdir()
    remembering().path.write_text(rubbish)
    assert remembering().of(tmp_path / "a") == hashlib.sha256(b"one").hexdigest()


def test_folders_depend_on_names_and_contents(tmp_path):
    values = set()
    for name, content in (("a", b"1"), ("b", b"1"), ("b", b"2")):
        folder = tmp_path / f"{name}{content.decode()}"
        folder.mkdir()
        (folder / name).write_bytes(content)
        values.add(ContentHashes(tmp_path, tmp_path).of(folder))
    assert len(values) == 3


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="gone: cannot be read: No such file"):
        ContentHashes(tmp_path, tmp_path).of(tmp_path / "gone")
