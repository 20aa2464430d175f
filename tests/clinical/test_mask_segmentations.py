"""Masks as DICOM segmentations and structure sets (row V6), by highdicom, pydicom or `predict`."""

import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from matplotlib.path import Path as Polygon
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.mask_files import read_mask
from clamnet_tf.imaging.readers import read_volume

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import SIDE, call, rows_of, write_dicom, write_run, write_series

BRIGHT = 150.0
PATIENT = {
    "PatientBirthDate": "",
    "PatientSex": "",
    "AccessionNumber": "",
    "StudyID": "",
    "StudyDate": "",
    "StudyTime": "",
    "ReferringPhysicianName": "",
}


def images(slices=5):
    """(slices, SIDE, SIDE): about 100; a bright shape that no turn or flip maps to itself."""
    image = np.random.default_rng(1).integers(80, 120, (slices, SIDE, SIDE)).astype(np.uint16)
    for number in range(slices - 1):
        image[number, 8 : 24 + number, 6:10] = 200
        image[number, 8:12, 6 : 18 + number] = 200
    return image


@pytest.fixture
def series(tmp_path):
    return write_series(tmp_path / "series", images(), "CT", **PATIENT)


def write_seg(path, sources, masks, kind="BINARY", labels=("lesion",), **elements):
    """highdicom's own writer. masks: (slices, rows, columns) in the order of the sources."""
    sources = [pydicom.dcmread(source) for source in sources]
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type="MANUAL",
        )
        for number, label in enumerate(labels, start=1)
    ]
    made = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=masks,
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **elements,
    )
    made.save_as(path)
    return path


def manifest(folder, files, mask):
    rows = [f"{file},p,{int(number < len(files) - 1)},s,{number},{mask}" for number, file in enumerate(files)]
    (folder / "manifest.csv").write_text(
        "image,patient,label,series,position,mask\n" + "\n".join(rows) + "\n"
    )
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "raw", "ct", BRIGHT, steep=1.0, normalization="none")


@pytest.mark.parametrize("kind", ["series", "one slice of it", "x-ray", "NIfTI of it"])
def test_v6_predict_to_segmentation_to_evaluate_is_dice_1(kind, run, tmp_path, series):
    if kind == "x-ray":
        series = [write_dicom(tmp_path / "series" / "film.dcm", images()[0], "DX", **PATIENT)]
    sources = series[1:2] if kind == "one slice of it" else series
    insist = ["--any-modality"] * (kind == "x-ray")
    code, output = call(
        "predict", run, *sources, *insist, "--format", "dicom-seg", "--out", tmp_path / "marked"
    )
    assert code == 0, output
    (seg,) = (tmp_path / "marked").rglob("*_seg.dcm")
    if kind == "NIfTI of it":
        import nibabel

        affine = read_volume(tmp_path / "series").affine
        stored = np.diag([-1, -1, 1, 1]) @ affine[:, [2, 1, 0, 3]]
        nibabel.save(
            nibabel.Nifti1Image(images().astype(np.int16).transpose(2, 1, 0), stored), tmp_path / "scan.nii"
        )
        sources = [tmp_path / "scan.nii"]
    code, output = call(
        "evaluate", run, "--data", manifest(tmp_path, sources, seg), *insist, "--out", tmp_path / "out"
    )
    assert code == 0, output
    rows = rows_of(tmp_path / "out" / "patients.csv")
    assert [float(row["dice"]) for row in rows] == [1.0] and int(rows[0]["truth_px"]) > 50
    if kind == "NIfTI of it":
        assert "placed on the image by its geometry alone" in " ".join(output.split())


def test_v6_the_same_masks_as_binary_fractional_and_label_map(series, tmp_path):
    masks, volume = images() >= BRIGHT, read_volume(tmp_path / "series")
    for kind in ("BINARY", "FRACTIONAL", "LABELMAP"):
        path = write_seg(tmp_path / f"{kind}.dcm", series, masks.astype(np.uint8), kind)
        mask = read_mask(path, image=volume)
        np.testing.assert_array_equal(mask.values, masks)
        assert bool(mask.notes) == (kind == "FRACTIONAL")
    shades = np.where(masks, 0.8, 0.3).astype(np.float32)
    path = write_seg(tmp_path / "shades.dcm", series, shades, "FRACTIONAL", max_fractional_value=200)
    mask = read_mask(path, image=volume)
    np.testing.assert_array_equal(mask.values, masks)
    assert mask.notes == ("fractional segmentation (probability) cut at half of its range",)


def test_v6_sources_in_any_order(series, tmp_path):
    masks = images() >= BRIGHT
    path = write_seg(tmp_path / "seg.dcm", series[::-1], masks[::-1].astype(np.uint8))
    np.testing.assert_array_equal(read_mask(path, image=read_volume(tmp_path / "series")).values, masks)
    seg = pydicom.dcmread(path)  # without names of its sources: by geometry
    for frame in seg.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence
    seg.save_as(tmp_path / "nameless.dcm")
    np.testing.assert_array_equal(
        read_mask(tmp_path / "nameless.dcm", image=read_volume(tmp_path / "series")).values, masks
    )


def test_v6_slices_that_are_spaced_unevenly(tmp_path):
    files = write_series(tmp_path / "series", images(), "CT", heights=[0, 2.5, 5, 12.5, 15], **PATIENT)
    path = write_seg(tmp_path / "seg.dcm", files, (images() >= BRIGHT).astype(np.uint8))
    for number, file in enumerate(files):
        np.testing.assert_array_equal(
            read_mask(path, image=read_volume(file)).values[0], images()[number] >= BRIGHT
        )


def test_v6_several_segments(series, tmp_path):
    masks, volume = images() >= BRIGHT, read_volume(tmp_path / "series")
    numbers = masks * (1 + (np.arange(SIDE) > 8)).astype(np.uint8)
    for kind in ("BINARY", "LABELMAP"):
        path = write_seg(
            tmp_path / f"{kind}.dcm", series, numbers.astype(np.uint8), kind, labels=("core", "oedema")
        )
        np.testing.assert_array_equal(read_mask(path, 2, image=volume).values, numbers)
        one = read_mask(path, image=volume)
        np.testing.assert_array_equal(one.values, masks)
        assert one.notes == ("holds the segments core, oedema; all of them are taken as the lesion",)


def test_v6_segmentations_of_other_images_are_refused(series, tmp_path):
    other = write_series(tmp_path / "other", images(), "CT", **PATIENT)
    path = write_seg(tmp_path / "seg.dcm", other, (images() >= BRIGHT).astype(np.uint8))
    with pytest.raises(
        ImageError,
        match="seg.dcm: is the segmentation of another image: none of the 5 images .*Name the mask",
    ):
        read_mask(path, image=read_volume(tmp_path / "series"))
    with pytest.raises(ImageError, match="is placed on its image; name the image beside it"):
        read_mask(path)
    (tmp_path / "broken.dcm").write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ImageError, match="broken.dcm: damaged"):
        read_mask(tmp_path / "broken.dcm", image=read_volume(tmp_path / "other"))


def test_v6_another_grid_is_refused(series, tmp_path):
    """The same frame of reference, half a pixel beside, or with larger pixels."""
    header = pydicom.dcmread(series[0])
    uids = {
        "FrameOfReferenceUID": header.FrameOfReferenceUID,
        "StudyInstanceUID": header.StudyInstanceUID,
        "SeriesInstanceUID": generate_uid(),
    }
    masks = (images() >= BRIGHT).astype(np.uint8)
    for name, change, words in (
        ("shifted", {"ImagePositionPatient": [-20.3, -31.0, 0.0]}, "voxels off the grid"),
        ("larger", {"PixelSpacing": [0.6, 0.75]}, "of another size or direction"),
    ):
        files = []
        for number, plane in enumerate(images()):
            place = {
                "ImagePositionPatient": [-20.0, -31.0, 2.5 * number],
                "PixelSpacing": [0.5, 0.75],
                "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
                **change,
            }
            place["ImagePositionPatient"] = [*place["ImagePositionPatient"][:2], 2.5 * number]
            files.append(
                write_dicom(
                    tmp_path / name / f"{number}.dcm",
                    plane,
                    "CT",
                    SliceThickness=2.5,
                    InstanceNumber=number + 1,
                    **place,
                    **uids,
                    **PATIENT,
                )
            )
        path = write_seg(tmp_path / f"{name}.dcm", files, masks)
        with pytest.raises(ImageError, match=words):
            read_mask(path, image=read_volume(tmp_path / "series"))


def structure_set(path, source, contours, kind="CLOSED_PLANAR", names=("GTV",)):
    """contours: {ROI number: [points (n, 3)]}."""
    image = pydicom.dcmread(source)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID, made.file_meta.MediaStorageSOPClassUID = (
        ExplicitVRLittleEndian,
        RTStructureSetStorage,
    )
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = RTStructureSetStorage, generate_uid(), "RTSTRUCT"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.StructureSetROISequence, made.ROIContourSequence = [], []
    for number, name in zip(contours, names):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = (
            number,
            name,
            image.FrameOfReferenceUID,
        )
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours[number]:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{value:.4f}" for value in np.ravel(points)]
            drawn.ContourSequence.append(contour)
        made.StructureSetROISequence.append(roi)
        made.ROIContourSequence.append(drawn)
    made.save_as(path, enforce_file_format=True)
    return path


def outline(height, radius=6.0, centre=(0.0, -15.0)):
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack(
        [centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle), np.full(40, height)], axis=1
    )


def test_v6_structure_sets_with_holes(series, tmp_path):
    """Right values: matplotlib's points in polygons, in the patient's millimetres."""
    path = structure_set(
        tmp_path / "rt.dcm",
        series[0],
        {3: [outline(2.5), outline(2.5, radius=2.0), outline(5.0, radius=4.0)]},
    )
    mask = read_mask(path, image=read_volume(tmp_path / "series"))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    centres = np.stack([-20.0 + 0.75 * columns, -31.0 + 0.5 * rows], axis=-1).reshape(-1, 2)
    inside = [
        Polygon(outline(0, radius)[:, :2]).contains_points(centres).reshape(SIDE, SIDE)
        for radius in (6.0, 2.0, 4.0)
    ]
    np.testing.assert_array_equal(mask.values[1], inside[0] & ~inside[1])
    np.testing.assert_array_equal(mask.values[2], inside[2])
    assert not mask.values[[0, 3, 4]].any() and mask.notes == ()
    np.testing.assert_array_equal(read_mask(path, image=read_volume(series[1])).values[0], mask.values[1])


def test_v6_structure_sets_that_would_need_guesses_are_refused(series, tmp_path):
    volume = read_volume(tmp_path / "series")
    tilted = outline(2.5) + np.outer(np.linspace(0, 2, 40), [0, 0, 1])
    for name, contours, kind, words in (
        ("between", {1: [outline(3.5)]}, "CLOSED_PLANAR", "lies 1.00 mm off the nearest slice"),
        ("tilted", {1: [tilted]}, "CLOSED_PLANAR", "not parallel to the slices"),
        ("open", {1: [outline(2.5)]}, "OPEN_PLANAR", "contour of type OPEN_PLANAR; only closed planar"),
        (
            "two",
            {1: [outline(2.5)], 2: [outline(5.0)]},
            "CLOSED_PLANAR",
            r"expected 1 structure\(s\) with contours, received 2 \(1 GTV, 2 BODY\)",
        ),
        ("outside", {1: [outline(2.5, centre=(40.0, 0.0))]}, "CLOSED_PLANAR", "a contour leaves"),
    ):
        path = structure_set(tmp_path / f"{name}.dcm", series[0], contours, kind, names=("GTV", "BODY"))
        with pytest.raises(ImageError, match=f"{name}.dcm: .*{words}"):
            read_mask(path, image=volume)
    other = write_series(tmp_path / "other", images(), "CT")
    with pytest.raises(ImageError, match="was drawn on another image"):
        read_mask(structure_set(tmp_path / "rt.dcm", other[0], {1: [outline(2.5)]}), image=volume)
    gaps = read_mask(
        structure_set(tmp_path / "gap.dcm", series[0], {1: [outline(0.0), outline(5.0)]}), image=volume
    )
    assert gaps.notes == ("structure has no contour in 1 slice(s) between others; they are taken as empty",)
