"""predict with a network of two markers, made by hand: 1 is what is bright, 2 what is very bright, so that
every mask is known.
"""

import json
import re
import warnings

import nibabel
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from PIL import Image

from clamnet_tf.cli.main import main
from clamnet_tf.files import write_json, write_text
from clamnet_tf.recipe.schema import (
    ClassSection,
    DataSection,
    InferenceSection,
    NetworkSection,
    OrganSection,
    Recipe,
)
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.reporting.overlays import CLASS_RGB
from clamnet_tf.runs import RunFolder

NAMES = ("bright", "very_bright")
SIDE = 32  # pictures with this longest side are cropped and resized to themselves
PLAIN = {
    "steps": {"axial_smoothing": 0.0, "keep_largest_component": 0.0, "intensity_refinement": 0.0},
    "raw_threshold": 0.5,
    "threshold": 0.5,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run: 0 below 150, 1 from 150 to 200, 2 above."""
    from clamnet_tf.networks.build import build_network

    recipe = Recipe(
        name="by_hand",
        modality="ct",
        condition="haemorrhage",
        classes=[ClassSection(name=name) for name in NAMES],
        data=DataSection(side=SIDE, normalization="none"),
        organ=OrganSection(method="none", margin=0.0),
        network=NetworkSection(depth=2, filters=[2, 2], kernels=[3, 3], norm="none", classes=3),
        inference=InferenceSection(batch_size=2),
    )
    network = build_network(recipe.network, side=SIDE, channels=1)
    for layer in network.layers:
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    for name in ("x_0_0_conv_1", "x_0_0_conv_2", "x_0_1_conv_1", "x_0_1_conv_2"):
        kernel, bias = network.get_layer(name).get_weights()
        kernel[1, 1, 0, 0] = 1
        network.get_layer(name).set_weights([kernel, bias])
    kernel, bias = network.get_layer("head_1_logits").get_weights()
    kernel[0, 0, 0], bias[:] = (0, 1, 2), (0, -150, -350)
    network.get_layer("head_1_logits").set_weights([kernel, bias])
    made = RunFolder(tmp_path_factory.mktemp("runs") / "two")
    made.path.mkdir()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        network.save(made.model)
    write_text(made.recipe, to_yaml(recipe))
    cuts = dict.fromkeys(NAMES, PLAIN)
    write_json(
        made.selection,
        {
            "markings": {"mean": cuts, "head_1": cuts},
            "threshold_rule": "by hand",
            "step": 7,
            "checkpoint_rule": "none",
            "looks": [],
        },
    )
    return made.path


def scan(rng, slices=5):
    """(slices, 32, 24) of about 100, with a block of 170 that grows and one of 230."""
    image = rng.integers(80, 120, (slices, 32, 24))
    for number in range(slices):
        image[number, 3:7, 4 : 8 + number] = 170
        image[number, 15:22, 9:14] = 230 if number else 90
    return image


def classes(image):
    return np.where(image > 200, 2, np.where(image >= 150, 1, 0)).astype(np.uint8)


def test_masks_tables_overlays_and_pages_tell_the_markers_apart(
    run, predict, write_series, rows_of, tmp_path, rng
):
    image = scan(rng)
    write_series(tmp_path / "ct", image)
    result, out, rows = predict(run, tmp_path / "ct", options=["--format", "png,nifti,overlay,report"])
    assert result.exit_code == 0, result.output
    expected = classes(image)
    rows.sort(key=lambda row: float(row["z_mm"]))
    for number, row in enumerate(rows):
        np.testing.assert_array_equal(np.asarray(Image.open(out / row["mask"])), expected[number])
        assert [int(row[f"{name}_px"]) for name in NAMES] == [
            (expected[number] == value).sum() for value in (1, 2)
        ]
        assert int(row["marked_px"]) == (expected[number] > 0).sum()
        picture = np.asarray(Image.open(out / row["overlay"]))
        assert picture.shape[1] == 24 and picture.shape[0] > 32, "a legend stands below"
        for value in (1, 2):
            here = (picture[:32] == CLASS_RGB[value - 1]).all(-1)
            assert (
                not here[expected[number] != value].any() and here.any() == (expected[number] == value).any()
            )
        assert (picture[32:] == CLASS_RGB[1]).all(-1).any()
    assert float(rows[0]["very_bright_score"]) < 0.01 < 0.5 < float(rows[1]["very_bright_score"])
    mask = nibabel.load(next(out.glob("*_mask.nii.gz")))
    np.testing.assert_array_equal(np.asarray(mask.dataobj).transpose(2, 1, 0), expected)
    assert (
        bytes(mask.header["descrip"]).rstrip(b"\0") == b"clamnet-tf: 1 bright, 2 very_bright"
        and float(mask.header["cal_max"]) == 2
    )
    [volume] = rows_of(out / "volumes.csv")
    ml = 0.5 * 0.75 * 2.5 / 1000
    for value, name in enumerate(NAMES, start=1):
        assert int(volume[f"{name}_px"]) == (expected == value).sum()
        assert float(volume[f"{name}_ml"]) == pytest.approx((expected == value).sum() * ml, rel=1e-4)
        assert f"{name} {(expected == value).sum() * ml:.2f} ml" in result.stdout
    page = (out / "report.html").read_text()
    shown = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL)[1])
    assert [len(one["outlines"]) for one in shown] == [2] * 5 and [
        bool(one["outlines"][1]) for one in shown
    ] == [False] + [True] * 4
    assert "rgb(0, 158, 115)" in page and "very_bright" in page


@pytest.mark.parametrize("segmentation", ["binary", "fractional"])
def test_a_dicom_segmentation_has_a_segment_per_marker(
    run, predict, write_series, tmp_path, rng, segmentation
):
    highdicom = pytest.importorskip(
        "highdicom", reason="highdicom is not installed: pip install 'clamnet-tf[dicom]'"
    )
    image = scan(rng)
    files = write_series(tmp_path / "ct", image)
    result, out, _ = predict(
        run, tmp_path / "ct", options=["--format", "dicom-seg", "--segmentation", segmentation]
    )
    assert result.exit_code == 0, result.output
    path = next(out.glob("*_seg.dcm"))
    segments = pydicom.dcmread(path).SegmentSequence
    assert [(segment.SegmentNumber, segment.SegmentLabel) for segment in segments] == [
        (1, "Bright"),
        (2, "Very bright"),
    ]
    assert [segment.TrackingID for segment in segments] == [
        "clamnet-tf haemorrhage bright",
        "clamnet-tf haemorrhage very_bright",
    ]
    read = highdicom.seg.segread(path)
    sources = sorted((pydicom.dcmread(file) for file in files), key=lambda one: one.ImagePositionPatient[2])
    pixels = read.get_pixels_by_source_instance(
        [source.SOPInstanceUID for source in sources],
        rescale_fractional=segmentation == "fractional",
        assert_missing_frames_are_empty=True,
    )
    found = pixels >= 0.5
    for value in (1, 2):
        np.testing.assert_array_equal(found[..., value - 1], classes(image) == value)


def test_nothing_marked_is_a_segmentation_too(run, predict, write_series, tmp_path, rng):
    pytest.importorskip("highdicom", reason="highdicom is not installed: pip install 'clamnet-tf[dicom]'")
    write_series(tmp_path / "ct", np.minimum(scan(rng), 120))
    result, out, _ = predict(run, tmp_path / "ct", options=["--format", "dicom-seg"])
    assert result.exit_code == 0, result.output
    seg = pydicom.dcmread(next(out.glob("*_seg.dcm")))
    assert len(seg.SegmentSequence) == 2 and not seg.pixel_array.any()


def test_an_export_gives_a_map_per_class_and_the_numbers_of_classes(run, tmp_path, rng):
    import tensorflow as tf

    code, said = call("export", run, "--format", "savedmodel", "--out", tmp_path)
    assert code == 0 and "threshold 0.500, 0.500" in said, said
    image = scan(rng)
    slices = np.pad(image, ((0, 0), (0, 0), (4, 4)))[..., None].astype(np.float32)
    answer = tf.saved_model.load(tmp_path / "by_hand" / "1").signatures["serving_default"](
        images=tf.constant(slices)
    )
    np.testing.assert_array_equal(answer["mask"].numpy()[..., 4:-4], classes(image))
    assert answer["probability"].shape == (5, SIDE, SIDE, 2) and answer["presence"].shape == (5,)
    contract = json.loads((tmp_path / "by_hand" / "1" / "assets" / "contract.json").read_text())
    assert contract["threshold"]["value"] == dict.fromkeys(NAMES, 0.5)
    assert "1 bright, 2 very_bright" in contract["signatures"]["serving_default"]["output"]["mask"]


def test_a_search_of_eta_needs_a_class_that_takes_it(run, tmp_path):
    own = f"classes=[{{name: {NAMES[0]}, eta: 0.5}}, {{name: {NAMES[1]}, eta: 0.9}}]"
    code, said = call("fit", run / "recipe.yaml", "--search", "eta", "--set", own, "--out", tmp_path / "run")
    assert code == 2 and "every marker has its own eta" in said.replace("│ ", "")


def call(*arguments):
    """(exit code, what was said in one line) of the command."""
    result = CliRunner().invoke(main, [*map(str, arguments)], prog_name="clamnet-tf")
    return result.exit_code, " ".join(str(result.output).split() + str(result.exception).split())
