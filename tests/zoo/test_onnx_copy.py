"""model.onnx of entries: made, declared, checked with the golden output, and refused when it is another."""

import shutil

import pytest

from clamnet_tf.errors import NetworkError, ZooError
from clamnet_tf.networks.onnx_file import MODEL_SHA256, read_onnx
from clamnet_tf.zoo.about import About
from clamnet_tf.zoo.catalogue import packaged_folder
from clamnet_tf.zoo.onnx_copy import CHANGES, add_onnx
from clamnet_tf.zoo.read import check_weights, read_entry
from clamnet_tf.zoo.resolve import open_model
from clamnet_tf.zoo.verify import verify


@pytest.fixture
def bare(copy):
    """A copy of a shipped entry without model.onnx, as version 1."""
    from clamnet_tf.zoo.card import card
    from clamnet_tf.zoo.read import entry_text

    folder = copy()
    (folder / "model.onnx").unlink(missing_ok=True)
    entry = read_entry(folder)
    entry = entry.model_copy(update={"weights": entry.weights.model_copy(update={"onnx": None})})
    (folder / "entry.yaml").write_text(entry_text(entry), encoding="utf-8")
    (folder / "README.md").write_text(card(entry), encoding="utf-8")
    return folder


def problems(folder):
    return {check.name: check.problem for check in verify(folder) if check.problem}


def test_an_entry_gets_the_file_and_a_version(bare):
    assert problems(bare) == {}
    assert add_onnx(bare) < 2e-3
    entry = read_entry(bare)
    assert (entry.version, entry.changelog[0].changes) == (2, CHANGES)
    assert read_onnx(bare / "model.onnx").metadata[MODEL_SHA256] == entry.weights.sha256
    assert read_onnx(bare / "model.onnx").sha256 == entry.weights.onnx.sha256
    assert entry.weights.onnx.bytes == (bare / "model.onnx").stat().st_size <= 10_000_000
    assert "`model.onnx`" in (bare / "README.md").read_text(encoding="utf-8")
    checks = {check.name: check.problem for check in verify(bare)}
    assert checks["golden output of model.onnx"] is None and not any(checks.values())
    assert open_model(bare).onnx == bare.resolve() / "model.onnx"
    add_onnx(bare)  # the same file again
    assert read_entry(bare).version == 2


def test_a_file_that_is_changed_missing_or_not_declared_is_refused(bare):
    (bare / "model.onnx").write_bytes(b"x")
    with pytest.raises(ZooError, match=r"model\.onnx: found, but not declared in entry\.yaml"):
        open_model(bare)
    add_onnx(bare)
    content = bytearray((bare / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (bare / "model.onnx").write_bytes(content)
    with pytest.raises(ZooError, match=r"model\.onnx: expected sha256"):
        open_model(bare)
    (bare / "model.onnx").unlink()
    with pytest.raises(ZooError, match=r"model\.onnx: missing, but declared in entry\.yaml"):
        check_weights(bare, read_entry(bare))


def test_a_file_of_other_weights_fails_the_check(bare, small_run, tmp_path):
    from clamnet_tf.zoo.publish import with_onnx
    from clamnet_tf.zoo.read import entry_text

    other = tmp_path / "run"
    shutil.copytree(small_run, other)
    add_onnx(other)
    shutil.copyfile(other / "model.onnx", bare / "model.onnx")
    (bare / "entry.yaml").write_text(entry_text(with_onnx(read_entry(bare), bare, bare)), encoding="utf-8")
    assert "was made from weights of sha256" in problems(bare)["golden output of model.onnx"]


def test_a_run_gets_the_file_and_nothing_else(small_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    before = {path.name for path in run.iterdir()}
    assert add_onnx(run) < 1e-3
    assert {path.name for path in run.iterdir()} == before | {"model.onnx"}
    (run / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(NetworkError, match="cannot be read as an ONNX file"):
        read_onnx(run / "model.onnx")


def test_published_entries_have_it_when_asked(small_run, tmp_path):
    from clamnet_tf.zoo.publish import Release, publish

    about = About.model_validate(
        {
            "summary": "Marks.",
            "channel_order": ["a", "b"],
            "training_data": {"name": "mine", "origin": "Here.", "licence": "CC0"},
            "weights_licence": "CC0",
            "intended_use": "Research.",
            "limits": ["Not a medical device."],
        }
    )
    target = tmp_path / "zoo" / "mri_mine"
    entry = publish(small_run, target, about, Release(1, None), onnx=True)
    assert entry.weights.onnx is not None and problems(target) == {}
    entry = publish(small_run, target, about, Release(2, "Without."))
    assert entry.weights.onnx is None and not (target / "model.onnx").exists() and problems(target) == {}


def test_an_entry_of_classifiers_is_refused_by_its_own_path():
    folder = packaged_folder() / "xray_trauma"
    with pytest.raises(ZooError, match="only TensorFlow computes") as refused:
        add_onnx(folder)
    assert str(refused.value).startswith(f"{folder.resolve()}/model.keras")
    assert problems(folder) == {}
