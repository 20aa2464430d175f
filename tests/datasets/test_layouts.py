"""Folders that are recognised, their account, and folders that are refused."""

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from clamnet_tf.datasets.layouts.classes import patient_of_name
from clamnet_tf.datasets.layouts.label_words import class_numbers, is_normal
from clamnet_tf.datasets.layouts.listing import natural_key
from clamnet_tf.datasets.layouts.recognition import DESCRIPTIONS, LAYOUTS, recognize
from clamnet_tf.errors import DataError


def by_name(manifest):
    return {case.image.relative_to(manifest.root).as_posix(): case for case in manifest.cases}


def test_natural_order():
    names = ["s10", "s2", "S1", "s02", "a", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "S1", "s02", "s2", "s10"]


def test_every_layout_is_described():
    assert list(LAYOUTS) == list(DESCRIPTIONS)


@pytest.mark.parametrize(
    "name",
    [
        "NORMAL",
        "normal",
        "Healthy",
        "negative",
        "no_finding",
        "No Finding",
        "healthy volunteers",
        "notumor",
        "0",
        "no",
    ],
)
def test_words_for_normal(name):
    assert is_normal(name)


@pytest.mark.parametrize(
    "name", ["abnormal", "PNEUMONIA", "nodule", "positive", "1", "yes", "non-covid", "nonsense", "not normal"]
)
def test_words_for_abnormal(name):
    assert not is_normal(name)


def test_class_numbers():
    assert class_numbers(["viral", "NORMAL", "Bacterial"]) == {"viral": 2, "NORMAL": 0, "Bacterial": 1}


@pytest.mark.parametrize(
    "name, patient",
    [
        ("person12_bacteria_47.jpeg", "person12"),
        ("IM-0115-0001.jpeg", "IM-0115"),
        ("NORMAL2-IM-0115-0001.jpeg", "NORMAL2-IM-0115"),
        ("TCGA_CS_4941_19960909_1.tif", "TCGA_CS_4941_19960909"),
        ("patient_07_left.png", "patient_07"),
        ("1.png", None),
        ("impersonal3_x.png", None),
    ],
)
def test_patient_of_a_file_name(name, patient):
    assert patient_of_name(name) == patient


# kaggle_3m


def test_kaggle_3m(make_kaggle):
    root = make_kaggle(slices=12)
    manifest = recognize(root)
    assert manifest.layout == "kaggle_3m" and len(manifest.cases) == 24
    first = [case for case in manifest.cases if case.patient.endswith("0001_19990101")]
    assert [case.position for case in first] == [float(n) for n in range(1, 13)]
    assert [case.label for case in first] == [0] * 4 + [1] * 4 + [0] * 4
    assert {case.site for case in manifest.cases} == {"CS", "DU"}
    assert all(
        case.mask.name == case.image.stem + "_mask.tif" and case.series == case.patient
        for case in manifest.cases
    )
    text = "\n".join(manifest.account)
    assert (
        "24 slices of 2 patients" in text
        and "8 slices abnormal" in text
        and "read for this label only" in text
    )


def test_kaggle_3m_below_another_folder(make_kaggle):
    root = make_kaggle(name="download/kaggle_3m")
    assert recognize(root.parent).layout == "kaggle_3m"


def test_kaggle_3m_without_a_mask(make_kaggle):
    root = make_kaggle()
    next(root.rglob("*_3_mask.tif")).unlink()
    with pytest.raises(DataError, match=r"1 image\(s\) have no mask:\n.*_3.tif"):
        recognize(root)


def test_kaggle_3m_with_a_second_copy_beside_it(make_kaggle):
    root = make_kaggle(name="zip/kaggle_3m", slices=3)
    make_kaggle(name="zip/again/kaggle_3m", slices=3)
    with pytest.raises(
        DataError,
        match=r"12 slice\(s\) of a patient are there twice:\n  again/kaggle_3m/.*_1.tif and kaggle_3m/",
    ):
        recognize(root.parent)


# class folders


def test_class_folders_with_sides_and_patients(make_pictures):
    root = make_pictures(
        {
            "chest/train/NORMAL/IM-0001-0001.png": {},
            "chest/train/NORMAL/IM-0001-0002.png": {},
            "chest/train/PNEUMONIA/person10_virus_2.png": {},
            "chest/val/NORMAL/NORMAL2-IM-0001-0001.png": {},
            "chest/test/PNEUMONIA/person2_bacteria_1.png": {},
        }
    )
    manifest = recognize(root)
    cases = by_name(manifest)
    assert manifest.layout == "class_folders"
    assert [(c.patient, c.label, c.split) for c in cases.values()] == [
        ("person2", 1, "test"),
        ("IM-0001", 0, "train"),
        ("IM-0001", 0, "train"),
        ("person10", 1, "train"),
        ("NORMAL2-IM-0001", 0, "val"),
    ]
    assert "ATTENTION" not in "\n".join(manifest.account)


def test_class_folders_without_patients_say_so_loudly(make_pictures):
    manifest = recognize(
        make_pictures({"healthy/2.png": {}, "healthy/10.png": {}, "tumour/2.png": {}, "oedema/2.png": {}})
    )
    assert [(c.image.name, c.patient, c.label) for c in manifest.cases] == [
        ("2.png", "healthy/2.png", 0),
        ("10.png", "healthy/10.png", 0),
        ("2.png", "oedema/2.png", 1),
        ("2.png", "tumour/2.png", 2),
    ]
    assert "ATTENTION: 4 images have no recognisable patient" in "\n".join(manifest.account)


def test_folders_below_a_class_are_patients_and_masks_are_no_images(make_pictures):
    root = make_pictures(
        {
            "normal/ann/1.png": {},
            "benign/bob/1.png": {},
            "benign/bob/1_mask.png": {},
            "benign/bob/1_mask_1.png": {},
        }
    )
    cases = by_name(recognize(root))
    assert {name: case.patient for name, case in cases.items()} == {
        "normal/ann/1.png": "ann",
        "benign/bob/1.png": "bob",
    }
    assert cases["benign/bob/1.png"].mask == root / "benign/bob/1_mask.png"


@pytest.mark.parametrize(
    "paths", [["NORMAL/1.png", "NORMAL/2.png"], ["train/PNEUMONIA/1.png"], ["normal/1.png", "healthy/1.png"]]
)
def test_one_class_only(make_pictures, paths):
    with pytest.raises(DataError, match="one class only"):
        recognize(make_pictures({path: {} for path in paths}))


# CSV and images


def test_csv_and_images(make_pictures, write_csv):
    root = make_pictures(
        {f"images/p{n}.png": {} for n in (1, 2, 10)} | {"lesions/p1.png": {}, "images/unlisted.png": {}}
    )
    rows = [
        ["p1", "7", "COVID-19", "11", "lesions/p1.png", "x"],
        ["images/p2.png", "7", "No Finding", "3", "", "y"],
        ["p10.png", "8", "", "4", "", "z"],
    ]
    write_csv(root / "index.csv", ["Image", "Patient_ID", "Finding", "slice", "mask", "License"], rows)
    manifest = recognize(root)
    assert manifest.layout == "csv_images"
    assert [(c.image.name, c.patient, c.label, c.position, c.slice_index) for c in manifest.cases] == [
        ("p1.png", "7", 1, 11.0, None),
        ("p2.png", "7", 0, 3.0, None),
        ("p10.png", "8", None, 4.0, None),
    ]
    assert (
        manifest.cases[0].image.parent.name == "images" and manifest.cases[0].mask == root / "lesions/p1.png"
    )
    text = "\n".join(manifest.account)
    assert "3 of 5 images" in text and "not used: License" in text and "COVID-19 = 1" in text


def test_labels_from_elsewhere(make_pictures, write_csv, tmp_path):
    root = make_pictures({"a.png": {}, "b.png": {}})
    table = write_csv(
        tmp_path / "elsewhere.csv",
        ["filename", "patient", "label"],
        [["a.png", "p", "0"], ["b.png", "q", "1.0"]],
    )
    assert [case.label for case in recognize(root, table).cases] == [0, 1]


def test_csv_naming_missing_files_and_ambiguous_ones(make_pictures, write_csv):
    root = make_pictures({"x/a.png": {}, "y/a.png": {}, "b.png": {}})
    write_csv(
        root / "labels.csv",
        ["image", "patient", "label", "eta"],
        [["gone.png", "p", "0", ""], ["a.png", "p", "1", ""], ["b.png", "p", "1", "2"]],
    )
    with pytest.raises(DataError) as caught:
        recognize(root)
    text = str(caught.value)
    assert "3 problem(s)" in text
    assert "line 2: image: no such file: 'gone.png' (searched below" in text
    assert "line 3: image: 'a.png' could be any of 2 files (x/a.png, y/a.png" in text
    assert "line 4: eta: expected a probability" in text


@pytest.mark.parametrize(
    "labels, message",
    [
        (["0", "sick"], "line 3: label: expected a whole number as in the other rows, received 'sick'"),
        (["benign", "malignant"], "no label means normal"),
    ],
)
def test_csv_with_unclear_labels(make_pictures, write_csv, labels, message):
    root = make_pictures({"a.png": {}, "b.png": {}})
    write_csv(root / "labels.csv", ["image", "label"], [["a.png", labels[0]], ["b.png", labels[1]]])
    with pytest.raises(DataError, match=message):
        recognize(root)


def test_several_tables(make_pictures, write_csv):
    root = make_pictures({"a.png": {}, "b.png": {}})
    for name in ("one.csv", "two.csv"):
        write_csv(root / name, ["image", "label"], [["a.png", "0"], ["b.png", "1"]])
    with pytest.raises(
        DataError, match=r"several tables could hold the labels: one.csv, two.csv; choose one with --labels"
    ):
        recognize(root)
    write_csv(root / "labels.csv", ["image", "label"], [["a.png", "1"], ["b.png", "0"]])
    assert [case.label for case in recognize(root).cases] == [1, 0]


def test_table_without_a_label_column(make_pictures, write_csv, tmp_path):
    root = make_pictures({"a.png": {}})
    table = write_csv(tmp_path / "t.csv", ["image", "haemorrhage"], [["a.png", "0"]])
    with pytest.raises(DataError, match=r"has no label column \(columns: image, haemorrhage\)"):
        recognize(root, table)


# NIfTI


@pytest.fixture
def nifti_folder(tmp_path, rng):
    root = tmp_path / "nifti"
    root.mkdir()
    for name in ("sub-1.nii.gz", "sub-2.nii"):
        nibabel.save(
            nibabel.Nifti1Image(rng.normal(100, 9, (16, 16, 5)).astype(np.float32), np.eye(4)), root / name
        )
    return root


def test_nifti_with_labels_per_slice(nifti_folder, write_csv):
    rows = [["sub-1", "a", "3", "1"], ["sub-1", "a", "0", "0"], ["sub-2.nii", "b", "2", "0"]]
    write_csv(nifti_folder / "labels.csv", ["volume", "patient", "slice", "label"], rows)
    manifest = recognize(nifti_folder)
    assert manifest.layout == "nifti_csv"
    assert [(c.image.name, c.slice_index, c.label) for c in manifest.cases] == [
        ("sub-1.nii.gz", 3, 1),
        ("sub-1.nii.gz", 0, 0),
        ("sub-2.nii", 2, 0),
    ]


def test_nifti_with_labels_per_patient(nifti_folder, write_csv):
    write_csv(
        nifti_folder / "participants.tsv", ["participant_id", "label"], [["sub-1", "1"], ["sub-2", "0"]]
    )
    manifest = recognize(nifti_folder)
    assert [(c.image.name, c.patient, c.slice_index, c.label) for c in manifest.cases] == [
        ("sub-1.nii.gz", "sub-1", None, 1),
        ("sub-2.nii", "sub-2", None, 0),
    ]
    assert "labels are per volume" in "\n".join(manifest.account)


def test_nifti_without_labels(nifti_folder):
    with pytest.raises(DataError, match="2 NIfTI volumes but no table of their labels"):
        recognize(nifti_folder)


# DICOM


@pytest.fixture
def dicom_folder(tmp_path):
    """Return a folder of two studies: A has 3 slices stored in the wrong order, B one slice; a report lies
    beside them.
    """
    root = tmp_path / "dicom"
    root.mkdir()
    sample = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    uids = {}
    for study, heights in (("A", (30.0, 10.0, 20.0)), ("B", (0.0,))):
        sample.StudyInstanceUID, sample.SeriesInstanceUID = generate_uid(), generate_uid()
        sample.PatientID, sample.InstitutionName = f"patient {study}", "Clinic"
        uids[study] = sample.StudyInstanceUID
        for number, height in enumerate(heights):
            sample.SOPInstanceUID = sample.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            sample.ImagePositionPatient = [0, 0, height]
            uids[study, height] = sample.SOPInstanceUID
            uids["series", study] = sample.SeriesInstanceUID
            sample.save_as(root / (f"{study}{number}.dcm" if number else f"{study}{number}"))
    (root / "notes.txt").write_text("hello")
    return root, uids


def test_dicom_tree_by_study(dicom_folder, write_csv):
    root, uids = dicom_folder
    write_csv(root / "any.csv", ["studyInstanceUID", "Label"], [[uids["A"], "1"], [uids["B"], "0"]])
    manifest = recognize(root)
    assert manifest.layout == "dicom_tree"
    assert [(c.image.name, c.patient, c.label, c.position, c.site) for c in manifest.cases] == [
        ("A0", "patient A", 1, 30.0, "Clinic"),
        ("A1.dcm", "patient A", 1, 10.0, "Clinic"),
        ("A2.dcm", "patient A", 1, 20.0, "Clinic"),
        ("B0", "patient B", 0, 0.0, "Clinic"),
    ]
    assert len({case.series for case in manifest.cases}) == 2
    assert "the label of a study counts for each of its slices" in "\n".join(manifest.account)


def test_dicom_tree_by_instance_leaves_the_rest_out(dicom_folder, write_csv):
    root, uids = dicom_folder
    write_csv(
        root / "labels.csv",
        ["SOPInstanceUID", "StudyInstanceUID", "label"],
        [[uids["A", 10.0], uids["A"], "1"], [uids["B", 0.0], uids["B"], "0"]],
    )
    manifest = recognize(root)
    assert [case.image.name for case in manifest.cases] == ["A1.dcm", "B0"]
    assert "2 images have no row in the table" in "\n".join(manifest.account)


def test_dicom_tree_by_series_with_patient_and_split(dicom_folder, write_csv):
    root, uids = dicom_folder
    rows = [[uids["series", "A"], "1", "ann", "train"], [uids["series", "B"], "0", "bob", "validation"]]
    write_csv(root / "labels.csv", ["series_uid", "label", "patient", "split"], rows)
    assert {(case.patient, case.split) for case in recognize(root).cases} == {
        ("ann", "train"),
        ("bob", "val"),
    }


def test_dicom_table_with_unknown_and_contradictory_rows(dicom_folder, write_csv):
    root, uids = dicom_folder
    write_csv(root / "labels.csv", ["study", "label"], [["1.2.3", "1"], [uids["A"], "1"], [uids["A"], "0"]])
    with pytest.raises(DataError) as caught:
        recognize(root)
    assert "line 2: study: no DICOM file below the folder has '1.2.3'" in str(caught.value)
    assert f"line 4: study: '{uids['A']}' is labelled '0' here and differently in line 3" in str(caught.value)


def test_dicom_instance_in_two_files(dicom_folder, write_csv):
    root, uids = dicom_folder
    (root / "copy.dcm").write_bytes((root / "A1.dcm").read_bytes())
    write_csv(root / "labels.csv", ["study", "label"], [[uids["A"], "1"], [uids["B"], "0"]])
    with pytest.raises(DataError, match="the same SOP instance stands in two files.*\n.*A1.dcm and copy.dcm"):
        recognize(root)


def test_a_jpeg_called_dcm(dicom_folder, write_csv, make_pictures):
    root, uids = dicom_folder
    picture = make_pictures({"x.jpg": {}}) / "x.jpg"
    (root / "fake.dcm").write_bytes(picture.read_bytes())
    write_csv(root / "labels.csv", ["study", "label"], [[uids["A"], "1"], [uids["B"], "0"]])
    with pytest.raises(DataError, match=r"1 file\(s\) cannot be read as DICOM.*\n.*fake.dcm"):
        recognize(root)


def test_dicom_without_labels(dicom_folder):
    with pytest.raises(DataError, match="4 DICOM files but no table of their labels"):
        recognize(dicom_folder[0])


# manifests, and nothing


def test_manifest_file_and_its_folder(make_pictures, write_csv):
    root = make_pictures({"NORMAL/a.png": {}, "SICK/b.png": {}})
    write_csv(root / "manifest.csv", ["image", "patient", "label"], [["NORMAL/a.png", "p", "0"]])
    assert recognize(root).layout == recognize(root / "manifest.csv").layout == "manifest"
    assert len(recognize(root).cases) == 1


def test_missing_and_empty_folder(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        recognize(tmp_path / "none")
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    (tmp_path / "empty" / ".hidden").write_text("x")
    with pytest.raises(DataError, match="the folder is empty"):
        recognize(tmp_path / "empty")


def test_a_folder_nobody_recognises(tmp_path):
    for name in ("a.txt", "b.txt", "c.mp4", "sub/d"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_text("x")
    with pytest.raises(DataError) as caught:
        recognize(tmp_path / "f")
    text = str(caught.value)
    assert "2 .txt, 1 .mp4, 1 (no suffix)" in text and "sub (1 files)" in text
    assert all(f"  {name}: " in text for name in LAYOUTS)


def test_symbolic_links_are_followed_but_not_in_circles(make_pictures, tmp_path):
    root = make_pictures({"normal/1.png": {}, "sick/1.png": {}})
    (root / "sick" / "again").symlink_to(root)
    (tmp_path / "link").symlink_to(root)
    assert len(recognize(tmp_path / "link").cases) == 2
