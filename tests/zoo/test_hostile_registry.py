"""Registries that answer with anything but an index: one ZooError, whatever the Location, length or encoding
says.
"""

import sys
from pathlib import Path

import pytest

from clamnet_tf.errors import ZooError
from clamnet_tf.zoo import transport
from clamnet_tf.zoo.remote import HttpsRegistry

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from fuzzing.targets import _Server

LOCATIONS = (
    "http://[::1",
    "\xff\xfe",
    "javascript:1",
    "http://a..b/",
    "//user:word@host/",
    "https://" + "a" * 300,
    "file:///etc/passwd",
    "http://127.0.0.1:99999/",
    "",
    "http://\x00/",
)


def listing(answer, tmp_path, monkeypatch):
    monkeypatch.setenv("CLAMNET_TF_CACHE", str(tmp_path))
    monkeypatch.setattr(transport, "ATTEMPTS", 1)
    with _Server(answer) as server:
        return HttpsRegistry(f"http://127.0.0.1:{server.port}/index.json", 1.0).listing()


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_redirect_to_nowhere(location, tmp_path, monkeypatch):
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with pytest.raises(ZooError, match="127.0.0.1|https://|not an address"):
        listing(head.encode("latin-1"), tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
        b"nothing of the kind\r\n\r\n",
        b"",
    ],
    ids=["negative length", "chunks that are none", "nesting", "no HTTP", "nothing"],
)
def test_answers_that_are_no_index(answer, tmp_path, monkeypatch):
    with pytest.raises(ZooError):
        listing(answer, tmp_path, monkeypatch)
