"""Names of patients stay in the reader: a series with a name in every text element, and every byte that is
written or printed.
"""

import pydicom
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset

TEXTS = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT")
NUMBERS = {"AS": "043Y", "DA": "19500131", "TM": "112233.445566", "DT": "19500131112233"}
LEFT = {  # the encoding of texts, and codes by which an image is recognised as one
    "SpecificCharacterSet",
    "Rows",
    "Columns",
    "InstanceCreatorUID",
}


@pytest.fixture
def full_of_names(tmp_path, rng, head, write_series):
    """(folder, words none of which may come out): a series in a folder called after the patient, every text
    element a word of its own.
    """
    files = write_series(tmp_path / "in" / "MILLER_ANNA_19500131" / "ACC-90210", head(rng, 3))
    words, values = [], {}
    for tag, (vr, _multiplicity, _, retired, keyword) in DicomDictionary.items():
        if keyword and not retired and vr in TEXTS and tag >> 16 not in (0, 2) and keyword not in LEFT:
            word = f"Zq{len(words):05d}x"
            words.append(word)
            values[keyword] = f"{word}^Given" if vr == "PN" else word
    values |= {
        "PatientName": "Miller^Anna",
        "PatientID": "P-66077",
        "AccessionNumber": "ACC90210",
        "InstitutionName": "Saint Nowhere",
        "PatientBirthDate": "19500131",
    }
    for file in files:
        dataset = pydicom.dcmread(file)
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        nested = Dataset()
        nested.PatientID, nested.TypeOfPatientID = "Zqnestedx", "TEXT"
        dataset.OtherPatientIDsSequence = [nested]
        dataset.save_as(file)
    files[1].rename(files[1].with_name("p-66077 saint nowhere.dcm"))
    (tmp_path / "in" / "MILLER_ANNA_19500131" / "broken.dcm").write_bytes(files[0].read_bytes()[:700])
    return tmp_path / "in", [*words, "Zqnestedx", "Miller", "Anna", "66077", "90210", "Nowhere", "19500131"]


def found_in(content, words):
    content = content.lower()
    return [
        word
        for word in words
        if word.lower().encode() in content or word.lower().encode("utf-16-le") in content
    ]


def test_no_name_is_written_or_printed(run, predict, full_of_names, tmp_path):
    folder, words = full_of_names
    formats = ["--format", "png,nifti,dicom-seg,overlay,report", "--cache", tmp_path / "kept"]
    result, out, rows = predict(run, folder, options=formats)
    assert result.exit_code == 1 and len(rows) == 3, result.output
    assert rows[0]["input"].startswith("patient1/hidden") and "patient1/broken.dcm" in result.stderr
    assert found_in(result.output.encode(), words) == []
    segs = list(out.rglob("*_seg.dcm"))
    others = [path for top in (out, tmp_path / "kept") for path in top.rglob("*") if path not in segs]
    assert len(segs) == 1 and len(others) > 15
    for path in others:
        assert found_in(str(path.relative_to(tmp_path)).encode(), words) == []
        if path.is_file():
            assert found_in(path.read_bytes(), words) == [], path
    assert pydicom.dcmread(segs[0]).PatientName == "Miller^Anna", "an archive files the segmentation by it"


def test_names_are_kept_when_asked_for(run, predict, full_of_names):
    folder, _ = full_of_names
    _, out, rows = predict(run, folder, options=["--keep-identifiers", "--format", "png"])
    assert rows[0]["input"].startswith("MILLER_ANNA_19500131/ACC-90210/") and (out / rows[0]["mask"]).exists()


def test_only_names_go_into_a_segmentation_that_the_standard_asks_for(run, predict, full_of_names):
    """Of all texts: patient, study and patient's study (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2), the equipment of
    the source, nothing of the rest.
    """
    folder, words = full_of_names
    _, out, _ = predict(run, folder, options=["--format", "dicom-seg"])
    seg = pydicom.dcmread(next(out.rglob("*_seg.dcm")))
    held = {
        element.keyword
        for element in seg
        if element.VR in TEXTS and found_in(str(element.value).encode(), words)
    }
    assert "PatientName" in held and not held & {
        "InstitutionName",
        "OperatorsName",
        "PerformingPhysicianName",
        "StationName",
        "ImageComments",
        "ProtocolName",
    }


def test_a_segmentation_keeps_of_its_source_what_the_standard_requires(run, predict, full_of_names):
    """What comes out of the source's texts are types 1 and 2 of PS3.3 C.7.1.1, C.7.2.1 and C.7.4.1; every
    other text is gone.
    """
    folder, words = full_of_names
    _, out, _ = predict(run, folder, options=["--format", "dicom-seg"])
    (path,) = out.rglob("*_seg.dcm")
    kept = {
        "PositionReferenceIndicator",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "ReferringPhysicianName",
        "StudyID",
        "AccessionNumber",
    }
    found = set()
    source = pydicom.dcmread(next(folder.rglob("p-66077*.dcm")))
    segmentation = pydicom.dcmread(path)

    def look(dataset):
        for element in dataset:
            if element.VR == "SQ":
                for item in element.value:
                    look(item)
            elif found_in(str(element.value).encode(), words):
                found.add(element.keyword)

    look(segmentation)
    assert found <= kept and {"PatientName", "PatientID", "ReferringPhysicianName"} <= found, found
    for keyword in kept | {"StudyInstanceUID", "StudyDate", "StudyTime"}:
        assert segmentation.get(keyword) == source.get(keyword) or not source.get(keyword), keyword
    assert (
        "Allergies" not in segmentation
        and "Occupation" not in segmentation
        and "PatientComments" not in segmentation
    )
