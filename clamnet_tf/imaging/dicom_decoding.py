"""Decompress the pixels of a DICOM file by pydicom and its plugins into the stored values."""

import tempfile
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import JPEGTransferSyntaxes

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.codestream import announced_size
from clamnet_tf.imaging.companions import is_gzipped, unpacked
from clamnet_tf.imaging.dicom_header import LARGEST_UNPACKED, number, quiet
from clamnet_tf.imaging.gdcm_worker import decode_with_gdcm

INSTALL = "pip install 'clamnet-tf[dicom]'"
_PADDING = 1.5  # largest ratio of announced to expected pixels: a codestream may be padded to full blocks
_ORDER = ("pydicom", "pylibjpeg", "pyjpegls", "pillow", "gdcm")  # plugins, most robust against damage first


def decode_pydicom(dataset: Dataset, path: Path) -> np.ndarray:
    """Return the stored values of a DICOM file, colour as RGB, decoded by pydicom and its plugins.

    Returns:
        (frames, rows, columns[, 3]) in the file's own dtype.

    Raises:
        ImageError: no decoder is available, or the pixel data are damaged.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except (NotImplementedError, ValueError):  # ValueError: no transfer syntax at all
        raise ImageError(
            f"{path}: transfer syntax {syntax.name} ({syntax}) has no decoder; convert the file to Explicit "
            f"VR Little Endian, "
            "for example with `gdcmconv --raw in.dcm out.dcm`."
        ) from None
    if not decoder.is_available:
        raise ImageError(
            f"{path}: compressed as {syntax.name} ({syntax}), and no decoder for it is installed. Install "
            f"the decoders with "
            f"{INSTALL} and try again."
        )
    with decoding(lambda reason: ImageError(_why_not(reason, syntax, path))), quiet():
        _refuse_bombs(dataset, syntax, path)
        stored = _decompress(dataset, decoder, path)
    frames = int(number(dataset.get("NumberOfFrames")) or 1)
    shape = (frames, dataset.Rows, dataset.Columns, dataset.get("SamplesPerPixel") or 1)
    if stored.size != np.prod(shape):
        raise ImageError(
            f"{path}: {stored.size:,} pixel values found, {shape} announced. The file is damaged; export it "
            f"again."
        )
    return stored.reshape(shape if shape[3] > 1 else shape[:3])


def _decompress(dataset, decoder, path) -> np.ndarray:
    """Return the pixels decoded by one plugin.

    All plugins give equal values, but on damaged data pylibjpeg-rle panics and GDCM aborts.
    """
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
    for index, frame in enumerate(
        generate_frames(dataset.PixelData, number_of_frames=int(number(dataset.get("NumberOfFrames")) or 1))
    ):
        size = announced_size(frame)
        if size is not None and size[0] * size[1] > _PADDING * expected:
            raise ImageError(
                f"{path}: its header says {dataset.Rows} x {dataset.Columns} pixels, but compressed frame "
                f"{index + 1} announces "
                f"{size[0]} x {size[1]}: damaged or hostile. Export the image again."
            )


def _why_not(text: str, syntax, path) -> str:
    """Return the message for pixels that could not be decoded although a decoder is available."""
    if "12-bit" in text or "12 bit" in text or (syntax in JPEGTransferSyntaxes and "Extended" in syntax.name):
        return (
            f"{path}: compressed as {syntax.name} ({syntax}) with 12 bits per sample, which none of the "
            f"freely licensed decoders "
            f"reads ({text}). Convert it with DCMTK: `dcmdjpeg in.dcm out.dcm`."
        )
    advice = "The file is damaged or cut off; export or copy it again."
    if syntax.is_compressed:
        advice += f" If it opens elsewhere, make sure that all decoders are there: {INSTALL}."
        return (
            f"{path}: pixel data compressed as {syntax.name} ({syntax}) cannot be decoded: {text}. {advice}"
        )
    return f"{path}: pixel data ({syntax.name}) cannot be read: {text}. {advice}"
