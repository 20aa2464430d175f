"""hf:// through the real huggingface_hub, against a server on loopback that answers as the Hub does."""

import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from clamnet_tf.zoo.entry import FILES, OPTIONAL_FILES

pytest.importorskip("huggingface_hub", reason="the extra [hub] is not installed")
COMMIT, NAME = "0123456789abcdef0123456789abcdef01234567", "mri_stranger"
REPOSITORY = "someone/lesion-marks"


class Hub(http.server.BaseHTTPRequestHandler):
    """Two routes of the Hub: what a repository holds, and a file at a commit."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, code, content, body=True, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        path, server = self.path.partition("?")[0], self.server
        server.asked.append((self.command, path))
        if re.fullmatch(rf"/api/models/{REPOSITORY}(/revision/[\w.]+)?", path):
            names = sorted(
                str(each.relative_to(server.root)) for each in server.root.rglob("*") if each.is_file()
            )
            siblings = [{"rfilename": name, "size": (server.root / name).stat().st_size} for name in names]
            self.answer(
                200, json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}).encode(), body
            )
        elif (
            path.startswith(f"/{REPOSITORY}/resolve/{COMMIT}/")
            and (server.root / path.split(COMMIT + "/")[1]).is_file()
        ):
            content = (server.root / path.split(COMMIT + "/")[1]).read_bytes()
            content = server.instead.get(path.rsplit("/", 1)[1], content)
            self.answer(
                200, content, body, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=COMMIT
            )
        else:
            self.answer(404, b"{}", body, X_Error_Code="RepoNotFound")


@pytest.fixture
def hub(copy):
    """A served repository with one entry in a folder of its own."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    server.root, server.asked, server.instead = copy(NAME).parent, [], {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def pull(hub, registry=f"hf://{REPOSITORY}", **environment):
    settings = {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": os.environ["CLAMNET_TF_CACHE"],
    }
    command = [sys.executable, "-m", "clamnet_tf", "zoo", "pull", NAME, "--from", registry, "--timeout", "5"]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **settings, **environment}
    )


@pytest.mark.parametrize("revision", ["", "@v1.0"])
def test_an_entry_in_a_folder_is_pulled_whole(hub, revision):
    done = pull(hub, f"hf://{REPOSITORY}{revision}")
    assert done.returncode == 0, done.stderr
    (folder,) = re.findall(r"^Pulled: (.*)$", done.stdout, flags=re.MULTILINE)
    for name in (*FILES, *OPTIONAL_FILES):
        assert (Path(folder) / name).read_bytes() == (hub.root / NAME / name).read_bytes()
    assert sorted(os.listdir(folder)) == sorted((*FILES, *OPTIONAL_FILES))
    asked = len(hub.asked)
    again = pull(hub, f"hf://{REPOSITORY}{revision}", CLAMNET_TF_OFFLINE="1")
    assert again.returncode == 2 and "CLAMNET_TF_OFFLINE is set" in again.stderr and len(hub.asked) == asked


def test_an_entry_at_the_root_is_found_by_what_it_says(hub):
    for path in (hub.root / NAME).iterdir():
        shutil.move(path, hub.root)
    (hub.root / NAME).rmdir()
    done = pull(hub)
    assert done.returncode == 0, done.stderr


def test_wrong_weights_and_missing_files_are_refused(hub, tmp_path):
    hub.instead["model.keras"] = b"x" * (hub.root / NAME / "model.keras").stat().st_size
    done = pull(hub)
    assert (
        done.returncode == 2
        and "expected sha256" in done.stderr
        and not list((tmp_path / "cache").rglob(f"{NAME}-1"))
    )
    (hub.root / NAME / "golden.json").unlink()
    done = pull(hub)
    assert done.returncode == 2 and "missing or empty: golden.json" in done.stderr


def test_an_unknown_repository_is_a_plain_error(hub):
    done = pull(hub, "hf://someone/else")
    assert (
        done.returncode == 2
        and "hf://someone/else: cannot be downloaded" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_no_server_at_all(hub):
    done = pull(hub, HF_ENDPOINT="http://127.0.0.1:9")
    assert (
        done.returncode == 2
        and f"hf://{REPOSITORY}: cannot be downloaded" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_another_endpoint_than_https_is_refused(hub):
    done = pull(hub, HF_ENDPOINT="http://example.org")
    assert done.returncode == 2 and "expected an address that begins with https://" in done.stderr
