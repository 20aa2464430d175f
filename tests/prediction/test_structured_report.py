"""Structured reports and secondary captures of predict: read back with pydicom alone, their numbers computed
again from the source images, and checked by dciodvfy and dcmtk.
"""

import hashlib
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from PIL import Image

from clamnet_tf.prediction import coded_concepts
from clamnet_tf.prediction.structured_report import longest_diameter
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.zoo.catalogue import packaged_folder

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install 'clamnet-tf[dicom]'")

BRIGHT = 150
FORMATS = "dicom-seg,dicom-sr,dicom-sc,overlay"


def by_hand(mask, rows_mm, columns_mm):
    """The longest diameter, pair by pair, with regions found by flooding."""
    longest = 0.0
    for plane in mask:
        left = {tuple(pixel) for pixel in np.argwhere(plane)}
        while left:
            region, front = [], [left.pop()]
            while front:
                row, column = front.pop()
                region.append((row, column))
                near = {(row + r, column + c) for r in (-1, 0, 1) for c in (-1, 0, 1)} & left
                left -= near
                front += near
            ends = [
                (r + dr, c + dc) for r, c in region for dr, dc in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5))
            ]
            for one in ends:
                for two in ends:
                    distance = np.hypot((one[0] - two[0]) * rows_mm, (one[1] - two[1]) * columns_mm)
                    longest = max(longest, distance)
    return longest


def test_longest_diameter(rng):
    mask = np.zeros((2, 9, 9), bool)
    assert longest_diameter(mask, 1.0, 1.0) == 0
    mask[0, 2, 1:8] = True
    assert longest_diameter(mask, 0.5, 2.0) == pytest.approx(14.0)
    mask[1, :, 3] = True
    assert longest_diameter(mask, 0.5, 2.0) == pytest.approx(14.0)
    assert longest_diameter(mask, 3.0, 2.0) == pytest.approx(27.0)
    for _ in range(5):
        mask = rng.random((2, 8, 7)) > 0.6
        assert longest_diameter(mask, 0.7, 1.3) == pytest.approx(by_hand(mask, 0.7, 1.3))


def items(dataset, meaning):
    """All content items with a concept name of that meaning."""
    found = []
    for item in dataset.get("ContentSequence", ()):
        name = item.get("ConceptNameCodeSequence")
        found += [item] if name and name[0].CodeMeaning == meaning else []
        found += items(item, meaning)
    return found


def number(report, meaning):
    """(value, unit) of the only measurement of that name, or None."""
    found = [item.MeasuredValueSequence[0] for item in items(report, meaning)]
    assert len(found) < 2
    return (
        (float(found[0].NumericValue), found[0].MeasurementUnitsCodeSequence[0].CodeValue) if found else None
    )


@pytest.fixture
def results(run, predict, studies, tmp_path):
    result, out, _ = predict(run, tmp_path / "studies", options=["--format", FORMATS])
    assert result.exit_code == 0, result.output
    return out


def test_reports_measure_what_is_bright(results, run, studies, rows_of):
    rows = {row["dicom_seg"].split("/")[0]: row for row in rows_of(results / "volumes.csv")}
    digest = hashlib.sha256((run / "model.keras").read_bytes()).hexdigest()
    for name in ("axial", "oblique", "nothing", "xray", "enhanced"):
        report = pydicom.dcmread(next((results / name).glob("*_sr.dcm")))
        seg = pydicom.dcmread(next((results / name).glob("*_seg.dcm")))
        source = pydicom.dcmread(studies[name][0])
        assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.22" and report.Modality == "SR"
        assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
        assert report.StudyInstanceUID == source.StudyInstanceUID and report.PatientID == source.PatientID
        assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
        (segment,) = items(report, "Referenced Segment")
        reference = segment.ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert reference.ReferencedSegmentNumber == 1
        assert seg.SegmentSequence[0].TrackingUID == items(report, "Tracking Unique Identifier")[0].UID
        assert source.SeriesInstanceUID == items(report, "Source Series for Segmentation")[0].UID
        assert items(report, "Algorithm Name")[0].TextValue == "clamnet-tf by_hand"
        texts = [item.TextValue for item in items(report, "Algorithm Parameters")]
        assert f"model_sha256 {digest}" in texts and "threshold 0.5" in texts
        score = number(report, "Presence score of the network")
        assert score[0] == pytest.approx(float(rows[name]["presence_score"]), abs=1e-4)
        if name == "enhanced":
            continue
        masks = np.array([pydicom.dcmread(file).pixel_array >= BRIGHT for file in studies[name]])
        spacing = [float(value) for value in source.get("PixelSpacing") or source.ImagerPixelSpacing]
        if name == "xray":
            assert number(report, "Volume") is None
            assert number(report, "Area") == (pytest.approx(masks.sum() * np.prod(spacing), rel=1e-4), "mm2")
        else:
            volume = masks.sum() * np.prod(spacing) * 2.5 / 1000
            assert number(report, "Volume") == (pytest.approx(volume, rel=1e-4, abs=1e-4), "ml")
        expected = by_hand(masks, *spacing)
        if name == "nothing":
            assert expected == 0 and number(report, "Long axis") is None
        else:
            assert number(report, "Long axis") == (pytest.approx(expected, abs=1e-3), "mm")


def test_captures_show_the_overlays_and_are_no_input(results, run, predict, studies, tmp_path):
    for name in ("axial", "nothing", "xray"):
        bright = [file for file in studies[name] if (pydicom.dcmread(file).pixel_array >= BRIGHT).any()]
        captures = [pydicom.dcmread(path) for path in sorted((results / name).rglob("*_sc.dcm"))]
        assert len(captures) == max(1, len(bright)), name
        sources = {pydicom.dcmread(file).SOPInstanceUID: file for file in studies[name]}
        for capture in captures:
            source = sources[capture.SourceImageSequence[0].ReferencedSOPInstanceUID]
            picture = np.asarray(Image.open(results / name / f"{source.stem}_overlay.png").convert("RGB"))
            np.testing.assert_array_equal(capture.pixel_array, picture)
            assert ("nothing marked" in capture.get("ImageComments", "")) == (not bright)
            if name == "axial":
                assert list(capture.PatientOrientation) == ["L", "P"]
        assert len({capture.SeriesInstanceUID for capture in captures}) == 1
    shutil.copytree(tmp_path / "studies" / "axial", tmp_path / "again")
    for path in (results / "axial").rglob("*_sc.dcm"):
        shutil.copy(path, tmp_path / "again")
    result, _, rows = predict(run, tmp_path / "again", options=["--any-modality"], out=tmp_path / "second")
    assert result.exit_code == 0 and len(rows) == len(studies["axial"]), result.output


def test_standard_programs_find_no_error(results):
    paths = sorted([*results.rglob("*_sr.dcm"), *results.rglob("*_sc.dcm")])
    assert len(paths) > 14
    tried = 0
    if shutil.which("dciodvfy"):
        tried += 1
        for path in paths:
            answer = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
            lines = (answer.stdout + answer.stderr).splitlines()
            assert not [line for line in lines if line.startswith("Error")], (path, lines)
    if shutil.which("dsrdump"):
        tried += 1
        for path in results.rglob("*_sr.dcm"):
            answer = subprocess.run(["dsrdump", str(path)], capture_output=True, text=True)
            assert answer.returncode == 0 and "Imaging Measurement Report" in answer.stdout, answer.stderr
    if not tried:
        pytest.skip("neither dciodvfy (Debian: dicom3tools) nor dsrdump (dcmtk) is installed")


def test_a_header_tells_nothing_more_of_the_patient(run, predict, write_series, head, rng, tmp_path):
    secret = {"PatientComments": "allergic", "Occupation": "pilot", "InstitutionName": "St. Elsewhere"}
    write_series(tmp_path / "in", head(rng, 3), **secret)
    result, out, _ = predict(run, tmp_path / "in", options=["--format", FORMATS])
    assert result.exit_code == 0, result.output
    for path in [*out.rglob("*_sr.dcm"), *out.rglob("*_sc.dcm")]:
        text = str(pydicom.dcmread(path, stop_before_pixels=True))
        assert not [word for word in secret.values() if word in text]


def test_what_no_report_can_be_written_for(run, predict, tmp_path, rng, head, write_series):
    write_series(tmp_path / "in", head(rng, 3))
    result, _, _ = predict(run, tmp_path / "in", options=["--format", "dicom-sr"])
    assert result.exit_code == 2 and "expected dicom-seg beside dicom-sr" in result.stderr
    Image.fromarray(np.uint8(head(rng, 1)[0])).save(tmp_path / "picture.png")
    result, _, _ = predict(
        run, tmp_path / "picture.png", options=["--format", "dicom-sc,png"], out=tmp_path / "o"
    )
    assert result.exit_code == 1 and "expected a DICOM image, to whose study" in result.stderr


def test_each_zoo_entry_has_codes_of_the_standard():
    from pydicom.sr.codedict import codes

    lesions = {concept.value: concept.meaning for concept in codes.cid7159.concepts.values()}
    lesions["19130008"] = "Traumatic abnormality"  # SNOMED CT, not in CID 7159
    found = {}
    for entry in sorted(path.parent for path in packaged_folder().glob("*/entry.yaml")):
        condition = load_recipe(str(entry / "recipe.yaml")).condition
        _, category, (value, scheme, meaning) = coded_concepts.finding(condition)
        found[entry.name] = meaning
        assert scheme == "SCT" and category[0] in ("49755003", "91723000")
        assert meaning == ("Lung" if condition == "lungs" else lesions[value]), entry
        assert condition == "lungs" or meaning != "Lesion", f"{entry}: {condition} has no code"
    assert found["ct_haemorrhage"] == "Hemorrhage"
