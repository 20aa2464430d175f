"""The content of one SeriesInstanceUID, and volumes of uneven slices (rows G3, G4, G5, G8 of issue 16)."""

import copy

import numpy as np
import pydicom
import pytest

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.unlabelled_inputs import find_inputs
from clamnet_tf.errors import DataError, ImageError
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.preprocessing.volumes import group_cases

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DIGITAL_XRAY = "1.2.840.10008.5.1.4.1.1.1.1"


def volumes_of(folder):
    """{what tells a volume from the others of its series: sorted file names}, as `predict` would group
    them, and the Inputs."""
    found = find_inputs([folder])
    groups = [[found.manifest.cases[case] for case in group.cases] for group in group_cases(found.manifest)]
    names = [found.volumes[group.cases[0]] for group in group_cases(found.manifest)]
    return {
        name.partition(", ")[2] if "series" in name else name: sorted(case.image.name for case in cases)
        for name, cases in zip(names, groups)
    }, found


@pytest.fixture
def with_strays(write_series, write_image, store, tmp_path):
    """A folder: an axial series of 20 slices, and five images that do not belong to it under the same
    SeriesInstanceUID."""
    folder, axial = tmp_path / "study", store("axial")
    files = write_series(folder, axial, SeriesInstanceUID="1.2.9", FrameOfReferenceUID="1.2.8")
    same = {"SeriesInstanceUID": "1.2.9", "FrameOfReferenceUID": "1.2.8"}
    placed = {"ImagePositionPatient": [0, 0, 0], "PixelSpacing": [1.0, 1.0]}
    write_image(
        folder / "scout.dcm",
        np.full((64, 48), 200),
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
        **placed,
        **same,
    )
    write_image(
        folder / "reformat.dcm",
        axial.images[0] + 100,
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        **placed,
        **same,
    )
    write_image(
        folder / "dose.dcm",
        np.full((32, 32, 3), 200),
        SOPClassUID=SECONDARY_CAPTURE,
        FrameOfReferenceUID=None,
        SeriesInstanceUID="1.2.9",
    )
    write_image(folder / "capture.dcm", axial.images[0] + 100, SOPClassUID=SECONDARY_CAPTURE, **same)
    write_image(
        folder / "zoom.dcm",
        axial.images[0],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        ImagePositionPatient=[0, 0, 3],
        PixelSpacing=[0.3, 0.3],
        **same,
    )
    return folder, files


STRAYS = {
    "scout.dcm": "coronal beside axial slices",
    "reformat.dcm": "sagittal beside axial slices",
    "dose.dcm": "a colour picture",
    "capture.dcm": "no position in the patient (a secondary capture or a page)",
    "zoom.dcm": "pixel spacing 0.3 x 0.3 mm beside 0.75 x 0.5 mm",
}


def test_g3_strays_are_set_aside_and_named_in_console_table_and_report(
    bright_run, marked, with_strays, bright_points, nifti_points
):
    folder, files = with_strays
    call = marked(bright_run, folder, formats="nifti,report")
    assert call.code == 0, call.stderr
    (row,) = call.table("volumes.csv")
    assert row["slices"] == "20" and sorted(line["input"] for line in call.table("marks.csv")) == sorted(
        path.name for path in files
    )
    assert nifti_points(call.out / row["nifti"]) == bright_points
    page = (call.out / "report.html").read_text(encoding="utf-8")
    for name, why in STRAYS.items():
        assert f"{name} was set aside: {why}" in call.stdout
        assert f"{name} was set aside: {why}" in row["set_aside"]
        assert f"{name} was set aside: {why}" in page
    assert "ATTENTION: 5 DICOM images belong to no volume" in call.stdout


def test_g3_a_folder_as_an_image_and_a_labelled_tree_set_them_aside_too(with_strays):
    folder, files = with_strays
    volume = read_volume(folder)
    assert len(volume.array) == 20 and {
        f"{name} was set aside: {why}" for name, why in STRAYS.items()
    } <= set(volume.grid.notes)
    (folder / "labels.csv").write_text("SeriesInstanceUID,label\n1.2.9,1\n")
    manifest = recognize(folder)
    assert (
        sorted(case.image.name for case in manifest.cases) == sorted(path.name for path in files)
        and len({case.series for case in manifest.cases}) == 1
    )
    assert "ATTENTION: 5 images belong to no volume and are left out:" in manifest.account


def repeated(stored, times):
    """The same positions `times` times, with other pixels each time."""
    result = copy.copy(stored)
    result.images = np.concatenate([stored.images + 7 * n for n in range(times)])
    result.positions = np.concatenate([stored.positions] * times)
    return result


B_VALUES = {"b-value 0 s/mm2": 0.0, "b-value 1000 s/mm2": 1000.0}


@pytest.mark.parametrize(
    ("elements", "names"),
    [
        ({"each_TriggerTime": [0.0] * 20 + [40.0] * 20}, ["trigger time 0 ms", "trigger time 40 ms"]),
        ({"each_TriggerTime": [n * 0.5 for n in range(40)]}, ["trigger time 1 of 2", "trigger time 2 of 2"]),
        ({"each_EchoTime": [20.0] * 20 + [80.0] * 20}, ["echo time 20 ms", "echo time 80 ms"]),
        (
            {"each_EchoNumbers": [1] * 20 + [2] * 20, "each_EchoTime": [20.0] * 20 + [80.0] * 20},
            ["echo 1", "echo 2"],
        ),
        ({"each_DiffusionBValue": [0.0] * 20 + [1000.0] * 20}, list(B_VALUES)),
        (
            {"each_TemporalPositionIdentifier": [1] * 20 + [2] * 20},
            ["temporal position 1", "temporal position 2"],
        ),
        ({"each_AcquisitionNumber": [4] * 20 + [5] * 20}, ["acquisition 4", "acquisition 5"]),
        (
            {"each_AcquisitionNumber": list(range(40)), "each_EchoTime": [20.0] * 20 + [80.0] * 20},
            ["echo time 20 ms", "echo time 80 ms"],
        ),
        (
            {"each_ImageType": [["ORIGINAL", "PRIMARY", "M"]] * 20 + [["ORIGINAL", "PRIMARY", "P"]] * 20},
            ["image type ORIGINAL\\PRIMARY\\M", "image type ORIGINAL\\PRIMARY\\P"],
        ),
        (
            {"each_AcquisitionTime": ["101500"] * 20 + ["102000"] * 20},
            ["acquisition time 1015", "acquisition time 1020"],
        ),
    ],
)
def test_g4_several_images_per_position_are_split_by_what_differs(
    elements, names, store, write_series, tmp_path
):
    files = write_series(tmp_path / "in", repeated(store("axial"), 2), SeriesInstanceUID="1.2.9", **elements)
    found, inputs = volumes_of(tmp_path / "in")
    if "1015" in names[0]:
        names = ["acquisition time 101500", "acquisition time 102000"]
    assert found == dict(
        zip(names, (sorted(path.name for path in files[:20]), sorted(path.name for path in files[20:])))
    )
    assert not inputs.failures
    volume = read_volume(tmp_path / "in", series=f"1.2.9 {names[1]}")
    np.testing.assert_array_equal(volume.array[..., 0], store("axial").images + 7)
    with pytest.raises(ImageError, match="holds 2 volumes, one is needed"):
        read_volume(tmp_path / "in")


def test_g4_directions_of_one_b_value_and_two_levels(store, write_series, tmp_path):
    """b 0 once and b 1000 in three directions, told apart by their acquisition."""
    elements = {
        "each_DiffusionBValue": [0.0] * 20 + [1000.0] * 60,
        "each_AcquisitionNumber": [1] * 20 + [1] * 20 + [2] * 20 + [3] * 20,
    }
    write_series(tmp_path / "in", repeated(store("axial"), 4), **elements)
    found, _ = volumes_of(tmp_path / "in")
    assert list(map(len, found.values())) == [20, 20, 20, 20]
    assert (
        any("b-value 0 s/mm2" in name for name in found)
        and sum("b-value 1000 s/mm2" in name or "acquisition" in name for name in found) >= 3
    )


def test_g4_two_fields_of_view(store, write_series, tmp_path):
    narrow = store("axial")
    narrow.spacing = (0.3, 0.2)
    write_series(tmp_path / "in", "axial", SeriesInstanceUID="1.2.9", FrameOfReferenceUID="1.2.8")
    write_series(
        tmp_path / "in", narrow, prefix="narrow", SeriesInstanceUID="1.2.9", FrameOfReferenceUID="1.2.8"
    )
    found, _ = volumes_of(tmp_path / "in")
    assert {name: len(files) for name, files in found.items()} == {
        "spacing 0.75 x 0.5 mm": 20,
        "spacing 0.3 x 0.2 mm": 20,
    }


@pytest.mark.parametrize("new_uids", [False, True])
def test_g4_a_series_sent_twice_counts_once(new_uids, store, write_series, tmp_path):
    files = write_series(
        tmp_path / "in" / "first", "axial", SeriesInstanceUID="1.2.9", FrameOfReferenceUID="1.2.8"
    )
    (tmp_path / "in" / "again").mkdir()
    for path in files:
        dataset = pydicom.dcmread(path)
        if new_uids:
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        dataset.save_as(tmp_path / "in" / "again" / path.name)
    found, inputs = volumes_of(tmp_path / "in")
    assert (
        list(map(len, found.values())) == [20] and "20 copies of a DICOM image" in inputs.manifest.account[-1]
    )
    assert len(read_volume(tmp_path / "in").array) == 20


def test_g4_two_acquisitions_interleaved_or_apart(store, write_series, tmp_path):
    for name, shift in {"interleaved": 0.3, "apart": 60.0}.items():
        both = repeated(store("axial"), 2)
        both.positions[20:] += (0, 0, shift)
        write_series(tmp_path / name, both, each_AcquisitionNumber=[1] * 20 + [2] * 20)
        found, _ = volumes_of(tmp_path / name)
        assert {words: len(files) for words, files in found.items()} == {
            "acquisition 1": 20,
            "acquisition 2": 20,
        }, name
    write_series(tmp_path / "stepwise", "axial", each_AcquisitionNumber=list(range(20)))
    assert len(volumes_of(tmp_path / "stepwise")[0]) == 1, (
        "a number for each rotation is no volume for each rotation"
    )


def test_g4_what_nothing_tells_apart_is_refused(store, write_series, tmp_path):
    write_series(tmp_path / "in", repeated(store("axial"), 2), SeriesInstanceUID="1.2.9")
    write_series(tmp_path / "in" / "good", "axial")
    found, inputs = volumes_of(tmp_path / "in")
    assert list(map(len, found.values())) == [20]
    assert (
        len(inputs.failures) == 1
        and "2 images at one position" in inputs.failures[0]
        and "Keep one image per position" in inputs.failures[0]
    )
    (tmp_path / "in" / "labels.csv").write_text("SeriesInstanceUID,label\n1.2.9,1\n")
    with pytest.raises(DataError, match="1 series cannot be separated into volumes"):
        recognize(tmp_path / "in")


def test_g5_uneven_slices_count_half_the_gap_to_each_neighbour(
    bright_run, marked, head, store, write_series, tmp_path
):
    def at(heights):
        stored = store("axial")
        stored.images = stored.images[: len(heights)]
        stored.positions = stored.positions[0] + np.outer(heights, [0, 0, 1.0])
        return stored

    four_then_seven = np.r_[np.arange(10) * 4.0, 36 + np.arange(1, 11) * 7.0]
    lost = np.delete(np.arange(20) * 4.0, 9)
    hole = np.r_[np.arange(10) * 4.0, 36 + 20.0 + np.arange(10) * 4.0]
    for name, heights in {"uneven": four_then_seven, "lost": lost, "hole": hole}.items():
        write_series(tmp_path / "in" / name, at(heights))
    call = marked(bright_run, tmp_path / "in", formats="png")
    pixels = (head >= 150).sum((1, 2))
    weights = np.array([4.0] * 9 + [5.5] + [7.0] * 10)
    row = call.volume("uneven")
    assert float(row["marked_ml"]) == pytest.approx(float(pixels @ weights) * 0.375 / 1000, rel=1e-5)
    assert (
        row["ml_note"] == "uneven gaps between slices (usually 7.00 mm, once 4.00 mm); "
        "every slice counts for half of the gap to each neighbour"
    )
    weights = np.array([4.0] * 8 + [6.0, 6.0] + [4.0] * 9)
    assert float(call.volume("lost")["marked_ml"]) == pytest.approx(
        float(pixels[:19] @ weights) * 0.375 / 1000, rel=1e-5
    )
    row = call.volume("hole")
    assert (
        row["marked_ml"] == ""
        and row["ml_note"]
        == "uneven gaps between slices (usually 4.00 mm, once 20.00 mm): slices are missing"
    )
    assert "slices are missing, so no ml" in call.stdout


def test_g8_two_views_in_one_series_are_two_pictures(bright_xray_run, marked, head, write_image, tmp_path):
    elements = {
        "SOPClassUID": DIGITAL_XRAY,
        "Modality": "DX",
        "FrameOfReferenceUID": None,
        "ImagerPixelSpacing": [0.5, 0.25],
    }
    for number, (view, image) in enumerate({"PA": head[5], "LL": head[12]}.items(), start=1):
        write_image(
            tmp_path / "chest" / f"{view}.dcm", image, ViewPosition=view, InstanceNumber=number, **elements
        )
    call = marked(bright_xray_run, tmp_path / "chest", formats="png")
    assert call.code == 0, call.stderr
    rows = {row["volume"]: row for row in call.table("volumes.csv")}
    for view, image in {"PA": head[5], "LL": head[12]}.items():
        row = rows[f"{view}.dcm"]
        assert row["slices"] == "1" and float(row["area_mm2"]) == pytest.approx((image >= 150).sum() * 0.125)
    (tmp_path / "chest" / "labels.csv").write_text("StudyInstanceUID,label\n1.2.3,1\n")
    assert len(group_cases(recognize(tmp_path / "chest"))) == 2
