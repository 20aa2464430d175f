"""Which image shows the other breast of a patient, by manifest and DICOM header."""

import dataclasses
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

from clamnet_tf.datasets.contralateral import ALONE, NO_OTHER_SIDE, SEVERAL, UNKNOWN, pair_breasts
from clamnet_tf.datasets.manifest import Case, read_manifest, write_manifest
from clamnet_tf.errors import DataError


def case(name, patient="p", laterality=None, view=None, folder=Path("/nowhere")):
    return Case(image=folder / name, patient=patient, label=0, laterality=laterality, view=view)


def header(path, **elements):
    """A DICOM file of a mammogram without pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = (
        DigitalMammographyXRayImageStorageForPresentation
    )
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path.name


def test_two_pictures_of_a_patient_are_a_candidate():
    pairing = pair_breasts([case("a.png", "p"), case("b.png", "q"), case("c.png", "p")])
    assert pairing.partners == (2, None, 0)
    assert pairing.stated == (False, False, False)
    assert pairing.reasons == ("", ALONE, "")


def test_sides_and_views_of_a_manifest_decide():
    four = [("left", "cc"), ("right", "CC"), ("left", "MLO"), ("right", "MLO")]
    pairing = pair_breasts([case(f"{i}.png", "p", *each) for i, each in enumerate(four)])
    assert pairing.partners == (1, 0, 3, 2) and all(pairing.stated)
    twice = [("left", None), ("left", None), ("right", None)]
    pairing = pair_breasts([case(f"{i}.png", "p", *each) for i, each in enumerate(twice)])
    assert pairing.partners == (None,) * 3 and pairing.reasons == (SEVERAL,) * 3
    pairing = pair_breasts([case("a.png", "p", "left"), case("b.png", "p", "left")])
    assert pairing.partners == (None, None) and pairing.reasons == (NO_OTHER_SIDE,) * 2
    pairing = pair_breasts([case("a.png", "p", "left", "CC"), case("b.png", "p", "right", "MLO")])
    assert pairing.partners == (None, None) and pairing.reasons == (NO_OTHER_SIDE,) * 2


def test_three_images_of_unknown_side_are_not_guessed():
    pairing = pair_breasts([case("a.png", "p", "left"), case("b.png"), case("c.png", "p", "right")])
    assert pairing.partners == (None,) * 3 and pairing.reasons == (UNKNOWN,) * 3


def test_dicom_states_side_view_and_examination(tmp_path):
    first = {"StudyInstanceUID": "1.1", "ViewPosition": "CC"}
    code = Dataset()
    code.CodeMeaning = "cc"
    names = [
        header(tmp_path / "a.dcm", ImageLaterality="L", **first),
        header(tmp_path / "b.dcm", Laterality="R", StudyInstanceUID="1.1", ViewCodeSequence=[code]),
        header(tmp_path / "c.dcm", ImageLaterality="L", StudyInstanceUID="1.2", ViewPosition="CC"),
        header(tmp_path / "d.dcm", ImageLaterality="R", StudyInstanceUID="1.2", ViewPosition="MLO"),
        header(tmp_path / "e.dcm", ImageLaterality="B", StudyInstanceUID="1.3"),
        header(tmp_path / "f.dcm", ImageLaterality="B", StudyInstanceUID="1.3"),
    ]
    pairing = pair_breasts([case(name, folder=tmp_path) for name in names])
    assert pairing.partners == (1, 0, None, None, 5, 4)
    assert pairing.stated == (True, True, False, False, False, False)
    assert pairing.reasons == ("", "", NO_OTHER_SIDE, NO_OTHER_SIDE, "", "")


def test_the_columns_of_a_manifest_are_read_and_written(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.png").touch()
    text = "image,patient,label,laterality,view\na.png,p,0,L,CC\nb.png,p,0,right,\nc.png,p,0,both,MLO\n"
    (tmp_path / "m.csv").write_text(text)
    manifest = read_manifest(tmp_path / "m.csv")
    assert [(each.laterality, each.view) for each in manifest.cases] == [
        ("left", "CC"),
        ("right", None),
        (None, "MLO"),
    ]
    write_manifest(manifest, tmp_path / "again.csv")
    assert read_manifest(tmp_path / "again.csv").cases == manifest.cases
    plain = dataclasses.replace(
        manifest,
        cases=tuple(dataclasses.replace(each, laterality=None, view=None) for each in manifest.cases),
    )
    write_manifest(plain, tmp_path / "plain.csv")
    assert "laterality" not in (tmp_path / "plain.csv").read_text()
    (tmp_path / "m.csv").write_text("image,patient,label,laterality\na.png,p,0,links\n")
    with pytest.raises(DataError, match=r"line 2: laterality: expected left or right .*received 'links'"):
        read_manifest(tmp_path / "m.csv")
