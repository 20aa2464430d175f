"""Values of DICOM files equal those of pydicom, file by file, or are refused with a reason."""

import re
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.uid import RLELossless

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.dicom import read_dicom_file

FOLDER = Path(get_testdata_file("CT_small.dcm", download=False)).parent
FILES = sorted(
    path
    for path in FOLDER.rglob("*")
    if path.is_file() and path.suffix in (".dcm", "") and path.name != "README"
)

# what may be refused, and the words that must say why
REFUSED = {
    "film": r"a film of \d+ frames",
    "without an image": r"a DICOM object without an image \(.+\); leave it out",
    "no pixel data": "holds no pixel data",
    "segmentation": r"a segmentation \(masks\), not an image",
    "dose": "a radiotherapy dose grid, not an image",
    "small": "too small: 3 rows x 3 columns.*at least 8 x 8",
    "12 bits": r"JPEG Extended \(Process 2 and 4\).*12 bits per sample.*dcmdjpeg",
    "truncated": "less than expected .8130 vs 8192 bytes",
    "J2K": "its header says 1024 x 256 pixels, but compressed frame 1 announces 1024 x 3722445056: damaged "
    "or hostile",
    "not DICOM": "the name says a DICOM file",
}


def pydicoms_own(path):
    """Return the pixels by pydicom alone, with the LUT that the docstring of read_pixels promises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path, force=True)
        values = pixel_array(dataset)
        photometric = dataset.PhotometricInterpretation
        if photometric == "PALETTE COLOR":
            values = apply_color_lut(values, dataset)
        elif photometric.startswith("MONOCHROME"):
            values = apply_modality_lut(values, dataset)
        if photometric == "MONOCHROME1":
            ends = apply_modality_lut(np.array([0, 2**dataset.BitsStored - 1]), dataset)
            values = ends[0] + ends[1] - values.astype(np.float64)
    frames = int(dataset.get("NumberOfFrames") or 1)
    return values.reshape(frames, dataset.Rows, dataset.Columns, -1).astype(np.float32)


def test_the_bundled_corpus_is_there():
    assert len(FILES) > 150


def test_every_bundled_file_is_read_or_refused_with_the_reason():
    counts = {"equal": 0, "refused": 0}
    for path in FILES:
        try:
            volume = read_dicom_file(path)
        except ImageError as error:
            assert str(error).startswith(str(path))
            assert any(re.search(pattern, str(error)) for pattern in REFUSED.values()), str(error)
            counts["refused"] += 1
            continue
        np.testing.assert_array_equal(volume.array, pydicoms_own(path), err_msg=str(path))
        assert volume.array.dtype == np.float32
        counts["equal"] += 1
    assert counts["equal"] >= 70


def test_slope_and_intercept(write_slice, tmp_path, ramp):
    path = write_slice(tmp_path / "a.dcm", ramp(offset=-50), RescaleSlope="0.5", RescaleIntercept="-1024")
    np.testing.assert_array_equal(read_dicom_file(path).array[0, ..., 0], ramp(offset=-50) * 0.5 - 1024)


def test_a_slope_of_zero_is_refused(write_slice, tmp_path, ramp):
    path = write_slice(tmp_path / "a.dcm", ramp(), RescaleSlope="0", RescaleIntercept="0")
    with pytest.raises(ImageError, match="RescaleSlope is 0"):
        read_dicom_file(path)


def test_slopes_of_each_frame_follow_the_frames_into_their_order(write_enhanced, tmp_path):
    pixels = np.arange(3 * 8 * 9, dtype=np.uint16).reshape(3, 8, 9)
    path = write_enhanced(tmp_path / "a.dcm", pixels, [(0, 0, 9), (0, 0, 3), (0, 0, 6)], slopes=[1, 2, 4])
    volume = read_dicom_file(path)
    expected = [pixels[1] * 2 + 1, pixels[2] * 4 + 2, pixels[0] * 1 + 0]
    np.testing.assert_array_equal(volume.array[..., 0], expected)
    np.testing.assert_array_equal(volume.to_original(volume.array[..., 0])[0], pixels[0])


def test_monochrome1_is_inverted_inside_the_range_of_its_bits(write_slice, tmp_path, ramp):
    pixels = ramp(dtype=np.uint16)
    plain = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    np.testing.assert_array_equal(
        read_dicom_file(write_slice(tmp_path / "a.dcm", pixels, **plain)).array[0, ..., 0],
        4095 - pixels.astype(int),
    )
    sloped = write_slice(tmp_path / "b.dcm", pixels, **plain, RescaleSlope="2", RescaleIntercept="10")
    np.testing.assert_array_equal(
        read_dicom_file(sloped).array[0, ..., 0], 2 * (4095 - pixels.astype(int)) + 10
    )
    signed = write_slice(tmp_path / "c.dcm", ramp(offset=-60), PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_dicom_file(signed).array[0, ..., 0], -1 - ramp(offset=-60).astype(int))


def test_modality_lut_table(write_slice, tmp_path, ramp):
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [200, 0, 16], "US"
    item.LUTData = [int(n**2) for n in range(200)]
    item["LUTData"].VR = "US"
    path = write_slice(tmp_path / "a.dcm", ramp(dtype=np.uint8), ModalityLUTSequence=[item])
    np.testing.assert_array_equal(read_dicom_file(path).array[0, ..., 0], ramp().astype(int) ** 2)


def test_palette_becomes_three_channels(bundled):
    volume = read_dicom_file(bundled("examples_palette.dcm"))
    assert volume.array.shape == (1, 350, 800, 3)
    assert volume.array.max() > 255  # 16-bit palette, in its stored range


def test_ybr_becomes_rgb(bundled):
    rgb, ybr = (
        read_dicom_file(bundled(name)).array
        for name in ("SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_+eb+cy+n1.dcm")
    )
    assert rgb.shape == (1, 100, 100, 3)
    assert np.abs(rgb - ybr).mean() < 4  # JPEG keeps the two apart; without conversion they are 92 apart


def test_signed_and_big_endian_agree(bundled):
    little, big, packed = (
        read_dicom_file(bundled(f"MR_small{name}.dcm")).array for name in ("", "_bigendian", "_RLE")
    )
    np.testing.assert_array_equal(little, big)
    np.testing.assert_array_equal(little, packed)


def test_a_classic_multi_frame_object_keeps_its_order_and_says_so(write_slice, tmp_path):
    pixels = np.arange(4 * 8 * 9, dtype=np.uint8).reshape(4, 8, 9)
    volume = read_dicom_file(write_slice(tmp_path / "a.dcm", pixels, NumberOfFrames=4))
    np.testing.assert_array_equal(volume.array[..., 0], pixels)
    assert volume.grid.notes == ("frames have no position: kept in the order of the file",)
    assert volume.affine is None and volume.spacing_mm == (2.0, 0.5, 0.75)


def test_unknown_photometric_interpretation(write_slice, tmp_path, ramp):
    path = write_slice(tmp_path / "a.dcm", ramp(), PhotometricInterpretation="HSV")
    with pytest.raises(ImageError, match="photometric interpretation 'HSV'; supported are MONOCHROME1"):
        read_dicom_file(path)


def test_file_without_meta_information_is_read_as_native(bundled, tmp_path):
    dataset = pydicom.dcmread(bundled("MR_small_implicit.dcm"))
    bare = tmp_path / "bare.dcm"
    del dataset.file_meta, dataset.preamble
    dataset.save_as(bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert bare.read_bytes()[:2] == b"\x08\x00"
    np.testing.assert_array_equal(read_dicom_file(bare).array, read_dicom_file(bundled("MR_small.dcm")).array)


def test_rle_needs_no_plugin(bundled):
    assert pydicom.dcmread(bundled("SC_rgb_rle_2frame.dcm")).file_meta.TransferSyntaxUID == RLELossless
    assert read_dicom_file(bundled("SC_rgb_rle_2frame.dcm")).array.shape == (2, 100, 100, 3)
