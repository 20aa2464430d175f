"""A run whose network is made by hand, so that every mask is known, and small inputs written by pydicom."""

import csv
import warnings
from pathlib import Path

import numpy as np
import pydicom
from click.testing import CliRunner
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from clamnet_tf.cli.main import main
from clamnet_tf.files import write_json, write_text
from clamnet_tf.recipe.schema import DataSection, InferenceSection, NetworkSection, OrganSection, Recipe
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.runs import RunFolder

SIDE = 64
PLAIN = {
    "steps": {"through_plane": 0.0, "main_component": 0.0, "appearance": 0.0},
    "raw_threshold": 0.5,
    "threshold": 0.5,
}
SELECTION = {
    "markings": {"mean": PLAIN, "head_1": PLAIN},
    "threshold_rule": "set by hand",
    "step": 7,
    "checkpoint_rule": "none",
    "looks": [],
}
CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "DX": DigitalXRayImageStorageForPresentation}


def write_run(folder: Path, modality: str, bright: float, *, steep: float = 40.0, **data) -> Path:
    """A finished run that marks prepared values v >= bright: P = 1 / (1 + exp(steep * (bright - v)))."""
    from clamnet_tf.networks.build import build_network

    recipe = Recipe(
        name="by_hand",
        modality=modality,
        condition="carcinoma",
        data=DataSection(side=SIDE, **data),
        organ=OrganSection(method="none", margin=0.0),
        network=NetworkSection(depth=2, filters=[2, 2], kernels=[3, 3], norm="none"),
        inference=InferenceSection(batch_size=2),
    )
    network = build_network(recipe.network, side=SIDE, channels=1)
    for layer in network.layers:
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    for name in (
        "x_0_0_conv_1",
        "x_0_0_conv_2",
        "x_0_1_conv_1",
        "x_0_1_conv_2",
    ):  # the image goes through as filter 0
        kernel, bias = network.get_layer(name).get_weights()
        kernel[1, 1, 0, 0] = 1
        network.get_layer(name).set_weights([kernel, bias])
    kernel, bias = network.get_layer("head_1_logits").get_weights()
    kernel[0, 0, 0, 1], bias[1] = steep, -steep * bright
    network.get_layer("head_1_logits").set_weights([kernel, bias])
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "__array__ implementation", DeprecationWarning
        )  # Keras 3.15 saving under NumPy 2
        network.save(run.model)
    write_text(run.recipe, to_yaml(recipe))
    write_json(run.selection, SELECTION)
    return folder


def call(*arguments):
    """(exit code, all that was printed) of a command."""
    result = CliRunner().invoke(main, list(map(str, arguments)), prog_name="clamnet-tf")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.output


def rows_of(path: Path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def write_dicom(path: Path, stored: np.ndarray, modality: str, **elements) -> Path:
    """One image, (rows, columns) of 16 bits or (rows, columns, 3) of 8; None leaves an element out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image, colour = Dataset(), stored.ndim == 3
    bits = 8 if colour else 16
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values = {
        "SOPClassUID": CLASSES.get(modality, CTImageStorage),
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "Modality": modality,
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "PlanarConfiguration": 0 if colour else None,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PatientID": "p",
        "PatientName": "",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        **elements,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(image, keyword, value)
    image.file_meta.MediaStorageSOPClassUID, image.file_meta.MediaStorageSOPInstanceUID = (
        image.SOPClassUID,
        image.SOPInstanceUID,
    )
    image.PixelData = (
        stored.astype(np.uint8).tobytes()
        if colour
        else stored.astype("<i2" if stored.dtype.kind == "i" else "<u2").tobytes()
    )
    image["PixelData"].VR = "OB" if colour else "OW"
    image.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, stored: np.ndarray, modality: str, *, heights=None, **elements) -> list[Path]:
    """An axial series of (slices, rows, columns), 2.5 mm apart unless `heights` says where they lie."""
    uids = {
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "FrameOfReferenceUID": generate_uid(),
    }
    heights = np.arange(len(stored)) * 2.5 if heights is None else heights
    return [
        write_dicom(
            folder / f"im{number:03d}.dcm",
            plane,
            modality,
            ImagePositionPatient=[-20.0, -31.0, float(height)],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[0.5, 0.75],
            SliceThickness=2.5,
            InstanceNumber=number + 1,
            **uids,
            **elements,
        )
        for number, (plane, height) in enumerate(zip(stored, heights))
    ]


def written_mask(out: Path, name: str) -> np.ndarray:
    """Bool (rows, columns) of a PNG that predict wrote."""
    from PIL import Image

    return np.asarray(Image.open(out / f"{name}_mask.png")) > 0


def dice(one, other) -> float:
    """2 |A and B| / (|A| + |B|)."""
    one, other = np.asarray(one, bool), np.asarray(other, bool)
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def displayed(path: Path) -> np.ndarray:
    """What pydicom shows of a file without padding and shutter: (rows, columns) in 0..1, bright is bright."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    source = pydicom.dcmread(path)
    shown = apply_voi_lut(apply_modality_lut(source.pixel_array, source), source).astype(np.float64)
    shown = (shown - shown.min()) / np.ptp(shown)
    return 1 - shown if source.PhotometricInterpretation == "MONOCHROME1" else shown
