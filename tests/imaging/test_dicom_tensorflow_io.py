"""The tensorflow-io backend equals pydicom in every value, or refuses the file with a reason.

Most of these tests run only in the environment of tools/test-tfio.
"""

import importlib.util
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from clamnet_tf.errors import EnvironmentFailure, ImageError
from clamnet_tf.imaging.readers import read_volume

REFUSED = {  # bundled files that pydicom reads, and why tensorflow-io may not
    "examples_palette.dcm": "applies palettes and LUT tables itself",
    "examples_overlay.dcm": r"differ in [\d,]+ of 145,200 pixel values",
    "SC_ybr_full_422_uncompressed.dcm": "differ in",
    "examples_jpeg2k.dcm": "tensorflow-io cannot read this DICOM file",
    "GDCMJ2K_TextGBR.dcm": "tensorflow-io cannot read this DICOM file",
    "SC_rgb_jpeg.dcm": "tensorflow-io cannot read this DICOM file",
}
EQUAL = [
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_padded.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "693_J2KI.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "JPEG2000.dcm",
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_rle_16bit.dcm",
    "SC_rgb_dcmtk_+eb+cy+s4.dcm",
    "examples_rgb_color.dcm",
    "examples_ybr_color.dcm",
    "image_dfl.dcm",
]


@pytest.fixture
def noisy_ends():
    """Ignore the warnings of TensorFlow 2.17 and tensorflow-io while they are imported."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_io") is not None, reason="tensorflow-io is installed here"
)
def test_without_tensorflow_io_it_says_what_to_do(bundled):
    code = (
        "import sys\nfrom clamnet_tf.errors import EnvironmentFailure\nfrom clamnet_tf.imaging.readers "
        "import read_volume\n"
        "sys.modules['tensorflow'] = sys.modules['tensorflow_io'] = None\n"
        "try: read_volume(sys.argv[1], dicom_backend='tensorflow_io')\nexcept EnvironmentFailure as error: "
        "print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(bundled("CT_small.dcm"))], capture_output=True, text=True, check=True
    ).stdout
    assert re.match(
        r"data.dicom_backend: tensorflow_io does not work here \(tensorflow(-cpu)? [\d.]+(\+cpu)?, no "
        r"tensorflow-io\): ",
        said,
    )
    assert "make that environment with tools/test-tfio, or use data.dicom_backend: pydicom" in said


@pytest.mark.tfio
@pytest.mark.parametrize("name", EQUAL)
def test_equal_to_pydicom(bundled, noisy_ends, name):
    theirs, ours = (
        read_volume(bundled(name), dicom_backend=backend) for backend in ("tensorflow_io", "pydicom")
    )
    np.testing.assert_array_equal(theirs.array, ours.array)
    assert theirs.spacing_mm == ours.spacing_mm


@pytest.mark.tfio
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_with_the_reason(bundled, noisy_ends, name):
    read_volume(bundled(name))
    with pytest.raises(ImageError, match=f"{REFUSED[name]}.*data.dicom_backend: pydicom"):
        read_volume(bundled(name), dicom_backend="tensorflow_io")


@pytest.mark.tfio
def test_truncated_data_are_refused_although_dcmtk_fills_them_up(bundled, noisy_ends):
    with pytest.raises(ImageError, match="less than expected"):
        read_volume(bundled("MR_truncated.dcm"), dicom_backend="tensorflow_io")


@pytest.mark.tfio
@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"BitsStored": 12, "HighBit": 11},
        {"RescaleSlope": "2", "RescaleIntercept": "0"},
        {"RescaleSlope": "1", "RescaleIntercept": "-1024"},
        {"RescaleSlope": "3", "RescaleIntercept": "-10"},
        {"BitsStored": 12, "HighBit": 11, "PhotometricInterpretation": "MONOCHROME1"},
        {"RescaleSlope": "1", "RescaleIntercept": "-1024", "PhotometricInterpretation": "MONOCHROME1"},
    ],
)
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_offsets_are_undone(write_slice, tmp_path, ramp, noisy_ends, elements, dtype):
    if dtype == np.int16 and "PhotometricInterpretation" in elements:
        pytest.skip("DCMTK gives -1 and 0 one value there, see test_lost_values_are_refused")
    path = write_slice(
        tmp_path / "a.dcm", ramp(offset=-50 if dtype == np.int16 else 0, dtype=dtype), **elements
    )
    theirs, ours = (
        read_volume(path, dicom_backend=backend).array for backend in ("tensorflow_io", "pydicom")
    )
    np.testing.assert_array_equal(theirs, ours)


@pytest.mark.tfio
@pytest.mark.parametrize(
    "elements",
    [{"RescaleSlope": "0.25", "RescaleIntercept": "0"}, {"PhotometricInterpretation": "MONOCHROME1"}],
)
def test_lost_values_are_refused(write_slice, tmp_path, ramp, noisy_ends, elements):
    path = write_slice(tmp_path / "a.dcm", ramp(offset=-50), **elements)
    with pytest.raises(
        ImageError, match=r"tensorflow-io and pydicom differ in [\d,]+ of 120 pixel values; read it with"
    ):
        read_volume(path, dicom_backend="tensorflow_io")


@pytest.mark.tfio
def test_operations_load(noisy_ends):
    from clamnet_tf.imaging.dicom_tensorflow_io import check_operations

    try:
        check_operations()
    except EnvironmentFailure as error:
        pytest.fail(f"tools/test-tfio is for an environment where this works: {error}")


@pytest.mark.tfio
def test_the_package_works_on_tensorflow_2_17(tmp_path):
    """The command line fits the built-in cohort, reduced in size, with this TensorFlow."""
    import tensorflow

    assert tensorflow.__version__.startswith("2.17.")
    shrunken = {
        "data.cohort.patients": 4,
        "data.cohort.slices": 8,
        "data.cohort.side": 64,
        "data.side": 32,
        "network.depth": 2,
        "network.filters": [4, 8],
        "network.kernels": [3, 3],
        "training.steps": 2,
        "training.batch_size": 4,
        "training.evaluate_every": 1,
        "training.checkpoint_every": 1,
        "inference.head": "mean",
    }
    options = [part for path, value in shrunken.items() for part in ("--set", f"{path}={value}")]
    command = [
        sys.executable,
        "-m",
        "clamnet_tf",
        "fit",
        "mri_carcinoma",
        "--out",
        str(tmp_path / "run"),
        "--quiet",
        *options,
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "CLAMNET_TF_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "run" / "model.keras").exists()
