"""The windows that files propose equal pydicom's own windowing."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing, pixel_array

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.dicom import read_dicom_file
from clamnet_tf.imaging.dicom_voi import file_voi


def pydicoms_view(path, index=0):
    """Return pydicom's windowed picture, stretched to 0..1, where bright means bright."""
    dataset = pydicom.dcmread(path)
    values = apply_modality_lut(pixel_array(dataset), dataset)
    shown = apply_windowing(values, dataset, index)
    bits, signed = dataset.BitsStored, dataset.PixelRepresentation
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    low, high = (apply_modality_lut(np.array([end]), dataset)[0] for end in ends)
    shown = (shown - low) / (high - low)
    return 1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_windows_equal_pydicoms(write_slice, tmp_path, ramp, function, photometric):
    path = write_slice(
        tmp_path / "a.dcm",
        ramp(dtype=np.uint16),
        PhotometricInterpretation=photometric,
        RescaleSlope="2",
        RescaleIntercept="-100",
        WindowCenter=[20, 90],
        WindowWidth=[60, 31],
        VOILUTFunction=function,
        WindowCenterWidthExplanation=["SOFT", "BONE"],
    )
    views = file_voi(path)
    assert [view.explanation for view in views] == ["SOFT", "BONE"]
    values = read_dicom_file(path).array[0, ..., 0]
    for index, view in enumerate(views):
        np.testing.assert_allclose(view.apply(values), pydicoms_view(path, index), atol=2e-5)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_table_equals_pydicoms(write_slice, tmp_path, ramp, photometric):
    item = Dataset()
    item.LUTDescriptor, item.LUTExplanation = [100, 5, 8], "CURVE"
    item.LUTData = [int(255 * (n / 99) ** 2) for n in range(100)]
    item["LUTData"].VR = "US"
    path = write_slice(
        tmp_path / "a.dcm", ramp(dtype=np.uint8), PhotometricInterpretation=photometric, VOILUTSequence=[item]
    )
    (view,) = file_voi(path)
    dataset = pydicom.dcmread(path)
    expected = apply_voi(pixel_array(dataset), dataset) / 255
    shown = view.apply(read_dicom_file(path).array[0, ..., 0])
    np.testing.assert_allclose(shown, 1 - expected if photometric == "MONOCHROME1" else expected, atol=1e-6)
    assert view.explanation == "CURVE"


def test_frames_have_windows_of_their_own(write_enhanced, tmp_path):
    path = write_enhanced(
        tmp_path / "a.dcm", np.zeros((2, 8, 9), np.uint16), [(0, 0, 0), (0, 0, 3)], slopes=[1, 1]
    )
    assert [file_voi(path, frame=n)[0].center for n in (0, 1)] == [100, 101]


def test_a_file_without_window(bundled):
    assert file_voi(bundled("CT_small.dcm")) == ()


def test_a_window_that_cannot_be(write_slice, tmp_path, ramp):
    item = Dataset()
    item.LUTDescriptor = [100, 0, 7]
    item.LUTData = list(range(100))
    item["LUTData"].VR = "US"
    path = write_slice(tmp_path / "a.dcm", ramp(dtype=np.uint8), VOILUTSequence=[item])
    with pytest.raises(
        ImageError, match="its VOI LUT or window cannot be understood: '7' bits per LUT entry"
    ):
        file_voi(path)
