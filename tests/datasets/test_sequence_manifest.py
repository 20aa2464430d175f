"""Labelled studies of several series or files: columns of a manifest, tables of labels, preparation."""

import dataclasses
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom.uid import generate_uid

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.manifest import read_manifest, write_manifest
from clamnet_tf.datasets.sequence_manifest import with_sequences
from clamnet_tf.datasets.unlabelled_inputs import find_inputs
from clamnet_tf.errors import DataError
from clamnet_tf.evaluation.original_slices import original_slices
from clamnet_tf.preprocessing.cache import prepare
from clamnet_tf.recipe.catalogue import load_recipe

sys.path.insert(0, str(Path(__file__).parent))
from test_sequences import AXIAL, FLAGSHIP, write_nifti, write_series

SHAPE = (24, 28, 8)
NAMES = ("t1", "flair", "t1ce")
HEADER = ["image_pre_contrast_t1", "image_FLAIR", "image_post_contrast_t1", "patient", "label"]


def write_patients(root):
    for number, patient in enumerate(("p1", "p2")):
        for channel, name in enumerate(NAMES):
            path = root / patient / f"{patient}_{name}.nii.gz"
            write_nifti(path, AXIAL, SHAPE, np.eye(3)[channel] * (number + 1))


def test_columns_of_a_manifest_are_channels(tmp_path, write_csv):
    write_patients(tmp_path)
    rows = [
        [*(f"{patient}/{patient}_{name}.nii.gz" for name in NAMES), patient, number]
        for number, patient in enumerate(("p1", "p2"))
    ]
    rows[1][0] = ""
    write_csv(tmp_path / "manifest.csv", HEADER, rows)
    plain = recognize(tmp_path)
    assert [case.image.name for case in plain.cases] == ["p1_t1.nii.gz", "p2_flair.nii.gz"], "the first"
    manifest = with_sequences(plain, FLAGSHIP)
    assert [case.image.name for case in manifest.cases] == ["p1_flair.nii.gz", "p2_flair.nii.gz"]
    assert [len(case.sequences.files) for case in manifest.cases] == [3, 2]
    write_manifest(manifest, tmp_path / "again.csv")
    assert with_sequences(read_manifest(tmp_path / "again.csv"), FLAGSHIP).cases == manifest.cases
    [first, second] = find_inputs([tmp_path / "manifest.csv"], sequences=FLAGSHIP).manifest.cases
    assert (first.sequences, second.sequences) == tuple(case.sequences for case in manifest.cases)
    two = ["image_t1", "image_flair", "patient", "label"]
    write_csv(tmp_path / "manifest.csv", two, [["", "", "p1", 0]])
    with pytest.raises(DataError, match="image_t1: is empty"):
        recognize(tmp_path)
    write_csv(tmp_path / "manifest.csv", two, [["p1/p1_t1.nii.gz", "p1/p1_flair.nii.gz", "p1", 0]])
    expected = "expected the columns image_pre_contrast_t1, image_flair, image_post_contrast_t1"
    with pytest.raises(DataError, match=expected):
        with_sequences(recognize(tmp_path), FLAGSHIP)


def test_a_label_may_stand_at_any_file_of_a_study(tmp_path, write_csv):
    write_patients(tmp_path)
    rows = [["p1/p1_flair.nii.gz", "p1", 0], ["p2/p2_t1ce.nii.gz", "p2", 1]]
    write_csv(tmp_path / "labels.csv", ["image", "patient", "label"], rows)
    manifest = with_sequences(recognize(tmp_path), FLAGSHIP)
    assert [(case.image.name, case.label) for case in manifest.cases] == [
        ("p1_flair.nii.gz", 0),
        ("p2_flair.nii.gz", 1),
    ]
    assert all(len(case.sequences.files) == 3 for case in manifest.cases)
    assert "(pre-contrast T1, FLAIR, post-contrast T1): 2;" in manifest.account[-1]
    rows = [["p1/p1_t1.nii.gz", "p1", 0, 3]]
    write_csv(tmp_path / "labels.csv", ["image", "patient", "label", "slice"], rows)
    with pytest.raises(DataError, match="single slices; expected them at the reference sequence FLAIR"):
        with_sequences(recognize(tmp_path), FLAGSHIP)


def test_labels_of_dicom_studies(tmp_path, write_csv, rng):
    studies = [generate_uid(), generate_uid()]
    for number, study in enumerate(studies):
        for name, description in zip(NAMES, ("T1", "FLAIR", "T1 POST")):
            values = rng.integers(0, 1000, (5, 24, 20))
            folder = tmp_path / f"s{number}" / name
            write_series(folder, values, description, study, PatientID=f"P{number}")
    rows = [[studies[0], 0], [studies[1], 1]]
    write_csv(tmp_path / "labels.csv", ["StudyInstanceUID", "label"], rows)
    manifest = with_sequences(recognize(tmp_path), FLAGSHIP)
    assert len(manifest.cases) == 10 and {case.image.parent.name for case in manifest.cases} == {"flair"}
    assert all(len(case.sequences.files) == 15 for case in manifest.cases)
    assert sorted(case.label for case in manifest.cases) == [0] * 5 + [1] * 5


def test_prepared_slices_are_those_of_one_image_of_all_channels(tmp_path, write_csv):
    """As three files, and as one file of four dimensions, a study is prepared and shown alike."""
    write_patients(tmp_path / "files")
    (tmp_path / "whole").mkdir()
    rows: dict[str, list] = {"files": [], "whole": []}
    for patient in ("p1", "p2"):
        parts = [nibabel.load(tmp_path / "files" / patient / f"{patient}_{name}.nii.gz") for name in NAMES]
        nibabel.save(nibabel.concat_images(parts), tmp_path / "whole" / f"{patient}.nii.gz")
        rows["whole"].append([f"{patient}.nii.gz", patient, 0])
        rows["files"].append([f"{patient}/{patient}_flair.nii.gz", patient, 0])
    recipe = load_recipe("mri_carcinoma", ["data.side=16", "organ.method=none"])
    prepared, shown = [], []
    for folder in ("files", "whole"):
        write_csv(tmp_path / folder / "labels.csv", ["image", "patient", "label"], rows[folder])
        manifest = with_sequences(recognize(tmp_path / folder), FLAGSHIP)
        slices = prepare(manifest, data=recipe.data, organ=recipe.organ, cache=tmp_path / "cache")
        prepared.append(np.asarray(slices.images[:]))
        shown.append(original_slices(manifest, slices, [0, 5, 9], recipe.data))
    np.testing.assert_array_equal(*prepared)
    assert prepared[0].shape == (16, 16, 16, 3)
    for (ours, our_number), (theirs, their_number) in zip(*shown):
        np.testing.assert_array_equal(ours, theirs)
        assert our_number == their_number


def test_a_recipe_without_sequences_changes_nothing(tmp_path, write_csv):
    write_patients(tmp_path)
    rows = [[f"p{number}/p{number}_flair.nii.gz", f"p{number}", number - 1] for number in (1, 2)]
    write_csv(tmp_path / "labels.csv", ["image", "patient", "label"], rows)
    manifest = recognize(tmp_path)
    assert with_sequences(manifest, None) is manifest
    unknown = dataclasses.replace(FLAGSHIP, sequences=(dataclasses.replace(FLAGSHIP.sequences[0], files=()),))
    assert with_sequences(manifest, unknown).cases == manifest.cases


def test_sequences_that_count_as_images_are_noticed(tmp_path, write_csv):
    write_patients(tmp_path)
    header = ["image", "patient", "label"]
    for names, told in ((NAMES, True), (("flair",), False)):
        rows = [[f"{p}/{p}_{name}.nii.gz", p, p[1]] for p in ("p1", "p2") for name in names]
        write_csv(tmp_path / "manifest.csv", header, rows)
        manifest = with_sequences(recognize(tmp_path), None)
        lines = [line for line in manifest.account if "data.sequences makes them" in line]
        assert len(lines) == told and len(manifest.cases) == len(rows)
        assert not told or "2 studies have several sequences (p1_t1.nii.gz and p1_t1ce.nii.gz)" in lines[0]
