"""DICOM pixels: decompression, colour, modality LUT and MONOCHROME1, in this order (PS3.3 C.7.6.3, C.11.1).

The result are the physical values (Hounsfield units of CT, arbitrary units of MR), not a picture for a screen: a
window is applied by callers (`windows.apply_window`, `dicom_voi.file_voi`).
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder, pixel_array
from pydicom.uid import JPEGTransferSyntaxes

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.codestream import announced_size
from clamnet_tf.imaging.companions import is_gzipped, unpacked
from clamnet_tf.imaging.dicom_announced import require_pixel_memory
from clamnet_tf.imaging.dicom_header import LARGEST_UNPACKED, functional_group, number, quiet
from clamnet_tf.imaging.gdcm_worker import decode_with_gdcm

INSTALL = "pip install 'clamnet-tf[dicom]'"
_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_COLOUR_AS_RGB = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_PADDING = 1.5  # a codestream may be padded to whole blocks, but announces about what the header does
_ORDER = ("pydicom", "pylibjpeg", "pyjpegls", "pillow", "gdcm")  # the plugins, most robust against damage first


def _decode_pydicom(dataset: Dataset, path: Path) -> np.ndarray:
    return decode_pydicom(dataset, path)


def _decode_tensorflow_io(dataset: Dataset, path: Path) -> np.ndarray:
    from clamnet_tf.imaging.dicom_tensorflow_io import decode_tensorflow_io

    return decode_tensorflow_io(dataset, path)


BACKENDS: dict[str, Callable[[Dataset, Path], np.ndarray]] = {  # data.dicom_backend of a recipe -> decoder of stored values
    "pydicom": _decode_pydicom,
    "tensorflow_io": _decode_tensorflow_io,
}


def read_pixels(dataset: Dataset, path: Path, *, backend: str = "pydicom", stored_too: bool = False):
    """All frames of an object as values after the modality LUT.

    Returns (frames, rows, columns, channels) float32: one channel for MONOCHROME1/2, three (red, green, blue, in the
    stored range) for RGB, YBR and PALETTE COLOR. Slope and intercept, or the modality LUT table, are applied per
    frame where functional groups carry them. MONOCHROME1 is mirrored inside the range that its bits can hold:
    v -> lowest + highest - v, with `value_range`, so that bright means bright in every slice alike. With stored_too a
    pair: these values, and the decoded ones before the modality LUT.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    with decoding(lambda reason: ImageError(f"{path}: its description of the pixels cannot be understood: {reason}. Export the image again.")):
        photometric = _photometric(dataset, path)
        require_pixel_memory(dataset, path, photometric)
    stored = BACKENDS[backend](dataset, path)
    with decoding(lambda reason: ImageError(f"{path}: its colour palette or modality LUT is damaged: {reason}. Export the image again.")), quiet():
        values = _to_values(stored, dataset, photometric)
    return (values, stored) if stored_too else values


def decode_pydicom(dataset: Dataset, path: Path) -> np.ndarray:
    """Stored values, colour as RGB, by pydicom and its plugins: (frames, rows, columns[, 3]), the file's own dtype."""
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except (NotImplementedError, ValueError):  # ValueError: no transfer syntax at all
        raise ImageError(
            f"{path}: transfer syntax {syntax.name} ({syntax}) has no decoder; convert the file to Explicit VR Little Endian, "
            "for example with `gdcmconv --raw in.dcm out.dcm`."
        ) from None
    if not decoder.is_available:
        raise ImageError(
            f"{path}: compressed as {syntax.name} ({syntax}), and no decoder for it is installed. Install the decoders with "
            f"{INSTALL} and try again."
        )
    with decoding(lambda reason: ImageError(_why_not(reason, syntax, path))), quiet():
        _refuse_bombs(dataset, syntax, path)
        stored = _decompress(dataset, decoder, path)
    frames = int(number(dataset.get("NumberOfFrames")) or 1)
    shape = (frames, dataset.Rows, dataset.Columns, dataset.get("SamplesPerPixel") or 1)
    if stored.size != np.prod(shape):
        raise ImageError(f"{path}: {stored.size:,} pixel values found, {shape} announced. The file is damaged; export it again.")
    return stored.reshape(shape if shape[3] > 1 else shape[:3])


def value_range(dataset: Dataset, frame: int = 0) -> tuple[float, float]:
    """The lowest and highest value that the frame's bits can hold, after the modality LUT."""
    bits = int(dataset.BitsStored)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dataset.get("PixelRepresentation") else (0, 2**bits - 1)
    table = _modality_table(dataset)
    if table is not None:
        ends = apply_modality_lut(np.array([low, high], dtype=np.int64), dataset)
    else:
        slope, intercept = _slope_intercept(dataset, frame)
        ends = np.array([low, high]) * slope + intercept
    return float(min(ends)), float(max(ends))


def _photometric(dataset, path) -> str:
    if not any(keyword in dataset for keyword in _PIXEL_KEYWORDS):
        raise ImageError(f"{path}: the DICOM file holds no pixel data (cut off, or a header alone). Export or copy it again.")
    photometric = str(dataset.get("PhotometricInterpretation") or "")
    if photometric not in (*_GRAY, *_COLOUR_AS_RGB, "PALETTE COLOR"):
        raise ImageError(
            f"{path}: photometric interpretation {photometric or 'missing'!r}; understood are "
            f"{', '.join((*_GRAY, 'PALETTE COLOR', *_COLOUR_AS_RGB))}. Convert it to RGB."
        )
    return photometric


def _to_values(stored, dataset, photometric):
    if photometric == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    if stored.ndim == 4:
        return np.ascontiguousarray(stored[..., :3], dtype=np.float32)
    values = np.empty((*stored.shape, 1), np.float32)
    real = stored.dtype.kind == "f"  # float pixel data are real world values already (PS3.3 C.7.6.24)
    for frame, plane in enumerate(stored):
        if real:
            result = plane
        elif _modality_table(dataset) is not None:
            result = apply_modality_lut(plane, dataset)
        else:
            slope, intercept = _slope_intercept(dataset, frame)
            result = plane.astype(np.float64) * slope + intercept
        if photometric == "MONOCHROME1" and not real:
            low, high = value_range(dataset, frame)
            result = (low + high) - np.asarray(result, dtype=np.float64)
        with np.errstate(over="ignore"):
            values[frame, ..., 0] = result
    return values


def _modality_table(dataset):
    sequence = dataset.get("ModalityLUTSequence")
    return sequence[0] if sequence else None


def _slope_intercept(dataset, frame) -> tuple[float, float]:
    """RescaleSlope and RescaleIntercept of a frame; 1 and 0 where absent. ValueError for a slope of 0."""
    group = functional_group(dataset, frame, "PixelValueTransformationSequence")
    source = dataset if group is None else group
    slope, intercept = number(source.get("RescaleSlope")), number(source.get("RescaleIntercept"))
    if slope == 0 or not np.isfinite([slope or 1.0, intercept or 0.0]).all():
        raise ValueError(f"RescaleSlope is {slope}, RescaleIntercept is {intercept}")
    return (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)


def _decompress(dataset, decoder, path) -> np.ndarray:
    """Pixels by one plugin. All of them give equal values; pylibjpeg-rle panics and GDCM aborts on damaged data."""
    plugin = next((name for name in _ORDER if name in decoder.available_plugins), "")
    if plugin != "gdcm":
        return pixel_array(dataset, decoding_plugin=plugin)
    if not is_gzipped(path):
        return decode_with_gdcm(path)
    with tempfile.NamedTemporaryFile(suffix=".dcm") as plain:
        plain.write(unpacked(path, LARGEST_UNPACKED))
        plain.flush()
        return decode_with_gdcm(Path(plain.name))


def _refuse_bombs(dataset, syntax, path):
    """Refuse compressed frames that announce far more pixels than the DICOM header."""
    if not syntax.is_encapsulated:
        return
    expected = int(dataset.Rows) * int(dataset.Columns)
    for number_, frame in enumerate(generate_frames(dataset.PixelData, number_of_frames=int(number(dataset.get("NumberOfFrames")) or 1))):
        size = announced_size(frame)
        if size is not None and size[0] * size[1] > _PADDING * expected:
            raise ImageError(
                f"{path}: its header says {dataset.Rows} x {dataset.Columns} pixels, but compressed frame {number_ + 1} announces "
                f"{size[0]} x {size[1]}: damaged or hostile. Export the image again."
            )


def _why_not(text: str, syntax, path) -> str:
    """A message for pixels that could not be decoded although a decoder is there."""
    if "12-bit" in text or "12 bit" in text or (syntax in JPEGTransferSyntaxes and "Extended" in syntax.name):
        return (
            f"{path}: compressed as {syntax.name} ({syntax}) with 12 bits per sample, which none of the freely licensed decoders "
            f"reads ({text}). Convert it with DCMTK: `dcmdjpeg in.dcm out.dcm`."
        )
    advice = "The file is damaged or cut off; export or copy it again."
    if syntax.is_compressed:
        advice += f" If it opens elsewhere, make sure that all decoders are there: {INSTALL}."
        return f"{path}: pixel data compressed as {syntax.name} ({syntax}) cannot be decoded: {text}. {advice}"
    return f"{path}: pixel data ({syntax.name}) cannot be read: {text}. {advice}"
