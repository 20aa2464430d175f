"""LiteRT and ONNX files against the network, by their real runtimes; and files that differ are not kept."""

import json

import numpy as np
import pytest

from clamnet_tf.errors import ExportFailure, UserInputError
from clamnet_tf.evaluation.calibration_slices import CalibrationSlices
from clamnet_tf.export import litert as litert_module
from clamnet_tf.export.litert import export_litert, run_litert
from clamnet_tf.export.onnx import export_onnx
from clamnet_tf.export.reference import prepared_slices


@pytest.fixture
def slices(rng):
    """Twelve slices with their organ; the truth of all but the first is known."""
    images = np.float16(
        np.concatenate([prepared_slices(32, 1) + 0.1 * rng.normal(size=(3, 32, 32, 1)) for _ in range(4)])
    )
    truth = [None, *(np.hypot(*(np.mgrid[:32, :32] - 12)) < 5 for _ in range(11))]
    return CalibrationSlices(images, np.ones((12, 32, 32), bool), truth)


def test_onnx_in_onnxruntime(gray_source, tmp_path):
    import onnxruntime

    written = export_onnx(gray_source, tmp_path)
    images = prepared_slices(32, 1)
    session = onnxruntime.InferenceSession(str(written.path), providers=["CPUExecutionProvider"])
    (found,) = session.run(["probability"], {"images": images})
    np.testing.assert_allclose(found, gray_source.original(images)[..., 0], atol=5e-4)
    contract = json.loads((tmp_path / "mri_carcinoma.onnx.json").read_text())
    assert (
        contract["measured"]["largest_difference"] <= 5e-4
        and contract["threshold"]["value"] == gray_source.thresholds[0]
    )
    with pytest.raises(UserInputError, match=r"mri_carcinoma\.onnx: exists already"):
        export_onnx(gray_source, tmp_path)


def test_litert_float_and_int8_in_litert(gray_source, slices, tmp_path, monkeypatch):
    monkeypatch.setattr(litert_module, "LEAST_AGREEMENT", 0.0)  # weights drawn at random stand rounding badly
    images = prepared_slices(32, 1)
    floats = export_litert(gray_source, tmp_path)
    np.testing.assert_allclose(
        run_litert(floats.path, images), gray_source.original(images)[..., 0], atol=5e-4
    )
    int8 = export_litert(gray_source, tmp_path, slices=slices)
    assert (
        int8.path.name == "mri_carcinoma_int8.tflite"
        and int8.path.stat().st_size < floats.path.stat().st_size
    )
    measured = json.loads((tmp_path / "mri_carcinoma_int8.tflite.json").read_text())["measured"]
    assert (measured["calibrated_on"], measured["measured_on"], measured["slices_with_truth"]) == (6, 6, 6)
    # Dice by hand, of the slices that were measured (every second one)
    rows = np.arange(1, 12, 2)
    found = run_litert(int8.path, np.float32(slices.images[rows])) >= gray_source.thresholds[0]
    wanted = gray_source.original(slices.images[rows])[..., 0] >= gray_source.thresholds[0]
    assert measured["dice_with_float_masks"] == pytest.approx(
        2 * (found & wanted).sum() / (found.sum() + wanted.sum())
    )
    truth = np.stack([slices.truth[row] for row in rows])
    assert measured["dice_with_truth_int8"] == pytest.approx(
        2 * (found & truth).sum() / (found.sum() + truth.sum())
    )


def test_files_that_differ_are_not_kept(gray_source, slices, tmp_path, monkeypatch):
    monkeypatch.setattr(litert_module, "RUNTIME_TOLERANCE", 1e-12)
    with pytest.raises(
        ExportFailure,
        match="litert: the exported file does not give what the network gives.*1e-12 is allowed",
    ):
        export_litert(gray_source, tmp_path / "new")
    monkeypatch.setattr(litert_module, "LEAST_AGREEMENT", 1.01)
    with pytest.raises(
        ExportFailure,
        match=r"expected a Dice of at least 1\.01 between int8 masks and float masks; received [01]\.\d+",
    ):
        export_litert(gray_source, tmp_path / "new", slices=slices)
    assert list(tmp_path.iterdir()) == []


def test_slices_of_another_network_are_refused(gray_source, slices, tmp_path):
    other = CalibrationSlices(np.zeros((4, 16, 16, 3)), np.ones((4, 16, 16), bool), None)
    with pytest.raises(
        UserInputError,
        match=r"--calibrate: expected slices of shape \(32, 32, 1\), as the network takes them; "
        r"received \(16, 16, 3\)",
    ):
        export_litert(gray_source, tmp_path, slices=other)
