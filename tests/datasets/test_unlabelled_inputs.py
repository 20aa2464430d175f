"""The inputs of predict as volumes: grouping, names of results, skipped files and refused ones."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from clamnet_tf.datasets.unlabelled_inputs import RESULT_COLUMNS, find_inputs
from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing.volumes import group_cases


def volumes(inputs):
    """Return [[names of the files, in the order of slices] per volume]."""
    return [
        [inputs.manifest.cases[case].image.name for case in group.cases]
        for group in group_cases(inputs.manifest)
    ]


def text(inputs):
    return "\n".join(inputs.manifest.account)


@pytest.fixture
def make_series(tmp_path):
    """Return a function: make_series(folder, heights, **attributes) -> paths of one DICOM series.

    File names are in the opposite order of positions.
    """

    def make(folder="dicom", heights=(0.0, 2.0, 4.0), suffix=".dcm", **attributes):
        sample = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        sample.SeriesInstanceUID = generate_uid()
        for name, value in attributes.items():
            setattr(sample, name, value)
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        paths = []
        for number, height in enumerate(heights):
            sample.SOPInstanceUID = sample.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            sample.ImagePositionPatient = [0, 0, height]
            paths.append(tmp_path / folder / f"im{len(heights) - number}{suffix}")
            sample.save_as(paths[-1])
        return paths

    return make


# pictures


def test_numbered_pictures_of_a_folder_are_one_volume(make_pictures):
    names = [
        "head_10.png",
        "head_9.png",
        "head_2.png",
        "other.png",
        "knee-1.png",
        "knee-2.png",
        "sub/head_1.png",
    ]
    folder = make_pictures({name: {} for name in names})
    found = find_inputs([folder])
    assert volumes(found) == [
        ["head_2.png", "head_9.png", "head_10.png"],
        ["knee-1.png", "knee-2.png"],
        ["other.png"],
        ["head_1.png"],
    ]
    assert set(found.volumes) == {"head_<n>.png", "knee-<n>.png", "other.png", "sub/head_1.png"}
    assert (
        "head_<n>.png: 3 pictures of 48 x 40, n = 2 to 10, 6 number(s) between them missing, one volume"
        in text(found)
    )
    assert "Pictures, each a volume of its own: 2\n  other.png\n  sub/head_1.png" in text(found)
    assert (
        all(case.label is None and case.mask is None for case in found.manifest.cases) and not found.failures
    )


def test_size_channels_and_suffix_part_volumes(make_pictures):
    wide = {"height": 56}
    folder = make_pictures(
        {
            "a_1.png": {},
            "a_2.png": {},
            "a_3.png": wide,
            "a_4.png": wide,
            "a_5.png": {"channels": 3},
            "a_6.jpg": {},
        }
    )
    found = find_inputs([folder])
    assert volumes(found) == [["a_1.png", "a_2.png"], ["a_3.png", "a_4.png"], ["a_5.png"], ["a_6.jpg"]]
    assert "a_<n>.png of 56 x 40, 1 channel(s)" in found.volumes


def test_an_x_ray_has_no_slices(make_pictures):
    folder = make_pictures({"a_1.png": {}, "a_2.png": {}})
    assert volumes(find_inputs([folder], stacks=False)) == [["a_1.png"], ["a_2.png"]]


def test_files_of_several_slices_are_volumes_of_their_own(tmp_path, rng):
    for number in (1, 2):
        tifffile.imwrite(
            tmp_path / f"scan_{number}.tif",
            rng.integers(0, 99, (3, 16, 16)).astype(np.uint8),
            photometric="minisblack",
        )
        nibabel.save(
            nibabel.Nifti1Image(np.zeros((16, 16, 3), np.uint8), np.eye(4)),
            tmp_path / f"scan_{number}.nii.gz",
        )
    assert len(volumes(find_inputs([tmp_path]))) == 4


def test_masks_are_passed_over(make_kaggle):
    folder = make_kaggle(patients=("TCGA_CS_0001_19990101",), slices=4)
    pattern = sorted((folder / "TCGA_CS_0001_19990101").glob("*.tif"))
    for given in ([folder], pattern):  # as a folder, and as the shell writes folder/*.tif
        found = find_inputs(given)
        assert volumes(found) == [[f"TCGA_CS_0001_19990101_{number}.tif" for number in range(1, 5)]]
        assert "Skipped: 4 masks (<name>_mask.*)." in text(found)
    assert volumes(find_inputs([pattern[1]])) == [[pattern[1].name]], (
        "a mask that is given alone is what is wanted"
    )


def test_files_given_one_by_one_form_the_same_volumes(make_pictures):
    folder = make_pictures({"a_1.png": {}, "a_2.png": {}, "b_1.png": {}})
    assert volumes(find_inputs([folder / "a_2.png", folder / "b_1.png", folder / "a_1.png"])) == [
        ["a_1.png", "a_2.png"],
        ["b_1.png"],
    ]


def test_the_same_file_counts_once(make_pictures):
    folder = make_pictures({"a.png": {}})
    assert (
        len(
            find_inputs(
                [folder, folder / "a.png", folder / ".." / folder.name / "a.png", folder]
            ).manifest.cases
        )
        == 1
    )


def test_a_damaged_slice_is_told_and_the_others_stay(make_pictures):
    folder = make_pictures({f"a_{number}.png": {} for number in (1, 2, 3)})
    content = (folder / "a_2.png").read_bytes()
    (folder / "a_2.png").write_bytes(content[: len(content) // 2])
    found = find_inputs([folder])
    assert volumes(found) == [["a_1.png", "a_3.png"]]
    assert len(found.failures) == 1 and found.failures[0].startswith(
        f"{folder / 'a_2.png'}: damaged or cut off picture"
    )
    assert found.failures[0].endswith("The volume it belongs to is marked without it.")


# DICOM


def test_a_dicom_series_is_one_volume_in_the_order_of_positions(make_series, tmp_path):
    first, second = make_series(), make_series("dicom/deep", suffix="", PatientID="other")
    shutil.copy(first[0], tmp_path / "dicom" / "copy.dcm")
    (tmp_path / "dicom" / "notes.txt").write_text("x")
    found = find_inputs([tmp_path / "dicom"])
    assert sorted(volumes(found)) == [["copy.dcm", "im2.dcm", "im1.dcm"], ["im3", "im2", "im1"]]
    assert "Skipped: 1 files that are not images, 1 copies of a DICOM image." in text(found)
    assert "deep: DICOM series" in text(found) and "3 files, one volume" in text(found)
    assert [case.position for case in found.manifest.cases if case.image in second] == [4.0, 2.0, 0.0]


def test_a_slice_of_another_orientation_is_set_aside(make_series):
    uid = generate_uid()
    make_series(heights=(0.0, 2.0), SeriesInstanceUID=uid)
    stray = make_series(
        "dicom/b", heights=(0.0,), SeriesInstanceUID=uid, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]
    )[0]
    folder = make_series("other", heights=(0.0,))[0].parent.parent
    found = find_inputs([folder])
    assert [len(volume) for volume in volumes(found)] == [2, 1] and stray not in [
        case.image for case in found.manifest.cases
    ]
    assert "ATTENTION: 1 DICOM images belong to no volume" in text(found)
    assert "dicom/b/im1.dcm was set aside: sagittal beside axial slices" in text(found)
    assert list(found.notes.values()) == [("dicom/b/im1.dcm was set aside: sagittal beside axial slices",)]


def test_dicom_that_is_none(make_series, make_pictures):
    paths = make_series()
    picture = make_pictures({"a.jpg": {}}) / "a.jpg"
    shutil.copy(picture, paths[0].parent / "photo.dcm")
    (paths[0].parent / "broken.dcm").write_bytes(b"\x01\x02\x03" * 100)
    found = find_inputs([paths[0].parent])
    assert sorted(volumes(found)) == [
        ["im3.dcm", "im2.dcm", "im1.dcm"],
        ["photo.dcm"],
    ]  # the content decides: a picture
    assert (
        len(found.failures) == 1
        and "broken.dcm: the name says a DICOM file, the content is nothing that is known"
        in found.failures[0]
    )


def test_dicom_objects_that_are_no_images_and_localizers_are_passed_over(make_series, tmp_path):
    series, scout = (
        make_series(),
        make_series("dicom/scout", heights=(7.0,), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[0],
    )
    shutil.copy(get_testdata_file("rtstruct.dcm"), tmp_path / "dicom")
    found = find_inputs([tmp_path / "dicom"])
    assert len(found.manifest.cases) == len(series)
    assert (
        "1 DICOM files without an image to mark (RT Structure Set Storage), 1 DICOM localizers (name one as "
        "INPUT to mark it all the same)" in text(found)
    )
    assert volumes(find_inputs([scout])) == [[scout.name]]


def test_words_in_the_pixels_are_told(make_series):
    folder = make_series(BurnedInAnnotation="YES")[0].parent
    assert "ATTENTION: 3 images have words in their pixels (BurnedInAnnotation), perhaps a name" in text(
        find_inputs([folder])
    )


def test_names_of_patients_stay_out_of_names(make_series):
    files = make_series("dicom/DOE_JANE/19500131", PatientName="Doe^Jane", PatientBirthDate="19500131")
    files[1].rename(files[1].with_name("doe.jane.dcm"))
    folder = files[0].parents[2]
    (folder / "DOE_JANE" / "broken.dcm").write_bytes(b"no DICOM")
    found = find_inputs([folder, folder / "Doe-Jane.png"])
    said = "\n".join([text(found), *found.failures, *found.volumes, *found.names, *map(str, found.outputs)])
    assert (
        "doe" not in said.lower()
        and "/1950" not in said
        and str(found.outputs[0].parent) == "patient1/patient1"
    )
    assert "patient1/broken.dcm" in said
    kept = find_inputs([folder], keep_identifiers=True)
    assert str(kept.outputs[0].parent) == "DOE_JANE/19500131"


# names of results


def test_results_are_named_like_the_input_tree(make_pictures):
    folder = make_pictures({"a/x.png": {}, "b/x.png": {}, "b/c/x.png": {}})
    assert list(map(str, find_inputs([folder]).outputs)) == ["a/x", "b/c/x", "b/x"]
    assert list(map(str, find_inputs([folder / "b" / "x.png", folder / "a"]).outputs)) == ["b/x", "a/x"]
    assert list(map(str, find_inputs([folder / "b" / "x.png"]).outputs)) == ["x"]


def test_results_never_share_a_name(make_pictures):
    names = ["x.png", "X.jpg", "x_jpg.png", "scan_0.png", "scan.tif", "one.tif", "one-0.png"]
    folder = make_pictures({name: {} for name in names})
    found = find_inputs([folder])
    outputs = {case.image.name: str(output) for case, output in zip(found.manifest.cases, found.outputs)}
    assert outputs == {
        "x.png": "x_png",
        "X.jpg": "X_jpg",
        "x_jpg.png": "x_jpg_2",
        "scan_0.png": "scan_0",
        "scan.tif": "scan_tif",
        "one.tif": "one",
        "one-0.png": "one-0",
    }
    assert len({name.lower() for name in outputs.values()}) == len(names)


def test_a_name_full_of_dots_stays_whole(make_series):
    path = make_series(heights=(0.0,))[0]
    renamed = path.rename(path.with_name("1.2.840.10008.5"))
    assert str(find_inputs([renamed]).outputs[0]) == "1.2.840.10008.5"


def test_earlier_results_are_passed_over(make_pictures):
    folder = make_pictures(
        {"a.png": {}, "done/a_mask.png": {}, "done/deep/a_overlay.png": {}, "table/b.png": {}}
    )
    (folder / "done" / "marks.csv").write_text(",".join(RESULT_COLUMNS) + ",more\n")
    (folder / "table" / "marks.csv").write_text("pupil,mark\n")
    found = find_inputs([folder])
    assert volumes(found) == [["a.png"], ["b.png"]]
    assert "3 results of earlier predictions (folders with a marks.csv)" in text(found)


# manifests


def test_a_manifest_says_what_forms_a_volume(make_pictures, write_csv):
    folder = make_pictures({"p.png": {}, "q.png": {}, "organ.png": {}, "r_1.png": {}})
    rows = [["p.png", "A", "", "s", 2, "organ.png"], ["q.png", "A", 1, "s", 1, "organ.png"]]
    table = write_csv(
        folder / "cases.csv", ["image", "patient", "label", "series", "position", "organ"], rows
    )
    found = find_inputs([table, folder / "r_1.png"])
    assert volumes(found) == [["q.png", "p.png"], ["r_1.png"]]
    assert [case.label for case in found.manifest.cases] == [None] * 3 and found.manifest.cases[
        0
    ].organ == folder / "organ.png"
    assert found.volumes == (
        "A s",
        "A s",
        "r_1.png",
    ) and "Manifest: 2 files in 1 volumes, as its columns say." in text(found)
    assert list(map(str, found.outputs)) == ["p", "q", "r_1"]


# what cannot be used


def test_failures_do_not_hide_the_rest(make_pictures, tmp_path):
    folder = make_pictures({"good.png": {}})
    (tmp_path / "empty").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("x")
    (tmp_path / "bad.csv").write_text("image,patient\n")
    found = find_inputs([folder, "absent.png", tmp_path / "empty", tmp_path / "words", tmp_path / "bad.csv"])
    assert volumes(found) == [["good.png"]]
    parts = [
        "absent.png: there is no such file or folder",
        "empty: the folder holds no files",
        "words: no image in this folder, only 1 files that are not images",
    ]
    for part, failure in zip([*parts, "column 'label' is missing"], found.failures, strict=True):
        assert part in failure


def test_nothing_at_all(tmp_path):
    with pytest.raises(DataError, match="^absent: there is no such file or folder; check the name.$"):
        find_inputs([Path("absent")])
    with pytest.raises(
        DataError, match="None of the inputs can be used:\n  absent: .*\n  .*: the folder holds no files."
    ):
        find_inputs([Path("absent"), tmp_path])
