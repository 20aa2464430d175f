"""hf:// through the real huggingface_hub, against a server on loopback that answers as the Hub does."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from clamnet_tf.errors import ZooError
from clamnet_tf.zoo.entry import FILES, OPTIONAL_FILES
from clamnet_tf.zoo.read import entry_text, read_entry
from clamnet_tf.zoo.remote import open_registry
from clamnet_tf.zoo.resolve import open_model
from clamnet_tf.zoo.unchanged import check_unchanged, git_digest

pytest.importorskip("huggingface_hub", reason="the extra [hub] is not installed")
NAME = "mri_stranger"
REPOSITORY = "someone/lesion-marks"


@pytest.fixture
def hub(copy, hub_server):
    """A served repository with one entry in a folder of its own."""
    hub_server.root = copy(NAME).parent
    hub_server.add(REPOSITORY, hub_server.root)
    return hub_server


def pull(hub, registry=f"hf://{REPOSITORY}", **environment):
    settings = {
        "HF_ENDPOINT": hub.endpoint,
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
    assert sorted(os.listdir(folder)) == sorted([*FILES, *OPTIONAL_FILES])
    asked = len(hub.asked)
    again = pull(hub, f"hf://{REPOSITORY}{revision}", CLAMNET_TF_OFFLINE="1")
    assert again.returncode == 2 and "CLAMNET_TF_OFFLINE is set" in again.stderr and len(hub.asked) == asked


def test_an_entry_at_the_root_is_found_by_what_it_says(hub):
    for path in (hub.root / NAME).iterdir():
        shutil.move(path, hub.root)
    (hub.root / NAME).rmdir()
    done = pull(hub)
    assert done.returncode == 0, done.stderr


def test_a_model_is_loaded_from_its_address(hub, monkeypatch):
    monkeypatch.setenv("HF_HOME", os.environ["CLAMNET_TF_CACHE"])
    monkeypatch.setattr("clamnet_tf.zoo.hub.hub_endpoint", lambda: hub.endpoint)
    address = f"hf://{REPOSITORY}"
    for spec in (address, f"{address}/{NAME}", f"{address}@v1.0"):
        run = open_model(spec)
        assert run.model.read_bytes() == (hub.root / NAME / "model.keras").read_bytes(), spec
    with pytest.raises(ZooError, match=rf"expected the name of an entry there \({NAME}\); received other"):
        open_model(f"{address}/other")
    with pytest.raises(ZooError, match="expected hf://OWNER/REPOSITORY"):
        open_model("hf://someone")
    folder = hub.root / NAME
    entry = read_entry(folder)
    second = entry.changelog[0].model_copy(update={"version": 2})
    newer = entry.model_copy(update={"version": 2, "changelog": [second, *entry.changelog]})
    (folder / "entry.yaml").write_text(entry_text(newer), encoding="utf-8")
    hub.repositories[REPOSITORY].commits += 1
    assert open_model(address).path.name == f"{NAME}-2"
    asked = len(hub.asked)
    monkeypatch.setenv("CLAMNET_TF_OFFLINE", "1")  # both versions are here: the newer one
    assert open_model(address).path.name == f"{NAME}-2" and len(hub.asked) == asked
    with pytest.raises(ZooError, match="among those pulled before"):
        open_model("hf://someone/never-pulled")


@pytest.mark.parametrize("name", ["selection.json", "entry.yaml", "model.keras"])
def test_a_repository_that_changes_a_version_in_place_is_refused(hub, monkeypatch, name):
    monkeypatch.setenv("HF_HOME", os.environ["CLAMNET_TF_CACHE"])
    monkeypatch.setattr("clamnet_tf.zoo.hub.hub_endpoint", lambda: hub.endpoint)
    address, folder = f"hf://{REPOSITORY}", hub.root / NAME
    pulled = open_model(address).path
    (folder / "README.md").write_text("A card that is reworded.\n")
    hub.repositories[REPOSITORY].commits += 1  # a commit that touches nothing that is computed
    assert open_model(address).path == pulled
    (folder / name).write_bytes((folder / name).read_bytes() + b"\n")
    hub.repositories[REPOSITORY].commits += 1
    with pytest.raises(
        ZooError, match=f"{NAME} version 1 is not the one that was pulled: {name} changed since"
    ):
        open_model(address)
    assert open_model(pulled).path == pulled


def test_a_mirror_without_digests_is_still_held_to_entry_and_weights(hub, monkeypatch):
    monkeypatch.setenv("HF_HOME", os.environ["CLAMNET_TF_CACHE"])
    monkeypatch.setattr("clamnet_tf.zoo.hub.hub_endpoint", lambda: hub.endpoint)
    hub.bare, path = True, hub.root / NAME / "entry.yaml"
    pulled = open_model(f"hf://{REPOSITORY}").path
    assert open_model(f"hf://{REPOSITORY}").path == pulled
    path.write_text(path.read_text().replace(read_entry(path.parent).weights.sha256, "0" * 64))
    hub.repositories[REPOSITORY].commits += 1
    with pytest.raises(ZooError, match="entry.yaml, model.keras changed since"):
        open_model(f"hf://{REPOSITORY}")


def test_blobs_are_named_as_git_names_them(tmp_path):
    path = tmp_path / "selection.json"
    path.write_bytes(b'{"threshold": 0.5}\n')
    blob = subprocess.run(
        ["git", "hash-object", path], capture_output=True, text=True, check=True
    ).stdout.strip()
    offer = SimpleNamespace(name=NAME, version=1, digests={path.name: git_digest(blob)})
    check_unchanged(tmp_path, offer, SimpleNamespace(label="there"))
    path.write_bytes(b'{"threshold": 0.6}\n')
    with pytest.raises(ZooError, match=r"selection\.json changed since"):
        check_unchanged(tmp_path, offer, SimpleNamespace(label="there"))
    check_unchanged(tmp_path, SimpleNamespace(digests={path.name: None}), None)  # a mirror tells nothing


def test_listing_leaves_nothing_behind(hub, monkeypatch):
    monkeypatch.setenv("HF_HOME", os.environ["CLAMNET_TF_CACHE"])
    monkeypatch.setattr("clamnet_tf.zoo.hub.hub_endpoint", lambda: hub.endpoint)
    registry = open_registry(f"hf://{REPOSITORY}")
    (offer,) = registry.listing()
    assert offer.name == NAME and set(offer.digests) == {*FILES, *OPTIONAL_FILES}
    assert not [path for path in registry.folder.rglob("*") if path.is_file()]


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
