"""DICOM segmentations of predict: read back by highdicom, by pydicom and bit arithmetic alone, and checked by
dciodvfy.
"""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest

highdicom = pytest.importorskip(
    "highdicom", reason="highdicom is not installed: pip install 'clamnet-tf[dicom]'"
)

BRIGHT = 150


def segmented_points(path, located):
    """The same of a binary SEG, without any library for segmentations: bits are unpacked by hand (PS3.5
    8.1.1).
    """
    seg = pydicom.dcmread(path)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    frames = bits[: int(seg.NumberOfFrames) * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
    shared = seg.SharedFunctionalGroupsSequence[0]
    points = set()
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        points |= located(
            frame,
            position,
            shared.PlaneOrientationSequence[0].ImageOrientationPatient,
            shared.PixelMeasuresSequence[0].PixelSpacing,
        )
    return points


@pytest.fixture
def marked(run, predict, studies, tmp_path):
    """(result, {name: its SEG file}, rows of volumes.csv by folder)."""

    def mark(*options):
        result, out, _ = predict(run, tmp_path / "studies", options=["--format", "dicom-seg", *options])
        return result, {name: next((out / name).glob("*_seg.dcm")) for name in studies}, out

    return mark


def test_binary_segmentations_lie_where_their_sources_are_bright(
    marked, studies, rows_of, bright_points, located
):
    result, segs, out = marked()
    assert result.exit_code == 0, result.output
    for name in ("axial", "backwards", "oblique", "gaps", "enhanced"):
        expected = bright_points(studies[name])
        assert len(expected) > 100 and segmented_points(segs[name], located) == expected, name
        by_highdicom(segs[name], studies[name])
    chest = pydicom.dcmread(segs["xray"])
    source = pydicom.dcmread(studies["xray"][0])
    np.testing.assert_array_equal(chest.pixel_array, source.pixel_array >= BRIGHT)
    assert (
        "FrameOfReferenceUID" not in chest
        and "PlanePositionSequence" not in chest.PerFrameFunctionalGroupsSequence[0]
    )
    said(segs, studies)
    nothing = pydicom.dcmread(segs["nothing"])
    assert nothing.NumberOfFrames == 5 and not nothing.pixel_array.any(), (
        "looked at, nothing found: every frame, empty"
    )
    rows = {row["volume"].split("/")[0].split(":")[0]: row for row in rows_of(out / "volumes.csv")}
    assert rows["nothing"]["dicom_seg"] == "nothing/im_seg.dcm" and rows["nothing"]["marked_px"] == "0"
    assert rows["axial"]["geometry"] == "patient" and rows["xray"]["geometry"] == "none"
    assert (
        "gaps: series" in result.stdout
        and "uneven gaps between slices (usually 2.50 mm, once 7.50 mm)" in result.stdout
    )
    for name, path in segs.items():
        errors = dciodvfy(path)
        assert not errors, (name, errors)


def by_highdicom(path, files):
    """Pixels by source instance, or frame, through highdicom's own reader: in the order that is asked for."""
    seg = highdicom.seg.segread(path)
    sources = [pydicom.dcmread(file) for file in files]
    if len(sources) == 1:
        frames = sources[0].pixel_array >= BRIGHT
        pixels = seg.get_pixels_by_source_frame(
            sources[0].SOPInstanceUID,
            list(range(1, len(frames) + 1)),
            ignore_spatial_locations=True,
            assert_missing_frames_are_empty=True,
        )
    else:
        frames = np.stack([source.pixel_array >= BRIGHT for source in sources])
        pixels = seg.get_pixels_by_source_instance(
            [source.SOPInstanceUID for source in sources],
            ignore_spatial_locations=True,
            assert_missing_frames_are_empty=True,
        )
    np.testing.assert_array_equal(pixels[..., 0] > 0, frames)


def said(segs, studies):
    """What else an archive and a viewer need."""
    uids = set()
    for name, path in segs.items():
        seg, source = pydicom.dcmread(path), pydicom.dcmread(studies[name][0])
        for keyword in (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "StudyInstanceUID",
            "AccessionNumber",
            "StudyDate",
        ):
            assert seg[keyword].value == source[keyword].value, keyword
        assert (
            seg.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.4"
            and seg.Modality == "SEG"
            and seg.SeriesInstanceUID != source.SeriesInstanceUID
        )
        assert seg.SeriesDescription == "clamnet-tf by_hand: lesion mask" and seg.get(
            "FrameOfReferenceUID"
        ) == source.get("FrameOfReferenceUID")
        segment = seg.SegmentSequence[0]
        assert (
            segment.SegmentAlgorithmType == "AUTOMATIC"
            and segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Neoplasm"
        )
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
        assert segment.AnatomicRegionSequence[0].CodeMeaning == ("Chest" if name == "xray" else "Brain")
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert algorithm.AlgorithmName == "clamnet-tf by_hand" and "model " in algorithm.AlgorithmVersion
        assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
        referenced = {
            item.ReferencedSOPInstanceUID
            for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        }
        assert referenced == {pydicom.dcmread(file).SOPInstanceUID for file in studies[name]}
        uids |= {seg.SOPInstanceUID, seg.SeriesInstanceUID}
    assert len(uids) == 2 * len(segs) and all(uid.startswith("2.25.") for uid in uids)


def test_fractional_segmentations_hold_the_probability(marked, studies):
    result, segs, _ = marked("--segmentation", "fractional")
    assert result.exit_code == 0, result.output
    seg = highdicom.seg.segread(segs["backwards"])
    sources = [pydicom.dcmread(file) for file in studies["backwards"]]
    pixels = seg.get_pixels_by_source_instance(
        [source.SOPInstanceUID for source in sources],
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )
    expected = 1 / (1 + np.exp(BRIGHT - np.stack([source.pixel_array for source in sources]).astype(float)))
    np.testing.assert_allclose(pixels[..., 0], expected, atol=0.5 / 255 + 1e-6)
    raw = pydicom.dcmread(segs["backwards"])
    assert (
        raw.SegmentationType,
        raw.SegmentationFractionalType,
        raw.MaximumFractionalValue,
        raw.BitsAllocated,
    ) == ("FRACTIONAL", "PROBABILITY", 255, 8)
    assert raw.SeriesDescription == "clamnet-tf by_hand: lesion probability"
    for path in segs.values():
        assert not dciodvfy(path)


def test_label_maps_hold_the_class_of_each_pixel(marked, studies):
    result, segs, _ = marked("--segmentation", "labelmap")
    assert result.exit_code == 0, result.output
    for name in ("axial", "oblique", "nothing"):
        seg = pydicom.dcmread(segs[name])
        assert seg.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7" and seg.SegmentationType == "LABELMAP"
        images = {image.SOPInstanceUID: image for image in map(pydicom.dcmread, studies[name])}
        for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
            source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
            np.testing.assert_array_equal(frame, images.pop(source).pixel_array >= BRIGHT)
        assert not any((image.pixel_array >= BRIGHT).any() for image in images.values())


def dciodvfy(path):
    """Errors of David Clunie's validator, an implementation of the standard of its own (Debian:
    dicom3tools).
    """
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip(
            "dciodvfy is not installed, the objects were not checked by it (Debian: apt-get install "
            "dicom3tools)"
        )
    answer = subprocess.run([program, str(path)], capture_output=True, text=True)
    return [line for line in (answer.stdout + answer.stderr).splitlines() if line.startswith("Error")]


def test_what_no_segmentation_can_refer_to(run, predict, tmp_path, rng, head, write_series):
    images = head(rng, 3)
    write_series(tmp_path / "in" / "floating", images, FrameOfReferenceUID=None)
    np.save(tmp_path / "in" / "plain.npy", images[0])
    result, out, rows = predict(run, tmp_path / "in", options=["--format", "dicom-seg,png"])
    assert result.exit_code == 1 and len(rows) == 4 and all((out / row["mask"]).exists() for row in rows), (
        "other formats are written"
    )
    assert (
        "plain.npy: expected a DICOM image, to which a DICOM segmentation can refer; received npy. Use "
        "--format nifti or png." in result.stderr
    )
    assert (
        "several slices without frame of reference or position, so a DICOM segmentation cannot place them"
        in result.stderr
    )
    assert not list(out.rglob("*.dcm"))


def test_a_deidentified_source_that_lacks_what_the_standard_demands(
    run, predict, tmp_path, rng, head, write_series, bright_points, located
):
    lacking = dict.fromkeys(
        (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "AccessionNumber",
            "StudyID",
            "StudyDate",
            "StudyTime",
            "ReferringPhysicianName",
        )
    )
    files = write_series(tmp_path / "in", head(rng, 3), **lacking, BodyPartExamined=None)
    result, out, _ = predict(run, tmp_path / "in", options=["--format", "dicom-seg"])
    assert result.exit_code == 0, result.output
    seg = next(out.glob("*_seg.dcm"))
    assert segmented_points(seg, located) == bright_points(files)
    assert (
        pydicom.dcmread(seg).PatientName == ""
        and "AnatomicRegionSequence" not in pydicom.dcmread(seg).SegmentSequence[0]
    )
    assert not dciodvfy(seg)
    shutil.copy(seg, tmp_path / "in")
    result, _, rows = predict(run, tmp_path / "in", options=["--format", "png"], out=tmp_path / "again")
    assert (
        len(rows) == 3
        and "Skipped: 1 DICOM files without an image to mark (Segmentation Storage)." in result.stdout
    )


def test_an_organ_is_not_called_a_lesion(marked, run):
    """The recipe's condition says what is marked: lungs are an anatomical structure."""
    recipe = run / "recipe.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace("condition: carcinoma", "condition: lungs"))
    try:
        _, segs, _ = marked()
    finally:
        recipe.write_text(text)
    seg = pydicom.dcmread(segs["axial"])
    segment = seg.SegmentSequence[0]
    assert (
        segment.SegmentLabel == "Lungs"
        and seg.ContentLabel == "LUNGS"
        and "lungs mask" in seg.SeriesDescription
    )
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Anatomical Structure"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "39607008"
    assert not dciodvfy(segs["axial"])


def test_uids_follow_from_images_model_and_settings(run, write_run, predict, studies, tmp_path):
    def uids(model, name, *options, folder=None):
        out = tmp_path / f"{name}{len(list(tmp_path.iterdir()))}"
        result, _, _ = predict(
            model, folder or studies["axial"][0].parent, options=["--format", "dicom-seg", *options], out=out
        )
        assert result.exit_code == 0, result.output
        seg = pydicom.dcmread(next(out.rglob("*_seg.dcm")))
        return seg.SOPInstanceUID, seg.SeriesInstanceUID, seg.SegmentSequence[0].TrackingUID

    first = uids(run, "first")
    moved = tmp_path / "moved"
    moved.mkdir()
    for number, file in enumerate(reversed(studies["axial"])):
        shutil.copy(file, moved / f"other{number}.dcm")
    assert len(set(first)) == 3 and uids(run, "again", folder=moved) == first, "names and order do not matter"
    others = [
        uids(run, "fractional", "--segmentation", "fractional"),
        uids(write_run(tmp_path / "darker", 120, normalization="none"), "model"),
        uids(run, "series", folder=studies["backwards"][0].parent),
    ]
    studies["axial"][0].unlink()
    others.append(uids(run, "fewer"))
    assert not set(first).intersection(*[set().union(*others)]) and len(set(others)) == 4
