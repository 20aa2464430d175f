"""Real files for the imaging tests, written by other libraries or taken from pydicom's wheel."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid


@pytest.fixture(scope="session")
def bundled():
    """Return a function: bundled('CT_small.dcm') -> path of a file inside pydicom's wheel, without a
    download.
    """

    def find(name):
        path = get_testdata_file(name, download=False)
        assert path is not None, name
        return Path(path)

    return find


@pytest.fixture
def write_slice():
    """Return a function: write_slice(path, pixels, Keyword=value ...) -> path of an axial CT slice.

    A value of None leaves the element out. pixels: (rows, columns[, 3]) or (frames, rows, columns) with
    NumberOfFrames given; any integer dtype.
    """

    def write(path, pixels, **elements):
        pixels = np.asarray(pixels)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        colour = pixels.ndim == 3 and pixels.shape[-1] == 3 and "NumberOfFrames" not in elements
        bits = pixels.dtype.itemsize * 8
        values = {
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": generate_uid(),
            "StudyInstanceUID": "1.2.3",
            "SeriesInstanceUID": "1.2.3.4",
            "FrameOfReferenceUID": "1.2.3.5",
            "Modality": "CT",
            "Rows": pixels.shape[-3 if colour else -2],
            "Columns": pixels.shape[-2 if colour else -1],
            "SamplesPerPixel": 3 if colour else 1,
            "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
            "PlanarConfiguration": 0 if colour else None,
            "BitsAllocated": bits,
            "BitsStored": bits,
            "HighBit": bits - 1,
            "PixelRepresentation": int(pixels.dtype.kind == "i"),
            "ImagePositionPatient": [0, 0, 0],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [0.5, 0.75],
            "SliceThickness": 2.0,
            **elements,
        }
        for keyword, value in values.items():
            if value is not None:
                setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        if len(dataset.PixelData) % 2:
            dataset.PixelData += b"\0"
        dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def write_enhanced():
    """Return a function: write_enhanced(path, pixels (frames, rows, columns), positions, slopes) -> path.

    It writes an enhanced MR object with functional groups.
    """

    def write(path, pixels, positions, slopes=None, **elements):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = EnhancedMRImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
        dataset.SeriesInstanceUID = "1.2.3.6"
        dataset.NumberOfFrames, dataset.Rows, dataset.Columns = pixels.shape
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (
            16,
            12,
            11,
            0,
        )
        shared, frames = Dataset(), []
        orientation, measures = Dataset(), Dataset()
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing, measures.SliceThickness = [0.9, 0.8], 3.0
        shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
        for number, position in enumerate(positions):
            frame, plane = Dataset(), Dataset()
            plane.ImagePositionPatient = list(position)
            frame.PlanePositionSequence = [plane]
            if slopes is not None:
                change = Dataset()
                change.RescaleSlope, change.RescaleIntercept, change.RescaleType = (
                    slopes[number],
                    number,
                    "US",
                )
                frame.PixelValueTransformationSequence = [change]
                window = Dataset()
                window.WindowCenter, window.WindowWidth = 100 + number, 50
                frame.FrameVOILUTSequence = [window]
            frames.append(frame)
        dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.PixelData = pixels.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def ramp():
    """Return a function: ramp(rows, columns, offset, dtype) -> a picture in which every pixel differs."""

    def make(rows=12, columns=10, offset=0, dtype=np.int16):
        return (np.arange(rows * columns).reshape(rows, columns) + offset).astype(dtype)

    return make


@pytest.fixture
def edit():
    """Return a function: edit(source, target, Keyword=value ...) -> target, a copy with changed elements.

    A value of None deletes an element.
    """

    def change(source, target, **elements):
        dataset = pydicom.dcmread(source)
        for keyword, value in elements.items():
            if value is None:
                del dataset[keyword]
            else:
                setattr(dataset, keyword, value)
        dataset.save_as(target)
        return target

    return change
