"""The table of readers, and files whose content differs from their name."""

import os

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.formats import FORMATS, SUFFIXES, suffix_of
from clamnet_tf.imaging.mask_files import read_mask
from clamnet_tf.imaging.readers import read_volume


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.NII.GZ", ".nii.gz"),
        ("a.nii", ".nii"),
        ("scan.v2.PNG", ".png"),
        ("IM000001", None),
        ("1.2.840.113", None),
        ("a.gz", None),
    ],
)
def test_suffixes(name, suffix):
    assert suffix_of(name) == suffix


@pytest.fixture
def files(tmp_path, bundled, ramp):
    """Return one valid file of every kind."""
    stack = np.stack([ramp()] * 9)
    Image.fromarray(ramp(dtype=np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(ramp(dtype=np.uint8)).save(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "a.tif", ramp())
    np.save(tmp_path / "a.npy", ramp())
    nibabel.save(nibabel.Nifti1Image(stack, np.eye(4)), tmp_path / "a.nii.gz")
    (tmp_path / "a.dcm").write_bytes(bundled("CT_small.dcm").read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.npy", "a.nii.gz", "a.dcm"])
def test_every_kind_is_read_by_name_and_by_content(files, name):
    by_name = read_volume(files / name)
    (files / name).rename(files / "nameless")
    by_content = read_volume(files / "nameless")
    np.testing.assert_array_equal(by_name.array, by_content.array)
    assert by_name.array.dtype == np.float32 and by_name.array.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("a.jpg", "scan.dcm"), ("a.dcm", "scan.png"), ("a.png", "scan.nii.gz"), ("a.npy", "scan.tif")],
)
def test_the_content_decides_and_not_the_name(files, name, wrong):
    right = read_volume(files / name)
    (files / name).rename(files / wrong)
    np.testing.assert_array_equal(read_volume(files / wrong).array, right.array)


@pytest.mark.parametrize(
    ("reader", "name", "words"),
    [
        (
            FORMATS["dicom"].read,
            "a.jpg",
            "the name says a DICOM file, the content is a JPEG picture. Rename it to .jpg",
        ),
        (
            FORMATS["png"].read,
            "a.dcm",
            "the name says a PNG picture or a JPEG picture, the content is a DICOM file. Rename it to .dcm",
        ),
        (
            FORMATS["nifti"].read,
            "a.png",
            "the name says a NIfTI volume, the content is a PNG picture. Rename it to .png",
        ),
        (
            FORMATS["tiff"].read,
            "a.npy",
            "the name says a TIFF picture, the content is a NumPy array. Rename it to .npy",
        ),
    ],
)
def test_a_reader_refuses_other_content_by_name(files, reader, name, words):
    with pytest.raises(ImageError, match=words):
        reader(files / name)


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"the content is nothing \(0 bytes\). The copy or download was probably cut off"),
        (b"<html><body>404 Not Found</body></html>\n", "the content is text. Export the image again"),
        (b"PK\x03\x04 something", "the content is a zip archive. Unpack it"),
        (bytes(range(1, 200)), "the content is nothing that is known here|values .* without the header"),
    ],
)
def test_no_image_under_any_name(tmp_path, suffix, content, words):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as caught:
        read_volume(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("name", ["notes.txt", "nameless", "movie.mp4"])
def test_no_image_under_no_name(tmp_path, name):
    (tmp_path / name).write_text("Dear colleague, thank you for the referral of this patient.")
    with pytest.raises(
        ImageError, match="holds text, not an image that can be read. .* Readable are DICOM, NIfTI"
    ):
        read_volume(tmp_path / name)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ImageError, match="a.png: there is no such file; check the name"):
        read_volume(tmp_path / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match="no DICOM image in this folder .it is empty."):
        read_volume(tmp_path / "folder.png")
    with pytest.raises(ImageError, match="is a folder, an image file is expected here"):
        FORMATS["png"].read(tmp_path / "folder.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(files):
    (files / "a.png").chmod(0)
    with pytest.raises(ImageError, match="a.png: cannot be opened: Permission denied"):
        read_volume(files / "a.png")


def one_pixel(path):
    if path.suffix in (".png", ".jpg"):
        Image.new("L", (1, 1)).save(path)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, np.zeros((1, 1), np.uint8))
    elif path.suffix == ".npy":
        np.save(path, np.zeros((1, 1)))
    else:
        nibabel.save(nibabel.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.eye(4)), path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.npy", "a.nii.gz"])
def test_one_pixel_is_too_small(tmp_path, name):
    one_pixel(tmp_path / name)
    with pytest.raises(
        ImageError, match=f"{name}: too small: 1 rows x 1 columns.*at least 8 x 8 pixels are needed"
    ):
        read_volume(tmp_path / name)


def test_one_pixel_dicom(write_slice, tmp_path):
    with pytest.raises(ImageError, match="too small: 1 rows x 1 columns"):
        read_volume(write_slice(tmp_path / "a.dcm", np.zeros((1, 1), np.int16)))


def test_a_dicom_folder_is_one_volume(write_slice, tmp_path, ramp):
    for height in (0, 4, 2):
        write_slice(tmp_path / f"{height}", ramp(offset=height), ImagePositionPatient=[0, 0, height])
    assert read_volume(tmp_path).array[:, 0, 0, 0].tolist() == [0, 2, 4]


def test_a_dicom_folder_is_one_mask(write_slice, tmp_path, ramp):
    for height in (0, 4, 2):
        write_slice(
            tmp_path / f"{height}", (ramp() > height).astype(np.int16), ImagePositionPatient=[0, 0, height]
        )
    np.testing.assert_array_equal(read_mask(tmp_path).values, [ramp() > height for height in (0, 2, 4)])


def test_unknown_backend(files):
    with pytest.raises(ValueError, match="backend must be one of pydicom, tensorflow_io, got 'dcmtk'"):
        read_volume(files / "a.dcm", dicom_backend="dcmtk")


def test_preamble_may_hold_a_tiff_header(bundled):
    """In dual-personality files (PS3.10 7.1) DICOM is recognised although the first bytes are TIFF."""
    path = bundled("MR_small_implicit.dcm")
    assert path.read_bytes()[:4] == b"II*\0"
    assert read_volume(path).array.shape == (1, 64, 64, 1)


def test_stored_values_are_never_interpolated_on_the_way_back(files, rng):
    volume = read_volume(files / "a.nii.gz")
    labels = rng.integers(0, 1000, volume.array.shape[:3])
    assert np.array_equal(np.sort(volume.to_original(labels).ravel()), np.sort(labels.ravel()))
    assert volume.to_original(labels).dtype == labels.dtype
    with pytest.raises(ValueError, match=r"to_original needs shape .* got \(2, 2\)"):
        volume.to_original(np.zeros((2, 2)))
