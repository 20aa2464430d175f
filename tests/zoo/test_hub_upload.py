"""zoo publish --to hf:// with the real huggingface_hub, against a server on loopback that answers as the Hub
does, and back through hf://.
"""

import json
import os
import shutil
import sys

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

import clamnet_tf
from clamnet_tf.cli.main import main
from clamnet_tf.zoo.entry import FILES
from clamnet_tf.zoo.read import entry_text, read_entry

constants = pytest.importorskip("huggingface_hub.constants", reason="the extra [hub] is not installed")
# huggingface_hub sends a large file by a call that its own HTTP library calls outdated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
REPOSITORY = "someone/marks"
WRITER, READER = "hf_writer", "hf_reader"  # tokens of hub_server.py
TEXTS = {
    "summary": "Marks things.",
    "channel_order": ["T1", "FLAIR"],
    "training_data": {"name": "my set", "origin": "A hospital.", "licence": "CC BY 4.0"},
    "weights_licence": "CC BY 4.0",
    "intended_use": "Research.",
    "limits": ["Not a medical device."],
}


@pytest.fixture
def hub(hub_server, monkeypatch, tmp_path):
    """The server, as the library's Hub; the token is the writer's."""
    files = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub_server.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub_server.endpoint + files)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # large files go through LFS
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setenv("HF_TOKEN", WRITER)
    return hub_server


def zoo(*arguments):
    return CliRunner().invoke(main, ["zoo", *map(str, arguments)], prog_name="clamnet-tf")


def publish(source, *options, to=f"hf://{REPOSITORY}"):
    return zoo("publish", source, "--to", to, *options)


def raised(folder):
    """Raise the version of an entry."""
    entry = read_entry(folder)
    data = entry.model_dump(mode="json")
    data["version"] += 1
    data["changelog"].insert(0, {"version": data["version"], "date": "2026-11-27", "changes": "Again."})
    (folder / "entry.yaml").write_text(entry_text(type(entry).model_validate(data)))
    assert zoo("card", folder).exit_code == 0
    text = (folder / "README.md").read_text()
    (folder / "README.md").write_text(
        text.replace("## Changelog\n\n", "## Changelog\n\n- 2 (2026-11-27): Again.\n")
    )


def posts(hub):
    return [path for command, path in hub.asked if command == "POST"]


def test_an_entry_goes_up_in_one_commit_and_comes_back_through_its_address(hub, small, monkeypatch):
    done = publish(small)
    assert done.exit_code == 0, done.output
    there = hub.repositories[REPOSITORY]
    assert there.private and there.commits == 1 and "new and private" in done.stdout
    assert f"{hub.endpoint}/{REPOSITORY}/commit/{there.sha}" in done.stdout
    assert hub.summaries == ["mri_small version 1: First version."]
    for name in FILES:
        assert (there.root / name).read_bytes() == (small / name).read_bytes(), name
    assert len(hub.blobs) == 1 and len([path for command, path in hub.asked if command == "PUT"]) == 1

    monkeypatch.setenv("HF_HOME", os.environ["CLAMNET_TF_CACHE"])
    model = clamnet_tf.Segmenter.from_preset(f"hf://{REPOSITORY}")
    slices = np.random.default_rng(0).normal(size=(3, 24, 24, 2)).astype(np.float32)
    ours = clamnet_tf.Segmenter.from_preset(str(small)).predict(slices)
    np.testing.assert_array_equal(model.predict(slices).probability, ours.probability)
    pulled = zoo("pull", "mri_small", "--from", f"hf://{REPOSITORY}")
    assert pulled.exit_code == 0, pulled.output
    monkeypatch.setenv("HF_TOKEN", READER)  # a private repository, which another person does not see
    refused = zoo("pull", "mri_small", "--from", f"hf://{REPOSITORY}")
    assert refused.exit_code == 2 and "the token may not see it" in refused.stderr


def test_only_a_higher_version_replaces_one_and_files_that_went_are_removed(hub, small):
    assert publish(small, to=f"hf://{REPOSITORY}/mri_small").exit_code == 0
    there = hub.repositories[REPOSITORY]
    (there.root / "mri_small" / "picture.png").write_bytes(b"kept")
    again = publish(small, to=f"hf://{REPOSITORY}/mri_small")
    assert again.exit_code == 2 and "has version 1 already; expected a higher one, received 1" in again.stderr
    raised(small)
    for name in ("intensity_baselines.json", "appearance.npz"):
        (small / name).unlink()
    done = publish(small, "--public", to=f"hf://{REPOSITORY}/mri_small")
    assert done.exit_code == 0, done.output
    assert there.private and "--public counts for a new repository" in done.stderr
    names = {path.name for path in (there.root / "mri_small").iterdir()}
    assert names == {*FILES, "picture.png"} and there.commits == 2
    assert read_entry(there.root / "mri_small").version == 2


def test_a_run_becomes_the_next_version_of_what_is_there(hub, run, tmp_path, monkeypatch):
    monkeypatch.setattr("clamnet_tf.export.heads_onnx.converter_is_installed", lambda: False)  # takes long
    about = tmp_path / "about.yaml"
    about.write_text(yaml.safe_dump(TEXTS))
    target = f"hf://{REPOSITORY}/mri_mine"
    first = publish(run, "--about", about, "--public", to=target)
    assert first.exit_code == 0, first.output
    there = hub.repositories[REPOSITORY]
    assert not there.private and "new and public" in first.stdout
    wrong = publish(run, to=target)
    assert wrong.exit_code == 2 and f"{target}: has version 1 already" in wrong.stderr and there.commits == 1
    second = publish(
        run, "--version", 2, "--change", "More patients.", to=target
    )  # the texts are those there
    assert second.exit_code == 0, second.output
    entry = read_entry(there.root / "mri_mine")
    assert [change.changes for change in entry.changelog] == ["More patients.", "First version."]
    assert entry.training_data.origin == "A hospital." and there.commits == 2
    other = publish(there.root / "mri_mine", to=f"hf://{REPOSITORY}/mri_other")
    assert other.exit_code == 2 and "expected the folder to be named as the entry, mri_mine" in other.stderr


def test_what_verify_refuses_is_not_uploaded(hub, small):
    golden = json.loads((small / "golden.json").read_text())
    golden["marker_probability"]["head_1"]["mean"] += 0.01
    (small / "golden.json").write_text(json.dumps(golden))
    done = publish(small)
    assert done.exit_code == 2 and "not uploaded, since clamnet-tf zoo verify refuses it" in done.stderr
    assert "golden output" in done.stderr and not hub.repositories and not posts(hub)


def test_other_files_and_other_entries_are_not_overwritten(hub, small, tmp_path):
    root = tmp_path / "theirs"
    root.mkdir()
    (root / "README.md").write_text("# Another model\n")
    hub.add(REPOSITORY, root)
    done = publish(small)
    assert (
        done.exit_code == 2 and "found README.md" in done.stderr and "hf://someone/marks/NAME" in done.stderr
    )
    shutil.rmtree(root)
    shutil.copytree(small, root)
    (root / "entry.yaml").write_text((root / "entry.yaml").read_text().replace("mri_small", "mri_elder"))
    done = publish(small)
    assert done.exit_code == 2 and "holds the entry mri_elder; received mri_small" in done.stderr
    assert not posts(hub)


@pytest.mark.parametrize(
    ("token", "repository", "message"),
    [
        ("hf_invented", "someone/marks", "does not accept the token: set HF_TOKEN"),
        (READER, "someone/marks", "The token has no right to this: it needs write access"),
        (WRITER, "stranger/marks", "The token has no right to this: it needs write access"),
        (WRITER, "someone/hidden", "It exists already, where the token may not see it"),
        (None, "someone/marks", "found none. Make one on the Hub"),
    ],
    ids=["401", "403 reader", "403 owner", "409", "no token"],
)
def test_a_refusal_of_the_hub_is_a_plain_error(hub, small, monkeypatch, token, repository, message):
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    hub.add("someone/hidden", small)
    hub.hidden.add("someone/hidden")
    done = publish(small, to=f"hf://{repository}")
    assert done.exit_code == 2 and message in done.stderr, done.output
    assert f"hf://{repository}: " in done.stderr and (token or WRITER) not in done.stderr
    assert not hub.summaries and isinstance(done.exception, SystemExit)


def test_a_repository_that_changes_meanwhile_is_left_alone(hub, small):
    assert publish(small).exit_code == 0
    raised(small)

    def another_commit():
        hub.repositories[REPOSITORY].commits += 1

    hub.before_commit = another_commit
    done = publish(small)
    assert done.exit_code == 2 and "The repository changed meanwhile: run the command again" in done.stderr
    assert read_entry(hub.repositories[REPOSITORY].root).version == 1


def test_without_network_or_package_nothing_is_sent(hub, small, monkeypatch):
    monkeypatch.setenv("CLAMNET_TF_OFFLINE", "1")
    done = publish(small)
    assert done.exit_code == 2 and "CLAMNET_TF_OFFLINE is set, so nothing is uploaded" in done.stderr
    monkeypatch.delenv("CLAMNET_TF_OFFLINE")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    done = publish(small)
    assert done.exit_code == 2 and f"hf://{REPOSITORY}: cannot be read: " in done.stderr
    monkeypatch.setattr(constants, "ENDPOINT", "http://example.org")
    done = publish(small)
    assert done.exit_code == 2 and "begins with https://" in done.stderr
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    done = publish(small)
    assert done.exit_code != 0 and "pip install 'clamnet-tf[hub]'" in done.stderr
    assert not hub.asked


@pytest.mark.parametrize(
    ("options", "to", "message"),
    [
        (("--version", 2), f"hf://{REPOSITORY}", "received --version, which belong to a new version"),
        ((), "hf://someone", "expected hf://OWNER/REPOSITORY or hf://OWNER/REPOSITORY/NAME"),
        ((), f"hf://{REPOSITORY}/Not-A-Name", "expected hf://OWNER/REPOSITORY or hf://OWNER/REPOSITORY/NAME"),
        (("--public",), "folder/mri_small", "--public belongs to --to hf://OWNER/REPOSITORY"),
    ],
)
def test_options_and_addresses_that_mean_nothing_are_refused(hub, small, options, to, message):
    done = publish(small, *options, to=to)
    assert done.exit_code == 2 and message in " ".join(done.stderr.split()) and not hub.asked
