"""Read DICOM headers: open a file that may be damaged or hostile, and collect the facts of each frame.

PS3.3 sections: image plane C.7.6.2, pixel description C.7.6.3, multi-frame functional groups C.7.6.16.
"""

import contextlib
import io
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.acquisition import (
    differences_of,
    functional_group,
    image_type_of,
    number,
    refuse_tiles_and_films,
)
from clamnet_tf.imaging.companions import is_gzipped, unpacked
from clamnet_tf.imaging.dicom_announced import refuse_deflate_bomb, refuse_impossible_frames
from clamnet_tf.imaging.limits import BoundedFile

LARGEST_UNPACKED = 2**29  # bytes of a DICOM file that is stored in gzip

# Errors that pydicom raises on damaged bytes, found by cutting and flipping bytes of the bundled files.
DAMAGE = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    MemoryError,
    struct.error,
    zlib.error,
)

_QUIET = threading.RLock()

NOT_IMAGES = {  # SOP classes with pixels that do not show slices or views of a patient
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation (masks), not an image; give it in the column mask of a "
    "manifest.csv",
    "1.2.840.10008.5.1.4.1.1.66.7": "a label map segmentation (masks), not an image; give it in the column "
    "mask of a manifest.csv",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiotherapy dose grid, not an image; leave it out",
    "1.2.840.10008.5.1.4.1.1.77.1.6": "a whole-slide microscopy image made of tiles, not of slices; leave "
    "it out",
}
OWN_SERIES = "clamnet-tf "  # how SeriesDescription of results begins
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class Frame:
    """One slice as its header describes it. Lengths are in mm, in patient coordinates (LPS)."""

    path: Path
    index: int  # frame in the file, from 0
    rows: int
    columns: int
    samples: int
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    instance_number: int | None
    frame_of_reference: str | None
    position: np.ndarray | None  # (3,) ImagePositionPatient: centre of the first pixel
    orientation: np.ndarray | None  # (6,) ImageOrientationPatient: direction along a row, then along a column
    pixel_spacing: tuple[float, float] | None  # between rows, between columns
    thickness: float | None  # SpacingBetweenSlices, else SliceThickness
    gantry_tilt: float | None  # degrees
    modality: str = ""  # Modality (0008,0060)
    photometric: str = ""  # PhotometricInterpretation
    image_type: tuple[str, ...] = ()
    # Fields that may distinguish volumes of one series, see acquisition.py.
    differences: dict[str, str | float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """File name, with the number of the frame where it is not the first."""
        return f"{self.path.name} frame {self.index + 1}" if self.index else self.path.name


@contextlib.contextmanager
def quiet():
    """Silence warnings of pydicom and its decoders in the block, one thread at a time.

    Faults that matter are raised as ImageError.
    """
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_dataset(path: Path, *, pixels: bool) -> Dataset:
    """Return the DICOM object in a file, with or without its pixel data; raise ImageError for other files."""
    path = Path(path)
    sniff.require(path, "dicom")
    refused = lambda reason: ImageError(
        f"{path}: damaged or cut off DICOM file: {reason}. Export or copy it again."
    )
    with decoding(refused), quiet():
        zipped = is_gzipped(path)
        if not zipped:
            refuse_deflate_bomb(path)
        with io.BytesIO(unpacked(path, LARGEST_UNPACKED)) if zipped else BoundedFile(path) as stream:
            dataset = pydicom.dcmread(stream, force=True, stop_before_pixels=not pixels)
        _ = dataset.get("Rows"), dataset.get("NumberOfFrames"), dataset.get("PixelSpacing")
        _complete_syntax(dataset)
    return dataset


def why_no_image(dataset: Dataset) -> str:
    """Return why the pixels of an object do not show slices or views of a patient, or '' when they may."""
    sop_class = str(dataset.get("SOPClassUID", ""))
    if sop_class == _CAPTURE and str(dataset.get("Manufacturer", "")) == OWN_SERIES.strip():
        return "a picture of results of clamnet-tf, not an image; leave it out"
    return NOT_IMAGES.get(sop_class, "")


def is_gray(path: Path) -> bool:
    """Return whether the header of a DICOM file announces one channel."""
    return int(open_dataset(path, pixels=False).get("SamplesPerPixel") or 1) == 1


def read_frames(dataset: Dataset, path: Path) -> list[Frame]:
    """Return the facts of every frame.

    Raises:
        ImageError: the object has no pixels, is not an image, or its header contradicts itself.
    """
    path = Path(path)
    with (
        decoding(
            lambda reason: ImageError(
                f"{path}: its DICOM header cannot be understood: {reason}. Export the image again."
            )
        ),
        quiet(),
    ):
        return _read_frames(dataset, path)


def _read_frames(dataset, path):
    sop_class = str(dataset.get("SOPClassUID", ""))
    if why := why_no_image(dataset):
        raise ImageError(f"{path}: {why}.")
    if dataset.get("Rows") is None or dataset.get("Columns") is None:
        kind = pydicom.uid.UID(sop_class).name if sop_class else "no SOP class"
        raise ImageError(f"{path}: a DICOM object without an image ({kind}); leave it out.")
    frames = number(dataset.get("NumberOfFrames"))
    count = 1 if frames is None else int(frames)
    if count < 1:
        raise ImageError(f"{path}: NumberOfFrames is {count}; at least 1 is needed. Export the image again.")
    refuse_impossible_frames(dataset, path, count)
    grouped = dataset.get("PerFrameFunctionalGroupsSequence")
    if grouped is not None and len(grouped) != count:
        raise ImageError(
            f"{path}: NumberOfFrames is {count}, but it describes {len(grouped)} frames. Export the image "
            f"again."
        )
    refuse_tiles_and_films(dataset, path, count)
    # A classic multi-frame object has one position for all its frames, which cannot be used.
    single = count == 1 or grouped is not None
    result = []
    instance_number = number(dataset.get("InstanceNumber"))
    for index in range(count):
        plane = _item(dataset, index, "PlanePositionSequence")
        turned = _item(dataset, index, "PlaneOrientationSequence")
        measures = _item(dataset, index, "PixelMeasuresSequence")
        spacing = _vector(measures, "PixelSpacing", 2) or _vector(dataset, "ImagerPixelSpacing", 2)
        result.append(
            Frame(
                path=path,
                index=index,
                rows=int(dataset.Rows),
                columns=int(dataset.Columns),
                samples=int(dataset.get("SamplesPerPixel") or 1),
                series_uid=str(dataset.get("SeriesInstanceUID") or ""),
                sop_class_uid=sop_class,
                sop_instance_uid=str(dataset.get("SOPInstanceUID") or ""),
                instance_number=None if instance_number is None else int(instance_number),
                frame_of_reference=str(dataset.get("FrameOfReferenceUID") or "") or None,
                position=_array(_vector(plane, "ImagePositionPatient", 3)) if single else None,
                orientation=_array(_vector(turned, "ImageOrientationPatient", 6)) if single else None,
                pixel_spacing=spacing if spacing and min(spacing) > 0 else None,
                thickness=_positive(measures.get("SpacingBetweenSlices"))
                or _positive(measures.get("SliceThickness")),
                gantry_tilt=number(dataset.get("GantryDetectorTilt")),
                modality=str(dataset.get("Modality") or "").strip().upper(),
                photometric=str(dataset.get("PhotometricInterpretation") or ""),
                image_type=image_type_of(dataset),
                differences=differences_of(dataset, index),
            )
        )
    return result


def _item(dataset, index, sequence):
    """Return the functional group of the frame, or the dataset itself for classic objects."""
    group = functional_group(dataset, index, sequence)
    return dataset if group is None else group


def _vector(dataset, keyword, length):
    values = dataset.get(keyword)
    if values is None or values == "" or len(values) != length:
        return None
    vector = tuple(float(value) for value in values)
    return vector if np.isfinite(vector).all() else None


def _array(values):
    return None if values is None else np.asarray(values, dtype=np.float64)


def _positive(value):
    value = number(value)
    return abs(value) if value else None  # SpacingBetweenSlices of some vendors is negative


def _complete_syntax(dataset):
    """Set the encoding that the reader recognised for objects without file meta information."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax:
        if not isinstance(syntax, str):
            raise ValueError(f"its transfer syntax is {syntax}")
        return
    implicit, little = dataset.original_encoding
    if implicit and little:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    else:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
