"""Compressed syntaxes: a missing decoder, one that crashes, and frames that announce too much."""

import subprocess
import sys

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import gdcm_worker
from clamnet_tf.imaging.codestream import announced_size
from clamnet_tf.imaging.dicom import read_dicom_file

WITHOUT = """
import sys
for name in ("gdcm", "pylibjpeg", "openjpeg", "libjpeg", "rle", "jpeg_ls"):
    sys.modules[name] = None  # as if it were not installed
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.dicom import read_dicom_file
try:
    read_dicom_file(sys.argv[1])
except ImageError as error:
    print(error)
else:
    print("read")
"""


def without_decoders(path):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, str(path)], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", "JPEG-LS Lossless Image Compression (1.2.840.10008.1.2.4.80)"),
        (
            "SC_rgb_jpeg_gdcm.dcm",
            "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        ),
    ],
)
def test_a_syntax_without_decoder_names_syntax_and_extra(bundled, name, syntax):
    said = without_decoders(bundled(name))
    assert said.startswith(f"{bundled(name)}: compressed as {syntax}")
    assert "pip install 'clamnet-tf[dicom]'" in said


def test_native_and_rle_need_no_extra(bundled):
    assert without_decoders(bundled("CT_small.dcm")).strip() == "read"
    assert without_decoders(bundled("MR_small_RLE.dcm")).strip() == "read"


def test_a_syntax_that_nobody_decodes(bundled, tmp_path):
    dataset = pydicom.dcmread(bundled("MR_small_jp2klossless.dcm"))
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(
        ImageError, match=r"transfer syntax MPEG2 Main Profile / Main Level .* has no decoder; convert"
    ):
        read_dicom_file(tmp_path / "a.dcm")


def test_gdcm_gives_in_its_own_process_what_it_gives_here(bundled):
    path = bundled("SC_rgb_jpeg_gdcm.dcm")
    np.testing.assert_array_equal(
        gdcm_worker.decode_with_gdcm(path), pixel_array(path, decoding_plugin="gdcm")
    )


def test_gdcm_that_aborts_does_not_take_us_along(bundled, tmp_path):
    """Baseline JPEG with zeros in its entropy-coded part makes GDCM 3.2 end its process by std::terminate."""
    dataset = pydicom.dcmread(bundled("SC_rgb_jpeg_dcmtk.dcm"))
    frame = bytearray(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    frame[160:200] = bytes(40)
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset.save_as(tmp_path / "damaged.dcm")
    with pytest.raises((ImageError, ValueError)) as caught:
        gdcm_worker.decode_with_gdcm(tmp_path / "damaged.dcm")
    if caught.type is ImageError:
        assert "the decoder (GDCM) broke down" in str(caught.value)
    again = gdcm_worker.decode_with_gdcm(bundled("SC_rgb_jpeg_gdcm.dcm"))  # the next file gets a new worker
    assert again.shape == (100, 100, 3)


def test_a_worker_that_dies_is_an_image_error_and_replaced(bundled):
    path = bundled("SC_rgb_jpeg_gdcm.dcm")
    gdcm_worker.decode_with_gdcm(path)
    gdcm_worker._worker.kill()
    gdcm_worker._worker.wait()
    assert gdcm_worker.decode_with_gdcm(path).shape == (100, 100, 3)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
    ],
)
def test_cut_off_anywhere_is_an_image_error(bundled, tmp_path, name):
    """A cut file never gives fewer or other pixels silently; only padding behind them may be missing."""
    content, whole = bundled(name).read_bytes(), read_dicom_file(bundled(name)).array
    path, refused = tmp_path / "cut.dcm", 0
    for length in np.linspace(0, len(content) - 1, 25).astype(int):
        path.write_bytes(content[:length])
        try:
            np.testing.assert_array_equal(read_dicom_file(path).array, whole)
        except ImageError as error:
            assert str(error).startswith(str(path))
            refused += 1
    assert refused >= 20


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("SC_rgb_jpeg_dcmtk.dcm", (100, 100)),
        ("SC_rgb_jpeg_gdcm.dcm", (100, 100)),
        ("MR_small_jp2klossless.dcm", (64, 64)),
        ("MR_small_jpeg_ls_lossless.dcm", (64, 64)),
        ("examples_jpeg2k.dcm", (480, 640)),
        ("MR_small_RLE.dcm", None),
    ],
)
def test_announced_size(bundled, name, size):
    frame = next(generate_frames(pydicom.dcmread(bundled(name)).PixelData, number_of_frames=1))
    assert announced_size(frame) == size


def test_a_frame_that_announces_too_much_is_not_decoded(bundled, tmp_path):
    dataset = pydicom.dcmread(bundled("MR_small_jp2klossless.dcm"))
    frame = bytearray(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    frame[8:16] = (60000).to_bytes(4, "big") * 2
    dataset.PixelData = encapsulate([bytes(frame)])
    dataset.save_as(tmp_path / "bomb.dcm")
    with pytest.raises(
        ImageError, match="64 x 64 pixels, but compressed frame 1 announces 60000 x 60000: damaged or hostile"
    ):
        read_dicom_file(tmp_path / "bomb.dcm")
