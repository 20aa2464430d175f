"""Inputs made by formula, and what the network must give for them by local prediction: what every export is
held against.
"""

import io
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from clamnet_tf.export.endpoints import has_fixed_window
from clamnet_tf.export.prepare_ops import organ_of_pictures
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.imaging.windows import apply_window
from clamnet_tf.inference.postprocessing.one_class import log_odds
from clamnet_tf.metrics.localisation import image_score
from clamnet_tf.preprocessing.prepared_volume import prepare_volume
from clamnet_tf.preprocessing.volumes import AssembledVolume
from clamnet_tf.serving.signatures import (
    BOX,
    DEFAULT,
    ENCODED,
    ENCODED_DICOM,
    IDENTITY,
    IMAGE_BYTES,
    IMAGES,
    MASK,
    PREPARED,
    PRESENCE,
    PROBABILITY,
)

#: Of probabilities and presence scores, absolute.
TOLERANCE = 1e-5
#: The same for a network whose batch norms were folded: other numbers, rounded elsewhere.
FOLDED_TOLERANCE = 5e-5
#: Of float probabilities, absolute. LiteRT and onnxruntime add up the means of group norms in plain float32:
#: 1.4e-4 from float64 measured,
#: where TensorFlow lies at 5e-7; 5.5e-4 for mri_carcinoma version 2, on slices of noise.
RUNTIME_TOLERANCE = 2e-3
#: Of `ENCODED`: slices are rounded to float16, so that the last bit of a resized value decides on one 2048th
#: of it.
ENCODED_TOLERANCE = 2e-3


@dataclass
class Reference:
    """calls: (signature, inputs by name, outputs by name, tolerance); an input that is a list holds the bytes
    of files.
    """

    thresholds: tuple[float, ...]
    calls: list = field(default_factory=list)

    def add(self, signature: str, inputs: dict, outputs: dict, tolerance: float = TOLERANCE) -> None:
        self.calls.append((signature, inputs, outputs, tolerance))

    def write(self, path: Path) -> None:
        """As stranger.py reads it."""
        arrays = {"threshold": np.array(self.thresholds, np.float64)}
        for number, (signature, inputs, outputs, tolerance) in enumerate(self.calls):
            place = f"{signature}/{number}"
            arrays[f"{place}/tolerance"] = np.float64(tolerance)
            for name, value in inputs.items():
                if isinstance(value, list):
                    arrays |= {
                        f"{place}/in/{name}/{index:03d}": np.frombuffer(content, np.uint8)
                        for index, content in enumerate(value)
                    }
                else:
                    arrays[f"{place}/in/{name}"] = value
            arrays |= {f"{place}/out/{name}": value for name, value in outputs.items()}
        np.savez(path, **arrays)


def reference_of(source, signatures) -> Reference:
    """Calls of every signature, of one slice and of several."""
    reference = Reference(source.thresholds)
    tolerance = FOLDED_TOLERANCE if source.was_folded else TOLERANCE
    slices = prepared_slices(source.side, source.channels)
    for count in (1, len(slices)):
        images = slices[:count]
        reference.add(
            PREPARED,
            {IMAGES: images},
            {
                PROBABILITY: source.written(source.original(images)),
                IDENTITY: np.array([source.identity.text] * count),
            },
            tolerance,
        )
        raw, seen = images, images
        if has_fixed_window(source.data):
            center, width = source.data.window.center, source.data.window.width
            raw = (center + 0.4 * width * images).astype(np.float32)
            seen = apply_window(raw, center, width)
        reference.add(DEFAULT, {IMAGES: raw}, marked(source, seen, (seen != 0).any(axis=-1)), tolerance)
    if ENCODED in signatures:
        files = pictures(1 if source.channels == 1 else 3) if source.data.channels is None else pictures(3)
        reference.add(ENCODED, {IMAGE_BYTES: files[:1]}, local(source, files[:1]), ENCODED_TOLERANCE)
        reference.add(ENCODED, {IMAGE_BYTES: files}, local(source, files), ENCODED_TOLERANCE)
    if ENCODED_DICOM in signatures:
        files = [dicom_file(source.channels if source.data.channels is None else 3)]
        reference.add(ENCODED_DICOM, {IMAGE_BYTES: files}, local(source, files), ENCODED_TOLERANCE)
    return reference


def runtime_reference(source, tolerance: float) -> Reference:
    """Calls of `PREPARED` alone, for files that hold nothing else: of one slice and of several."""
    reference, images = Reference(source.thresholds), prepared_slices(source.side, source.channels)
    for count in (1, len(images)):
        reference.add(
            PREPARED,
            {IMAGES: images[:count]},
            {PROBABILITY: source.written(source.original(images[:count]))},
            tolerance,
        )
    return reference


def prepared_slices(side: int, channels: int) -> np.ndarray:
    """(3, side, side, channels) float32 in about -2..5, 0 outside a disc: rings, a spot, grain."""
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    radius = np.hypot(rows, columns)
    grain = np.random.default_rng(0).normal(size=(3, side, side, channels))
    spots = [
        np.exp(-80 * ((rows - 0.1 * shift) ** 2 + (columns + 0.15 - 0.1 * shift) ** 2)) for shift in range(3)
    ]
    image = np.stack(
        [
            np.stack([np.cos(20 * radius + channel) + 2 * spot for channel in range(channels)], axis=-1)
            for spot in spots
        ]
    )
    return ((image + 0.3 * grain) * (radius < 0.45)[..., None]).astype(np.float32)


def pictures(channels: int) -> list[bytes]:
    """A PNG, a JPEG and, for one channel, a 16-bit PNG of different sizes: a head with a spot on a dark
    ground.
    """
    contents = [_encoded(_head(150, 120, channels, 0), "PNG"), _encoded(_head(300, 260, channels, 1), "JPEG")]
    if channels == 1:
        contents.append(_encoded(_head(90, 100, 1, 2).astype(np.uint16) * 200, "PNG"))
    return contents


def dicom_file(channels: int) -> bytes:
    """A CT slice of 12 bits with intercept -1024, or for three channels a colour picture."""
    head, dataset = _head(140, 128, channels, 3), Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PixelRepresentation = (
        *head.shape[:2],
        channels,
        0,
    )
    if channels == 1:
        dataset.PhotometricInterpretation, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (
            "MONOCHROME2",
            16,
            12,
            11,
        )
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
        pixels, kind = head[..., 0].astype("<u2") * 8, "OW"
    else:
        (
            dataset.PhotometricInterpretation,
            dataset.BitsAllocated,
            dataset.BitsStored,
            dataset.HighBit,
            dataset.PlanarConfiguration,
        ) = "RGB", 8, 8, 7, 0
        pixels, kind = head, "OB"
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = kind
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _head(height: int, width: int, channels: int, number: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    vertical, horizontal = (rows - 0.52 * height) / (0.4 * height), (columns - 0.47 * width) / (0.36 * width)
    inside = vertical**2 + horizontal**2 < 1
    spot = np.exp(-12 * ((vertical + 0.2) ** 2 + (horizontal - 0.3) ** 2))
    grain = np.random.default_rng(number).normal(size=(height, width, channels))
    shades = np.stack(
        [
            110 + 25 * np.sin(5 * vertical + channel) + (50 + 20 * channel) * spot
            for channel in range(channels)
        ],
        axis=-1,
    )
    return (
        np.clip(np.where(inside[..., None], shades + 6 * grain, 6 + 2 * grain), 0, 255)
        .round()
        .astype(np.uint8)
    )


def _encoded(array: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(
        stream, kind, **({"quality": 95} if kind == "JPEG" else {})
    )
    return stream.getvalue()


def local(source, files: list[bytes]) -> dict:
    """What local prediction, in NumPy, SciPy and Pillow, gives for each picture as a volume of one slice."""
    prepared = []
    for content in files:
        suffix = (
            ".png"
            if content.startswith(b"\x89PNG")
            else ".jpg"
            if content.startswith(b"\xff\xd8")
            else ".dcm"
        )
        with tempfile.NamedTemporaryFile(suffix=suffix) as file:
            file.write(content)
            file.flush()
            volume = read_volume(Path(file.name))
        array = (
            volume.array
            if source.data.channels is None
            else np.ascontiguousarray(volume.array[..., list(source.data.channels)])
        )
        assembled = AssembledVolume(array, ((0, 0, 0, 0.5),), None, None, (volume.grid,), (volume.affine,))
        prepared.append(
            prepare_volume(assembled, Path("a picture"), source.data, organ_of_pictures(source.organ))
        )
    images = np.concatenate([one.images for one in prepared]).astype(np.float32)
    organ = np.concatenate([one.organ for one in prepared]) > 0
    boxes = np.array([[one.box.top, one.box.left, one.box.size] for one in prepared], np.int32)
    return {**marked(source, images, organ), BOX: boxes}


def marked(source, images: np.ndarray, organ: np.ndarray) -> dict:
    """Probability, mask and presence of prepared slices (N, H, W, C) with their organ (N, H, W) bool."""
    maps = source.original(images)
    scores = [image_score(one, inside, source.pooling_power) for one, inside in zip(maps.max(axis=-1), organ)]
    mask = labels(source, maps, organ)
    return {PROBABILITY: source.written(maps), MASK: mask, PRESENCE: np.array(scores, np.float32)}


def labels(source, maps: np.ndarray, organ: np.ndarray) -> np.ndarray:
    """Return the label maps (N, H, W) uint8 of maps (N, H, W, M) inside the organ (N, H, W) bool, as
    endpoints.label_map.
    """
    cuts = np.array(source.thresholds, np.float32)
    number = 1 + (log_odds(maps) - log_odds(cuts)).argmax(axis=-1)
    return np.where((maps >= cuts).any(axis=-1) & organ, number, 0).astype(np.uint8)
