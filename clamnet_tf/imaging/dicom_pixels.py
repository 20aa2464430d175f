"""Convert DICOM pixels to values: colour, modality LUT and MONOCHROME1, in this order (PS3.3 C.7.6.3,
C.11.1).

The result are physical values (Hounsfield units for CT, arbitrary units for MR), not a picture for a screen.
A window is applied by callers (`windows.apply_window`, `dicom_voi.file_voi`).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.dicom_announced import require_pixel_memory
from clamnet_tf.imaging.dicom_decoding import decode_pydicom
from clamnet_tf.imaging.dicom_header import functional_group, number, quiet
from clamnet_tf.imaging.dicom_tensorflow_io import decode_tensorflow_io

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_COLOUR_AS_RGB = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_GRAY = ("MONOCHROME1", "MONOCHROME2")


# data.dicom_backend of a recipe -> decoder of stored values
BACKENDS: dict[str, Callable[[Dataset, Path], np.ndarray]] = {
    "pydicom": decode_pydicom,
    "tensorflow_io": decode_tensorflow_io,
}


def read_pixels(dataset: Dataset, path: Path, *, backend: str = "pydicom", stored_too: bool = False):
    """Return all frames of an object as values after the modality LUT.

    Slope and intercept, or the modality LUT table, are applied per frame where functional groups carry them.
    MONOCHROME1 is mirrored inside the range that its bits can hold: v -> lowest + highest - v, with
    `value_range`, so that bright means bright in every slice.

    Args:
        dataset: the open file with pixels.
        path: the file, named in messages.
        backend: a key of BACKENDS.
        stored_too: also return the decoded values before the modality LUT.

    Returns:
        (frames, rows, columns, channels) float32: one channel for MONOCHROME1/2, three (red, green, blue, in
            the stored range) for RGB, YBR and PALETTE COLOR. With stored_too a pair (these values, decoded
            values).

    Raises:
        ImageError: the pixels or their description are damaged or not supported.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    with decoding(
        lambda reason: ImageError(
            f"{path}: its description of the pixels cannot be understood: {reason}. Export the image again."
        )
    ):
        photometric = _photometric(dataset, path)
        require_pixel_memory(dataset, path, photometric)
    stored = BACKENDS[backend](dataset, path)
    with (
        decoding(
            lambda reason: ImageError(
                f"{path}: its colour palette or modality LUT is damaged: {reason}. Export the image again."
            )
        ),
        quiet(),
    ):
        values = _to_values(stored, dataset, photometric)
    return (values, stored) if stored_too else values


def value_range(dataset: Dataset, frame: int = 0) -> tuple[float, float]:
    """Return the lowest and highest value that the frame's bits can hold, after the modality LUT."""
    bits = int(dataset.BitsStored)
    low, high = (
        (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dataset.get("PixelRepresentation") else (0, 2**bits - 1)
    )
    table = _modality_table(dataset)
    if table is not None:
        ends = apply_modality_lut(np.array([low, high], dtype=np.int64), dataset)
    else:
        slope, intercept = _slope_intercept(dataset, frame)
        ends = np.array([low, high]) * slope + intercept
    return float(min(ends)), float(max(ends))


def _photometric(dataset, path) -> str:
    """Return the photometric interpretation; raise ImageError without pixels or for an unknown one."""
    if not any(keyword in dataset for keyword in _PIXEL_KEYWORDS):
        raise ImageError(
            f"{path}: the DICOM file holds no pixel data (cut off, or a header alone). Export or copy it "
            f"again."
        )
    photometric = str(dataset.get("PhotometricInterpretation") or "")
    if photometric not in (*_GRAY, *_COLOUR_AS_RGB, "PALETTE COLOR"):
        raise ImageError(
            f"{path}: photometric interpretation {photometric or 'missing'!r}; supported are "
            f"{', '.join((*_GRAY, 'PALETTE COLOR', *_COLOUR_AS_RGB))}. Convert it to RGB."
        )
    return photometric


def _to_values(stored, dataset, photometric):
    if photometric == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    if stored.ndim == 4:
        return np.ascontiguousarray(stored[..., :3], dtype=np.float32)
    values = np.empty((*stored.shape, 1), np.float32)
    is_physical = stored.dtype.kind == "f"  # float pixel data are real world values already (PS3.3 C.7.6.24)
    for frame, plane in enumerate(stored):
        if is_physical:
            result = plane
        elif _modality_table(dataset) is not None:
            result = apply_modality_lut(plane, dataset)
        else:
            slope, intercept = _slope_intercept(dataset, frame)
            result = plane.astype(np.float64) * slope + intercept
        if photometric == "MONOCHROME1" and not is_physical:
            low, high = value_range(dataset, frame)
            result = (low + high) - np.asarray(result, dtype=np.float64)
        with np.errstate(over="ignore"):
            values[frame, ..., 0] = result
    return values


def _modality_table(dataset):
    sequence = dataset.get("ModalityLUTSequence")
    return sequence[0] if sequence else None


def _slope_intercept(dataset, frame) -> tuple[float, float]:
    """Return RescaleSlope and RescaleIntercept of a frame, 1 and 0 where absent; raise ValueError for slope
    0.
    """
    group = functional_group(dataset, frame, "PixelValueTransformationSequence")
    source = dataset if group is None else group
    slope, intercept = number(source.get("RescaleSlope")), number(source.get("RescaleIntercept"))
    if slope == 0 or not np.isfinite([slope or 1.0, intercept or 0.0]).all():
        raise ValueError(f"RescaleSlope is {slope}, RescaleIntercept is {intercept}")
    return (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)
