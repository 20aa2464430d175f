"""A SavedModel for TensorFlow Serving: what it holds, what it answers, and that a wrong one is not kept."""

import hashlib
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from clamnet_tf.errors import EnvironmentFailure, ExportFailure, NetworkError
from clamnet_tf.export import source as source_module
from clamnet_tf.export.endpoints import Endpoints, presence
from clamnet_tf.export.reference import local, prepared_slices
from clamnet_tf.export.saved_model import export_savedmodel
from clamnet_tf.export.warmup import FILE
from clamnet_tf.metrics.localisation import image_score
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import recipe_hash


def operations(folder):
    """Names of all operations in a SavedModel, those of its functions too."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    return {
        node.op
        for nodes in (graph.node, *(function.node_def for function in graph.library.function))
        for node in nodes
    }


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def test_the_check_in_a_fresh_process_found_it_equal(exported):
    assert set(exported.differences) == {"serving_default", "prepared", "encoded"}
    assert exported.differences["prepared"] <= 1e-5 and exported.differences["serving_default"] <= 1e-5
    assert exported.differences["encoded"] <= 1e-3
    assert exported.path.name == "1" and exported.path.parent.name == "mri_carcinoma"


def test_assets_say_what_it_is(exported, gray_run):
    contract = json.loads((exported.path / "assets" / "contract.json").read_text())
    recipe = load_recipe(str(gray_run / "recipe.yaml"))
    assert (
        contract["recipe_sha256"]
        == recipe_hash(recipe)
        == (exported.path / "assets" / "recipe.sha256").read_text().strip()
    )
    assert (
        recipe_hash(load_recipe(str(exported.path / "assets" / "recipe.yaml"))) == contract["recipe_sha256"]
    )
    assert contract["model_sha256"] == hashlib.sha256((gray_run / "model.keras").read_bytes()).hexdigest()
    assert (
        contract["threshold"]["value"]
        == json.loads((gray_run / "selection.json").read_text())["markings"]["mean"]["raw_threshold"]
    )
    assert set(contract["signatures"]) == {"serving_default", "prepared", "encoded"}
    assert contract["not_applied"]["axial_smoothing"] == recipe.inference.axial_smoothing
    assert (
        "mean over its deviation inside the organ of the whole volume"
        in contract["signatures"]["serving_default"]["input"]["images"]
    )


def test_warm_up_requests_are_answered_by_the_model(exported):
    from tensorflow_serving.apis import prediction_log_pb2

    model = tf.saved_model.load(str(exported.path))
    asked = set()
    for record in tf.data.TFRecordDataset(str(exported.path / FILE)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        answer = model.signatures[request.model_spec.signature_name](**inputs)
        asked.add((request.model_spec.signature_name, answer["probability"].shape[0]))
        assert request.model_spec.name == "mri_carcinoma"
    assert asked == {(name, count) for name in ("serving_default", "prepared", "encoded") for count in (1, 3)}


@pytest.mark.slow  # three more starts of TensorFlow; the export's own check loads it in the same two ways
def test_the_command_line_of_tensorflow_shows_scans_and_runs_it(exported, gray_source, tmp_path):
    images, serve = prepared_slices(32, 1), ["--dir", str(exported.path), "--tag_set", "serve"]
    np.savez(tmp_path / "images.npz", a=images)

    def saved_model_cli(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    shown = saved_model_cli("show", "--dir", str(exported.path), "--all")
    assert "signature_def['encoded']" in shown and "shape: (-1, 32, 32, 1)" in shown
    assert "does not contain the default denylisted ops" in saved_model_cli("scan", *serve)
    saved_model_cli(
        "run",
        *serve,
        "--signature_def",
        "prepared",
        "--inputs",
        f"images={tmp_path / 'images.npz'}[a]",
        "--outdir",
        str(tmp_path),
    )
    np.testing.assert_allclose(
        np.load(tmp_path / "probability.npy"), gray_source.original(images)[..., 0], atol=1e-5
    )


def test_encoded_equals_local_prediction_of_each_picture_alone(gray_source, rng):
    rows, columns = np.mgrid[:140, :110]
    head = np.hypot((rows - 70) / 55, (columns - 50) / 40) < 1
    one = np.where(
        head, 120 + 40 * np.sin(rows / 9) + rng.integers(0, 20, (140, 110)), rng.integers(0, 12, (140, 110))
    ).astype(np.uint8)
    files = [png(one), png(np.full((50, 60), 9, np.uint8)), png((one.astype(np.uint16) * 250)[20:, 10:])]
    found = Endpoints(gray_source).functions["encoded"](tf.constant(files))
    wanted = local(gray_source, files)
    np.testing.assert_array_equal(found["box"], wanted["box"])
    np.testing.assert_allclose(found["probability"], wanted["probability"], atol=1e-3)
    np.testing.assert_allclose(found["presence"], wanted["presence"], atol=1e-3)
    assert (found["mask"].numpy() != wanted["mask"]).mean() < 1e-3 and wanted["mask"].any()
    assert not found["mask"].numpy()[1].any() and found["presence"][1] == 0  # a constant picture has no organ


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(np.zeros((9, 9, 3), np.uint8)), "another number of channels"),
        (b"GIF89a and more than that", "expected the bytes of a PNG or JPEG file"),
        (png(np.zeros((9, 9), np.uint8))[:30], "."),
    ],
    ids=["colour", "gif", "cut off"],
)
def test_encoded_refuses_what_it_cannot_take(gray_source, content, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        Endpoints(gray_source).functions["encoded"](tf.constant([content]))


def test_presence_is_the_image_score(rng):
    probability, organ = rng.random((3, 9, 7)).astype(np.float32), rng.random((3, 9, 7)) < 0.5
    organ[2] = False
    wanted = [image_score(one, inside, 6.0) for one, inside in zip(probability, organ)]
    np.testing.assert_allclose(presence(tf.constant(probability), tf.constant(organ), 6.0), wanted, rtol=1e-6)


def test_batch_norm_window_given_organ_one_head_and_mirrored_views_at_once(make_run, source_of_run, tmp_path):
    """A second kind of run; the export itself compares with the network as it was trained."""
    run = make_run(
        network={"norm": "batch"},
        data={"normalization": "window", "window.center": 60, "window.width": 90},
        organ={"method": "given"},
        inference={
            "flip_views": "true",
            "through_plane": 0,
            "main_component": 0,
            "appearance": 0,
            "volume_threshold": "common",
        },
        channels=3,
    )
    source = source_of_run(run, 1)
    written = export_savedmodel(source, tmp_path)
    assert max(written.differences["prepared"], written.differences["serving_default"]) <= 5e-5
    assert not [name for name in operations(written.path) if "BatchNorm" in name]
    assert len(source.network.layers) < len(source.original.network.layers)
    contract = json.loads((written.path / "assets" / "contract.json").read_text())
    assert (contract["head"], contract["flip_views"], contract["not_applied"]) == ("1", "yes", {})
    assert contract["threshold"]["value"] == pytest.approx(0.49)
    assert "the window is applied here" in contract["signatures"]["serving_default"]["input"]["images"]
    assert set(contract["signatures"]) == {"serving_default", "prepared"}
    assert (
        contract["no_encoded_signature"]
        == "organ.method given cannot be computed from one picture in a graph"
    )


def test_pictures_of_8_bits_show_the_window_already_in_the_graph_too(make_run, source_of_run, tmp_path):
    """The export compares `encoded`, for 8 and for 16 bits, with what local prediction makes of the same
    files.
    """
    run = make_run(data={"normalization": "window", "window.center": 2000, "window.width": 30000})
    written = export_savedmodel(source_of_run(run), tmp_path)
    assert written.differences["encoded"] <= 5e-4 and "serving_default" in written.differences


def test_an_export_that_differs_is_not_kept(make_run, source_of_run, tmp_path, monkeypatch):
    def tampered(network):
        import keras

        copy = keras.models.clone_model(network)
        copy.set_weights([weight + 0.001 for weight in network.get_weights()])
        return copy

    monkeypatch.setattr(source_module, "folded", tampered)
    with pytest.raises(
        ExportFailure,
        match=r"does not give what the network gives: prepared: probability differs by .*Nothing is kept",
    ):
        export_savedmodel(source_of_run(make_run(organ={"method": "given"})), tmp_path / "new" / "models")
    assert list(tmp_path.iterdir()) == []


def test_a_head_that_is_not_there_is_named(gray_run, source_of_run):
    with pytest.raises(NetworkError, match=r"head: expected one of \[1, 2\], received 7"):
        source_of_run(gray_run, 7)


def test_versions_count_up(tmp_path):
    from clamnet_tf.export.saved_model import next_version

    assert next_version(tmp_path / "absent") == 1
    for name in ("1", "12", "notes", ".writing-x"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == 13
    assert Path(tmp_path / "12").exists()


@pytest.mark.tfio
def test_dicom_files_are_taken_where_tensorflow_io_works(gray_source, tmp_path):
    """Compared by the export itself with pydicom's reading; then with files of real scanners."""
    from pydicom.data import get_testdata_file

    written = export_savedmodel(gray_source, tmp_path, dicom=True)
    assert written.differences["encoded_dicom"] <= 1e-3
    files = [Path(get_testdata_file(name)).read_bytes() for name in ("CT_small.dcm", "MR_small.dcm")]
    found = tf.saved_model.load(str(written.path)).signatures["encoded_dicom"](image_bytes=tf.constant(files))
    wanted = local(gray_source, files)
    np.testing.assert_array_equal(found["box"], wanted["box"])
    np.testing.assert_allclose(found["probability"], wanted["probability"], atol=1e-3)


def test_dicom_files_elsewhere(gray_source, tmp_path):
    if importlib.util.find_spec("tensorflow_io") is not None:
        pytest.skip("tensorflow-io is installed")
    with pytest.raises(EnvironmentFailure, match="dicom_backend: tensorflow_io does not work here"):
        export_savedmodel(gray_source, tmp_path, dicom=True)
    assert list(tmp_path.iterdir()) == []
