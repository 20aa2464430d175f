"""Make inputs by formula and the outputs of local prediction for them; every export is compared with
these.
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
from clamnet_tf.inference.attribution_result import ATTRIBUTION
from clamnet_tf.inference.postprocessing.log_odds import log_odds
from clamnet_tf.metrics.localisation import image_score
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.prepared_volume import prepare_volume
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

#: Absolute tolerance of probabilities and presence scores.
TOLERANCE = 1e-5
#: Tolerance for a network whose batch norms were folded, which rounds differently.
FOLDED_TOLERANCE = 5e-5
#: Absolute tolerance of float probabilities in other runtimes. LiteRT and onnxruntime add up the means of
#: group norms in plain float32: 1.4e-4 from float64 was measured, where TensorFlow is at 5e-7; 5.5e-4 for
#: mri_carcinoma version 2, on slices of noise.
RUNTIME_TOLERANCE = 2e-3
#: Tolerance of `ENCODED`: slices are rounded to float16, so the last bit of a resized value changes it by up
#: to 1/2048.
ENCODED_TOLERANCE = 2e-3
#: Tolerance of every signature where the result is the attribution of classifiers: a gradient through clipped
#: activations amplifies rounding. 6e-4 was measured for xray_trauma on prepared slices, 2.7e-3 on pictures.
ATTRIBUTION_TOLERANCE = 1e-2


@dataclass
class Reference:
    """Hold inputs and expected outputs.

    Attributes:
        thresholds: One threshold per class.
        calls: (signature, inputs by name, outputs by name, tolerance). An input that is a list holds bytes of
            files.
    """

    thresholds: tuple[float, ...]
    calls: list = field(default_factory=list)

    def add(self, signature: str, inputs: dict, outputs: dict, tolerance: float = TOLERANCE) -> None:
        """Add a call."""
        self.calls.append((signature, inputs, outputs, tolerance))

    def write(self, path: Path) -> None:
        """Write the calls as an npz file that verify_in_subprocess.py reads."""
        arrays = {"threshold": np.array(self.thresholds, np.float64)}
        for call_index, (signature, inputs, outputs, tolerance) in enumerate(self.calls):
            prefix = f"{signature}/{call_index}"
            arrays[f"{prefix}/tolerance"] = np.float64(tolerance)
            for name, value in inputs.items():
                if isinstance(value, list):
                    arrays |= {
                        f"{prefix}/in/{name}/{index:03d}": np.frombuffer(content, np.uint8)
                        for index, content in enumerate(value)
                    }
                else:
                    arrays[f"{prefix}/in/{name}"] = value
            arrays |= {f"{prefix}/out/{name}": value for name, value in outputs.items()}
        np.savez(path, **arrays)


def reference_of(source, signatures) -> Reference:
    """Make calls of every signature, with one slice and with several."""
    reference = Reference(source.thresholds)
    tolerance, encoded_tolerance = _tolerances(source)
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
        raw, windowed = images, images
        if has_fixed_window(source.data):
            center, width = source.data.window.center, source.data.window.width
            raw = (center + 0.4 * width * images).astype(np.float32)
            windowed = apply_window(raw, center, width)
        reference.add(
            DEFAULT, {IMAGES: raw}, marked(source, windowed, (windowed != 0).any(axis=-1)), tolerance
        )
    if ENCODED in signatures:
        files = pictures(1 if source.channels == 1 else 3) if source.data.channels is None else pictures(3)
        reference.add(ENCODED, {IMAGE_BYTES: files[:1]}, local(source, files[:1]), encoded_tolerance)
        reference.add(ENCODED, {IMAGE_BYTES: files}, local(source, files), encoded_tolerance)
    if ENCODED_DICOM in signatures:
        files = [dicom_file(source.channels if source.data.channels is None else 3)]
        reference.add(ENCODED_DICOM, {IMAGE_BYTES: files}, local(source, files), encoded_tolerance)
    return reference


def _tolerances(source) -> tuple[float, float]:
    """Return the tolerances of prepared slices and of encoded images."""
    if source.identity.head == ATTRIBUTION:
        return ATTRIBUTION_TOLERANCE, ATTRIBUTION_TOLERANCE
    return FOLDED_TOLERANCE if source.was_folded else TOLERANCE, ENCODED_TOLERANCE


def runtime_reference(source, tolerance: float) -> Reference:
    """Make calls of `PREPARED` alone, with one slice and with several, for files that have no other
    signature.
    """
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
    """Make (3, side, side, channels) float32, values about -2..5, 0 outside a disc: rings, a spot, grain."""
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
    """Make a PNG, a JPEG and, for one channel, a 16-bit PNG of different sizes: a head with a spot on a dark
    ground.
    """
    contents = [_encoded(_head(150, 120, channels, 0), "PNG"), _encoded(_head(300, 260, channels, 1), "JPEG")]
    if channels == 1:
        contents.append(_encoded(_head(90, 100, 1, 2).astype(np.uint16) * 200, "PNG"))
    return contents


def dicom_file(channels: int) -> bytes:
    """Make a CT slice of 12 bits with intercept -1024, or for three channels a colour picture."""
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


def _head(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    """Draw a head with a spot on a dark ground, (height, width, channels) uint8; `seed` is that of the
    grain.
    """
    rows, columns = np.mgrid[:height, :width]
    vertical, horizontal = (rows - 0.52 * height) / (0.4 * height), (columns - 0.47 * width) / (0.36 * width)
    inside = vertical**2 + horizontal**2 < 1
    spot = np.exp(-12 * ((vertical + 0.2) ** 2 + (horizontal - 0.3) ** 2))
    grain = np.random.default_rng(seed).normal(size=(height, width, channels))
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
    """Encode a picture as PNG or JPEG."""
    stream = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(
        stream, kind, **({"quality": 95} if kind == "JPEG" else {})
    )
    return stream.getvalue()


def local(source, files: list[bytes]) -> dict:
    """Compute what local prediction (NumPy, SciPy, Pillow) gives for each picture as a volume of one
    slice.
    """
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
    images = np.concatenate([picture.images for picture in prepared]).astype(np.float32)
    organ = np.concatenate([picture.organ for picture in prepared]) > 0
    boxes = np.array(
        [[picture.box.top, picture.box.left, picture.box.size] for picture in prepared], np.int32
    )
    return {**marked(source, images, organ), BOX: boxes}


def marked(source, images: np.ndarray, organ: np.ndarray) -> dict:
    """Compute probability, mask and presence of prepared slices (N, H, W, C) with their organ (N, H, W)
    bool.
    """
    maps = source.original(images)
    scores = [
        image_score(probability_map, inside, source.pooling_power)
        for probability_map, inside in zip(maps.max(axis=-1), organ)
    ]
    mask = labels(source, maps, organ)
    return {PROBABILITY: source.written(maps), MASK: mask, PRESENCE: np.array(scores, np.float32)}


def labels(source, maps: np.ndarray, organ: np.ndarray) -> np.ndarray:
    """Compute label maps like endpoints.label_map.

    Args:
        source: export.source.Source.
        maps: (N, H, W, classes) float in 0..1.
        organ: (N, H, W) bool.

    Returns:
        (N, H, W) uint8.
    """
    cuts = np.array(source.thresholds, np.float32)
    class_number = 1 + (log_odds(maps) - log_odds(cuts)).argmax(axis=-1)
    return np.where((maps >= cuts).any(axis=-1) & organ, class_number, 0).astype(np.uint8)
