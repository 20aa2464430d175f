"""Decode DICOM pixels by tensorflow-io (`data.dicom_backend: tensorflow_io`), checked against pydicom per
file.

tensorflow-io 0.37.1, the last one, imports on any TensorFlow, but its operations load only on TensorFlow 2.17
and older, which only a call reveals. The result is neither stored values nor Hounsfield units, but DCMTK's
rendering of the modality values v onto the smallest power of two that holds their range (measured; DCMTK
DiMonoImage):

    bits = those that hold lowest..highest (one more when lowest < 0)
    out  = floor((v - lowest) * 2**bits / (highest - lowest + 1));  MONOCHROME1: 2**bits - 1 - out

with lowest and highest the modality values of the ends of the stored range. CT_small.dcm: out = 2 * stored +
65536; MR_small.dcm: out = stored + 32768. This module undoes the rendering; a slope below 1 loses values and
cannot be undone.
"""

import contextlib
import functools
import io
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from clamnet_tf.errors import EnvironmentFailure, ImageError
from clamnet_tf.imaging.companions import is_gzipped, unpacked
from clamnet_tf.imaging.dicom_decoding import decode_pydicom
from clamnet_tf.imaging.dicom_header import LARGEST_UNPACKED

_INSTEAD = "read it with data.dicom_backend: pydicom."


def decode_tensorflow_io(dataset: Dataset, path: Path) -> np.ndarray:
    """Return the stored values of a DICOM file, equal to those of `dicom_decoding.decode_pydicom`.

    Raises:
        EnvironmentFailure: the operations of tensorflow-io do not load.
        ImageError: tensorflow-io cannot read the file, loses its values, or differs from pydicom (overlays
            burnt in, big-endian 32 bits, palettes, cut-off data that DCMTK fills up); the message gives the
            reason.
    """
    check_operations()
    if dataset.PhotometricInterpretation == "PALETTE COLOR" or dataset.get("ModalityLUTSequence"):
        raise ImageError(
            f"{path}: tensorflow-io applies palettes and LUT tables itself and does not give stored values; "
            f"{_INSTEAD}"
        )
    try:
        rendered = _render(unpacked(path, LARGEST_UNPACKED) if is_gzipped(path) else Path(path).read_bytes())
    except _operation_errors() as error:
        reason = str(error).splitlines()[0][-200:] if str(error) else type(error).__name__
        raise ImageError(
            f"{path}: tensorflow-io cannot read this DICOM file ({reason}); {_INSTEAD}"
        ) from error
    expected = decode_pydicom(dataset, path)
    frames = rendered.reshape(expected.shape) if rendered.size == expected.size else None
    if frames is None:
        raise ImageError(
            f"{path}: tensorflow-io gives shape {rendered.shape}, pydicom {expected.shape}; {_INSTEAD}"
        )
    stored = frames if expected.ndim == 4 else undo_rendering(frames, dataset)
    different = int((stored != expected).sum())
    if different:
        raise ImageError(
            f"{path}: tensorflow-io and pydicom differ in {different:,} of {expected.size:,} pixel values; "
            f"{_INSTEAD}"
        )
    return stored.astype(expected.dtype)


def undo_rendering(rendered: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Return the stored values, float64 in the same shape, of DCMTK's rendering of a grayscale object.

    The rendering is described in the module's docstring.
    """
    bits = int(dataset.BitsStored)
    ends = np.array(
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dataset.PixelRepresentation else (0, 2**bits - 1),
        dtype=np.float64,
    )
    slope = float(dataset.get("RescaleSlope") or 1.0)
    intercept = float(dataset.get("RescaleIntercept") or 0.0)
    lowest, highest = np.sort(ends * slope + intercept)
    depth = _bits_of(lowest, highest)
    values = rendered.astype(np.float64)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = 2.0**depth - 1 - values
    # A quarter is the middle of the interval that floor cut off.
    modality = (values + 0.25) * (highest - lowest + 1) / 2.0**depth + lowest
    return np.round((modality - intercept) / slope)


@functools.cache
def check_operations() -> None:
    """Decode a small file made here; raise EnvironmentFailure unless every value comes back."""
    pixels = np.arange(100, dtype="<u2").reshape(10, 10)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (
        10,
        10,
        1,
        "MONOCHROME2",
    )
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    try:
        returned = _render(stream.getvalue())
    except (ImportError, NotImplementedError, AttributeError, OSError) as error:
        raise EnvironmentFailure(
            f"data.dicom_backend: tensorflow_io does not work here ({_versions()}): "
            f"{str(error).splitlines()[0][:300]}. Its operations "
            "load on TensorFlow 2.17 and older: make that environment with tools/test-tfio, or use "
            "data.dicom_backend: pydicom."
        ) from error
    if not np.array_equal(undo_rendering(returned[..., 0], dataset)[0], pixels):
        raise EnvironmentFailure(
            f"tensorflow-io returns wrong pixels here ({_versions()}); use data.dicom_backend: pydicom."
        )


def _render(content: bytes) -> np.ndarray:
    """Run the operation: bytes of a file -> (frames, rows, columns, 1 or 3) uint64."""
    import tensorflow
    import tensorflow_io

    return tensorflow_io.image.decode_dicom_image(
        content, on_error="strict", scale="preserve", dtype=tensorflow.uint64
    ).numpy()


def _operation_errors() -> tuple[type[Exception], ...]:
    import tensorflow

    return (tensorflow.errors.OpError, ValueError)


def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for name in ("tensorflow", "tensorflow-cpu", "tensorflow-io"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = f"{name} {version(name)}"
    return ", ".join(
        (
            versions.get("tensorflow") or versions.get("tensorflow-cpu") or "no tensorflow",
            versions.get("tensorflow-io") or "no tensorflow-io",
        )
    )


def _bits_of(lowest: float, highest: float) -> int:
    """Return DCMTK's rangeToBits: the bits of the larger magnitude, and one for a sign."""
    if lowest < 0:
        largest = abs(lowest) - 1 if abs(lowest) >= highest else highest
        return int(largest).bit_length() + 1
    return int(highest).bit_length()
