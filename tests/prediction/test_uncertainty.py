"""predict --rank and --uncertainty: numbers worked by hand, and maps on the voxels of the files.

The average of two networks made by hand: one gives P = sigmoid(value - 150), the other sigmoid(value - 160),
both with the cut 0.5. So the first marks values from 150, the second from 160, and their mean values from
155.
"""

import csv
import json

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from sklearn.metrics import f1_score

from clamnet_tf.files import write_json
from clamnet_tf.inference.uncertainty import Opinions
from clamnet_tf.runs import RunFolder

# Keras 3.15 saving under NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
LOW, HIGH = 150, 160


def sigmoid(value):
    return 1 / (1 + np.exp(-np.asarray(value, float)))


def spread(values):
    """Twice the standard deviation of two opinions is their difference."""
    return np.abs(sigmoid(np.asarray(values, float) - LOW) - sigmoid(np.asarray(values, float) - HIGH))


@pytest.fixture(scope="module")
def average(write_run, tmp_path_factory):
    """The folder of the averaged network."""
    from clamnet_tf.networks.average import average_networks
    from clamnet_tf.networks.saved import load_network

    folder = tmp_path_factory.mktemp("average")
    runs = [
        RunFolder(write_run(folder / f"fold_{bright}", bright, normalization="none"))
        for bright in (LOW, HIGH)
    ]
    made = write_run(folder / "model", LOW, normalization="none")
    average_networks([load_network(run.model) for run in runs], name="both").save(made / "model.keras")
    selection = json.loads((made / "selection.json").read_text())
    markings = {"head_1": selection["markings"]["head_1"]}
    selection["average"] = {"members": [{"markings": markings}, {"markings": markings}]}
    write_json(made / "selection.json", selection)
    return made


def picture(path, *parts):
    """32 x 24 pixels of 100, of which so many have another value: (value, number).."""
    values = np.full(32 * 24, 100, np.uint8)
    place = 50
    for value, count in parts:
        values[place : place + count] = value
        place += count
    Image.fromarray(values.reshape(32, 24)).save(path)
    return values.reshape(32, 24)


def test_studies_are_ranked_by_disagreement_and_distance_to_the_cut(average, predict, tmp_path):
    """sure: 50 and 40 pixels, Dice 80/90. none: nothing, which is to agree. doubt: 10 and 0 pixels, Dice 0;
    the highest mean probability is (sigmoid(4) + sigmoid(-6)) / 2, just below the cut.
    """
    sure = picture(tmp_path / "a_sure.png", (200, 40), (155, 10))
    picture(tmp_path / "b_none.png")
    picture(tmp_path / "c_doubt.png", (154, 10))
    files = [tmp_path / name for name in ("a_sure.png", "b_none.png", "c_doubt.png")]
    result, out, _ = predict(average, *files, options=["--rank", "--uncertainty", "--format", "png,report"])
    assert result.exit_code == 0, result.output
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "The most uncertain first" in page
    assert page.index("c_doubt.png") < page.index("a_sure.png") < page.index("b_none.png")
    assert f"What to correct first: {out / 'worklist.csv'}" in result.stdout
    with open(out / "worklist.csv", newline="") as stream:
        worklist = list(csv.DictReader(stream))
    assert [(row["rank"], row["volume"]) for row in worklist] == [
        ("1", "c_doubt.png"),
        ("2", "a_sure.png"),
        ("3", "b_none.png"),
    ]
    highest = (sigmoid(4) + sigmoid(-6)) / 2
    doubt, certain, nothing = (
        [float(row[name]) for name in ("disagreement", "score_distance", "uncertainty")] for row in worklist
    )
    assert doubt == pytest.approx([1, (0.5 - highest) / 0.5, (1 + 1 - (0.5 - highest) / 0.5) / 2], abs=1e-5)
    assert certain == pytest.approx([1 / 9, 1, 1 / 18], abs=1e-5)
    assert nothing == pytest.approx([0, 1, 0], abs=1e-5)
    with open(out / "volumes.csv", newline="") as stream:
        volumes = {row["volume"]: row for row in csv.DictReader(stream)}
    assert {name: row["rank"] for name, row in volumes.items()} == {
        "a_sure.png": "2",
        "b_none.png": "3",
        "c_doubt.png": "1",
    }
    assert [int(volumes[name]["marked_px"]) for name in ("a_sure.png", "c_doubt.png")] == [50, 0]
    written = np.asarray(Image.open(out / "a_sure_uncertainty.png"))
    np.testing.assert_array_equal(written, np.rint(255 * spread(sure)))
    assert written.max() == round(255 * (sigmoid(5) - sigmoid(-5)))


@pytest.mark.parametrize("axes", ["RAS", "PIR"])
def test_nifti_maps_lie_on_the_voxels_of_the_file(average, predict, tmp_path, rng, axes):
    affine = np.diag([1.5, 2, 4, 1.0])
    values = rng.integers(100, 200, (32, 24, 6)).astype(np.uint8)
    upright = nibabel.Nifti1Image(values, affine)
    change = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(axes)
    )
    image = upright.as_reoriented(change)
    nibabel.save(image, tmp_path / "scan.nii.gz")
    result, out, _ = predict(
        average, tmp_path / "scan.nii.gz", options=["--uncertainty", "--format", "nifti"]
    )
    assert result.exit_code == 0, result.output
    written = nibabel.load(out / "scan_uncertainty.nii.gz")
    assert written.get_data_dtype() == np.float32 and written.header.get_intent()[0] == "estimate"
    np.testing.assert_allclose(written.affine, image.affine, atol=1e-5)
    np.testing.assert_allclose(written.get_fdata(), spread(np.asarray(image.dataobj)), atol=1e-5)
    assert nibabel.load(out / "scan_mask.nii.gz").get_data_dtype() == np.uint8
    assert not (out / "worklist.csv").exists()


def test_dicom_maps_are_fractional_segmentations(average, predict, tmp_path, rng, head, write_series):
    highdicom = pytest.importorskip("highdicom", reason="pip install 'clamnet-tf[dicom]'")
    images = head(rng, 3) + rng.integers(0, 60, (3, 32, 24))
    write_series(tmp_path / "ct", images)
    result, out, _ = predict(
        average, tmp_path / "ct", options=["--uncertainty", "--format", "dicom-seg,nifti"]
    )
    assert result.exit_code == 0, result.output
    (path,) = out.glob("*_uncertainty_seg.dcm")
    seg = highdicom.seg.segread(path)
    sources = [pydicom.dcmread(file) for file in (tmp_path / "ct").iterdir()]
    pixels = seg.get_pixels_by_source_instance(
        [source.SOPInstanceUID for source in sources],
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )
    expected = spread(np.stack([source.pixel_array for source in sources]))
    np.testing.assert_allclose(pixels[..., 0], expected, atol=0.5 / 255 + 1e-5)
    raw = pydicom.dcmread(path)
    assert (raw.SegmentationType, raw.MaximumFractionalValue) == ("FRACTIONAL", 255)
    assert raw.SegmentSequence[0].SegmentLabel == "Uncertainty of lesion"
    assert raw.SeriesDescription == "clamnet-tf by_hand: uncertainty of lesion"
    assert len(raw.ContentLabel) <= 16  # CS, PS3.5 6.2
    (stack,) = out.glob("*_uncertainty.nii.gz")
    ordered = sorted(sources, key=lambda source: float(source.ImagePositionPatient[2]))
    np.testing.assert_allclose(
        nibabel.load(stack).get_fdata(),
        spread(np.stack([source.pixel_array.T for source in ordered], axis=-1)),
        atol=1e-5,
    )


def test_heads_of_one_network_are_opinions_too(average, rng):
    """Two heads and two classes at random, against scikit-learn's F1 of each pair and NumPy's deviation."""

    opinions = Opinions.__new__(Opinions)
    opinions.cuts = np.array([[0.5, 0.4], [0.6, 0.3], [0.45, 0.5]])
    maps = rng.random((3, 4, 8, 9, 2)).astype(np.float32)
    organ = rng.random((4, 8, 9)) > 0.3
    masks = [(own >= cut)[organ].ravel() for own, cut in zip(maps, opinions.cuts)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    disagreement = 1 - np.mean([f1_score(masks[first], masks[second]) for first, second in pairs])
    result = rng.random((4, 8, 9, 2)).astype(np.float32)
    found = opinions.study(maps, organ, result, 0.25)
    distance = (result[organ].max() - 0.25) / 0.75
    assert found == pytest.approx((disagreement, distance, (disagreement + 1 - distance) / 2), abs=1e-6)
    odds = (
        np.log(maps.astype(float) / (1 - maps))
        - np.log(opinions.cuts / (1 - opinions.cuts))[:, None, None, None]
    )
    expected = np.where(organ, 2 * sigmoid(odds).std(axis=0).max(axis=-1), 0)
    np.testing.assert_allclose(opinions.pixel_map(maps, organ), expected, atol=2e-5)
    nowhere = opinions.study(maps, np.zeros_like(organ), result, 0.25)
    assert nowhere == (0.0, 1.0, 0.0)  # no organ: all opinions are empty, and the score is 0


def test_a_model_that_cannot_disagree_is_refused(run, predict, tmp_path):
    picture(tmp_path / "a.png", (200, 9))
    result, _, _ = predict(run, tmp_path / "a.png", options=["--rank"])
    assert result.exit_code == 2
    assert "need a model with several heads" in result.stderr and "clamnet-tf folds" in result.stderr


def test_a_folder_begun_without_rank_is_not_continued_with_it(average, predict, tmp_path):
    picture(tmp_path / "a.png", (200, 9))
    assert predict(average, tmp_path / "a.png")[0].exit_code == 0
    again, _, _ = predict(average, tmp_path / "a.png", options=["--rank"])
    assert again.exit_code == 2 and "begun with another rank" in again.stderr
    out = tmp_path / "ranked"
    assert predict(average, tmp_path / "a.png", options=["--rank"], out=out)[0].exit_code == 0
    again, _, _ = predict(average, tmp_path / "a.png", out=out)
    assert again.exit_code == 2 and "begun with another rank" in again.stderr
