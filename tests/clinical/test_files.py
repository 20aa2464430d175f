"""Volumes and DICOM under any name (row T5): the content decides, and volumes lie where SimpleITK says."""

import gzip
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from clamnet_tf.datasets.layouts.recognition import recognize
from clamnet_tf.datasets.unlabelled_inputs import find_inputs
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.preprocessing.content_hashes import ContentHashes

sys.path.insert(0, str(Path(__file__).parent))  # for the inputs that this folder shares
from clinic_inputs import DIRECTIONS, dicom, itk_image, nrrd, numbered, scan


def centres(volume):
    """{value: place in mm (LPS)} of some voxels that have values of their own."""
    return {
        float(volume.array[place][0]): volume.affine @ [*place, 1]
        for place in ((0, 0, 0), (0, 3, 5), (4, 19, 15), (2, 7, 9))
    }


# T5: volumes of ITK's formats, with their place in the patient


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.hdr", "a.img", "a.nii"])
@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "SLA", "ASL"])
def test_t5_volumes_lie_where_simpleitk_says(tmp_path, name, axes):
    image = SimpleITK.DICOMOrient(itk_image(numbered()), axes)
    SimpleITK.WriteImage(
        image,
        str(tmp_path / name.replace(".img", ".hdr")),
        "hdr" not in name and "img" not in name and name != "a.nii",
    )
    volume = read_volume(tmp_path / name)
    assert volume.array.shape == (5, 20, 16, 1) and not volume.grid.notes
    values = SimpleITK.GetArrayFromImage(image)
    for value, place in centres(volume).items():
        k, j, i = (int(axis[0]) for axis in np.nonzero(values == value))
        np.testing.assert_allclose(place[:3], image.TransformIndexToPhysicalPoint((i, j, k)), atol=1e-4)
    np.testing.assert_allclose(volume.spacing_mm, (3.0, 0.9, 0.7), rtol=1e-6)
    np.testing.assert_array_equal(volume.to_original(volume.array[..., 0]), values.transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("space", "first", "corner"),
    [
        ("left-posterior-superior", 0, (-1, -2, -3)),
        ("right-anterior-superior", 109, (-19, -25, -3)),
        ("LAS", 99, (-1, -25, -3)),
    ],
)
def test_t5_nrrd_written_by_hand(tmp_path, space, first, corner):
    volume = read_volume(nrrd(tmp_path / "a.nrrd", f"space: {space}\n{DIRECTIONS}"))
    assert volume.array[0, 0, 0, 0] == first and volume.spacing_mm == (4.0, 3.0, 2.0)
    np.testing.assert_allclose(
        volume.affine, [[0, 0, 2, corner[0]], [0, 3, 0, corner[1]], [4, 0, 0, corner[2]], [0, 0, 0, 1]]
    )


META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n{}DimSize = 11 10"
    " 9\nElementType = MET_SHORT\nElementDataFile = {}\n"
)


@pytest.mark.parametrize(
    "fields", ["spacings: 2 3 4", f"space: scanner-xyz\n{DIRECTIONS}", f"space dimension: 3\n{DIRECTIONS}"]
)
def test_t5_a_header_without_an_orientation_gives_none(tmp_path, fields):
    (tmp_path / "a.mha").write_bytes(
        META.format("ElementSpacing = 2 3 4\n", "LOCAL").encode()
        + numbered((9, 10, 11)).astype("<i2").tobytes()
    )
    for path in (nrrd(tmp_path / "a.nrrd", fields), tmp_path / "a.mha"):
        volume = read_volume(path)
        assert (
            volume.affine is None
            and volume.spacing_mm is None
            and "states no orientation" in volume.grid.notes[0]
        )
        np.testing.assert_array_equal(volume.array[..., 0], numbered((9, 10, 11)))


def test_t5_components_are_channels(tmp_path, rng):
    array = rng.integers(0, 255, (4, 12, 10, 3)).astype(np.uint8)
    for name in ("a.nrrd", "a.mha"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array, isVector=True), str(tmp_path / name))
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, array)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.mha", META.format("", "LOCAL") + "1234", "cut off: its header announces 1,980 bytes of values"),
        ("a.mhd", META.format("", "gone.raw"), "the file with its values, gone.raw, is not beside it"),
        ("a.mhd", META.format("", "../a.raw"), "its values lie in another folder"),
        ("a.mhd", META.format("", "LIST"), "its values lie in several files"),
        ("a.mhd", META.format("", "/etc/passwd"), "its values lie in another folder"),
        ("a.mha", META.format("", "LOCAL").replace("11 10 9", "11000 10000 900"), "too large: it announces"),
        (
            "a.nrrd",
            "NRRD0004\ntype: short\ndimension: 3\nsizes: 11 10 9\nencoding: raw\nendian: little\n\n12",
            "cut off: its header announces",
        ),
        (
            "a.nrrd",
            "NRRD0004\ntype: rubbish\ndimension: 3\nsizes: 11 10 9\nencoding: raw\n\n12",
            "damaged or cut off",
        ),
        (
            "a.nhdr",
            "NRRD0004\ntype: short\ndimension: 3\nsizes: 11 10 9\nencoding: raw\ndata file: b.raw\n\n",
            "b.raw, is not beside it",
        ),
        ("a.nrrd", "NRRD0004\ntype: short\ndimension: 3\n", "its header has no end"),
    ],
)
def test_t5_damaged_volumes_of_itk_are_refused(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ImageError, match=f"{name}: .*{words}"):
        read_volume(tmp_path / name)


def test_t5_pairs_need_both_files_and_analyze_is_named(tmp_path, rng):
    image = itk_image(scan(rng))
    SimpleITK.WriteImage(image, str(tmp_path / "a.hdr"))
    before = ContentHashes(None, tmp_path).of(tmp_path / "a.hdr")
    values = bytearray((tmp_path / "a.img").read_bytes())
    values[100] ^= 1
    (tmp_path / "a.img").write_bytes(values)
    assert (
        ContentHashes(None, tmp_path).of(tmp_path / "a.hdr") != before
    )  # prepared slices of the old values are not used
    (tmp_path / "a.img").rename(tmp_path / "b.img")
    with pytest.raises(
        ImageError, match=r"a.hdr: a NIfTI header without its values, the .img of that name beside it"
    ):
        read_volume(tmp_path / "a.hdr")
    with pytest.raises(ImageError, match=r"b.img: values \(.img\) without the header"):
        read_volume(tmp_path / "b.img")
    nibabel.AnalyzeImage(scan(rng), np.eye(4)).to_filename(tmp_path / "old.hdr")
    for name in ("old.hdr", "old.img"):
        with pytest.raises(
            ImageError,
            match="Analyze 7.5 volume .*, which does not say where left and right are. Convert it to NIfTI",
        ):
            read_volume(tmp_path / name)


# T5: DICOM under any name


NAMES = ["a.dcm", "b", "c.IMA", "d.img", "e.MRDC.7", "f.dcm.gz", "g.ima.gz", "h.png", "i.1.2.840", "j.bak"]


@pytest.mark.parametrize("name", NAMES)
def test_t5_dicom_is_read_under_any_name(tmp_path, name):
    dicom(tmp_path / "plain", height=3.0)
    content = (tmp_path / "plain").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    volume = read_volume(tmp_path / name)
    right = pydicom.dcmread(tmp_path / "plain")
    expected = right.pixel_array * float(right.RescaleSlope) + float(right.RescaleIntercept)
    np.testing.assert_array_equal(volume.array[0, ..., 0], expected)


@pytest.mark.parametrize(
    "sample", ["SC_rgb_jpeg_gdcm.dcm", "JPEG2000.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_RLE.dcm"]
)
def test_t5_compressed_dicom_inside_gzip(tmp_path, sample):
    source = Path(get_testdata_file(sample, download=False))
    (tmp_path / "a.dcm.gz").write_bytes(gzip.compress(source.read_bytes()))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.dcm.gz").array, read_volume(source).array)


def test_t5_folders_decide_by_content_too(tmp_path):
    series, study = generate_uid(), generate_uid()
    for number, name in enumerate(NAMES):
        dicom(tmp_path / "in" / "plain", height=float(number), series=series, study=study)
        content = (tmp_path / "in" / "plain").read_bytes()
        (tmp_path / "in" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        (tmp_path / "in" / "plain").unlink()
    found = find_inputs([tmp_path / "in"])
    assert (
        not found.failures
        and [case.image.name for case in found.manifest.cases] == NAMES
        and len(set(found.volumes)) == 1
    )
    (tmp_path / "in" / "labels.csv").write_text(f"StudyInstanceUID,label\n{study},1\n")
    assert len(recognize(tmp_path / "in").cases) == len(NAMES)
    for kind in ("normal", "sick"):
        dicom(tmp_path / "classes" / kind / f"IM_{kind}", patient=kind)
    assert {case.patient: case.label for case in recognize(tmp_path / "classes").cases} == {
        "normal": 0,
        "sick": 1,
    }


def test_t5_volumes_of_every_format_may_be_labelled(tmp_path, rng):
    for name in ("a.nrrd", "b.mha", "c.hdr", "d.nii.gz", "e.nhdr"):
        SimpleITK.WriteImage(itk_image(scan(rng)), str(tmp_path / name))
    (tmp_path / "labels.csv").write_text("image,label\na.nrrd,1\nb,0\nc.img,1\nd,0\nE.NHDR,n/a\n")
    manifest = recognize(tmp_path)
    assert [(case.image.name, case.label) for case in manifest.cases] == [
        ("a.nrrd", 1),
        ("b.mha", 0),
        ("c.hdr", 1),
        ("d.nii.gz", 0),
        ("e.nhdr", None),
    ]
    assert "5 of 5 volumes" in manifest.account[0]
