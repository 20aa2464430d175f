"""Words that replace patients in names of results and messages."""

import pytest
from pydicom.dataset import Dataset

from clamnet_tf.datasets.deidentify import Identifiers, patient_texts


def header(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.fixture
def identifiers():
    found = Identifiers()
    jane = {
        "PatientName": "Doe^Jane=\u5c71\u7530",
        "PatientID": "H-47.11",
        "PatientBirthDate": "19500131",
        "AccessionNumber": "ACC0815",
    }
    found.add(
        patient_texts(
            header(**jane, InstitutionName="St. Example Hospital", ReferringPhysicianName="Roe^Richard")
        )
    )
    found.add(patient_texts(header(PatientName="Doe^John", PatientID="12", StudyID="1")))
    found.add(patient_texts(header(PatientName="", PatientID=None)))
    return found


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("DOE_JANE/ct/1.dcm", "patient1/ct/1.dcm"),
        ("jane doe 1950-01-31", "patient1"),
        ("Doe, Jane: doe", "patient1"),
        ("Jane/Doe", "patient1/patient1"),
        ("31.01.1950/H4711.nii.gz", "patient1/patient1.nii.gz"),
        ("h_47-11", "patient1"),
        ("doe john", "patient2"),
        ("\u5c71\u7530/a.dcm", "patient1/a.dcm"),
        ("/data/St_Example-Hospital/acc0815: damaged", "/data/hidden6/hidden1: damaged"),
        ("by Roe", "by hidden4"),
        ("12/12.dcm: holds 12 slices", "patient2/patient2.dcm: holds 12 slices"),
        ("series 1.2.840.12.4711: 12 files", "series 1.2.840.12.4711: 12 files"),
        ("Doeberitz/brain", "Doeberitz/brain"),
        ("", ""),
    ],
)
def test_identifiers_are_replaced(identifiers, text, hidden):
    assert identifiers.hide(text) == hidden


def test_the_same_files_give_the_same_words():
    first, second = Identifiers(), Identifiers()
    for identifiers in (first, second):
        for name in ("A^Bea", "C^Dan", "A^Bea"):
            identifiers.add(
                patient_texts(
                    header(
                        PatientName=name, ReferringPhysicianName="X^Yve", OperatorsName=["Op^One", "Op^Two"]
                    )
                )
            )
    assert (
        first.words == second.words and first.words["bea"] == "patient1" and first.words["dan"] == "patient2"
    )
    assert first.words["yve"].startswith("hidden") and first.words["optwo"].startswith("hidden")
    assert Identifiers().hide("anything/A^Bea") == "anything/A^Bea"
