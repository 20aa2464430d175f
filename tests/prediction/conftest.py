"""Runs whose network is made by hand (it marks what is at least so bright, so that every mask is known), and
DICOM phantoms.
"""

import csv
import warnings

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

from clamnet_tf.cli.main import main
from clamnet_tf.files import write_json, write_text
from clamnet_tf.recipe.schema import DataSection, InferenceSection, NetworkSection, OrganSection, Recipe
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.runs import RunFolder

SIDE = 32  # pictures with this longest side are cropped and resized to themselves
BRIGHT = 150
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


def _write_run(folder, bright, **data):
    """A finished run that marks values of at least `bright`, after normalisation: P(marker) = 1 / (1 +
    exp(bright - value)).
    """
    from clamnet_tf.networks.build import build_network

    recipe = Recipe(
        name="by_hand",
        modality=data.pop("modality", "mri"),
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
    kernel[0, 0, 0, 1], bias[1] = 1, -bright
    network.get_layer("head_1_logits").set_weights([kernel, bias])
    run = RunFolder(folder)
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "__array__ implementation", DeprecationWarning
        )  # Keras 3.15 saving under NumPy 2
        network.save(run.model)
    write_text(run.recipe, to_yaml(recipe))
    write_json(run.selection, SELECTION)
    return folder


@pytest.fixture(scope="session")
def write_run():
    return _write_run


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Marks values of at least BRIGHT as the files hold them."""
    return _write_run(tmp_path_factory.mktemp("runs") / "raw", BRIGHT, normalization="none")


@pytest.fixture
def predict(tmp_path):
    """predict(run, *inputs, options=(...)) -> (result, output folder, rows of marks.csv); one run marks CT,
    MR and X-rays, hence --any-modality.
    """

    def call(run, *inputs, options=(), out=tmp_path / "out"):
        result = CliRunner().invoke(
            main,
            ["predict", str(run), *map(str, inputs), "--any-modality", "--out", str(out), *map(str, options)],
            prog_name="clamnet-tf",
        )
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result, out, _rows_of(out / "marks.csv")

    return call


@pytest.fixture
def rows_of():
    return _rows_of


def _rows_of(path):
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


HEADER = {  # what the standard demands of every image, and what a hospital writes
    "PatientName": "Doe^Jane",
    "PatientID": "H-4711",
    "PatientBirthDate": "19500131",
    "PatientSex": "F",
    "AccessionNumber": "ACC0815",
    "StudyID": "S77",
    "StudyDate": "20240102",
    "StudyTime": "101112",
    "ReferringPhysicianName": "Roe^Richard",
    "InstitutionName": "St. Example Hospital",
    "SeriesNumber": 3,
    "BodyPartExamined": "BRAIN",
    "Manufacturer": "Maker",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 0,
    "RescaleSlope": 1,
    "RescaleIntercept": 0,
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
}
SPACING = (0.5, 0.75)  # between rows, between columns


def _dataset(sop_class, pixels, **elements):
    dataset = Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
        dataset.SOPClassUID,
        dataset.SOPInstanceUID,
    )
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    for keyword, value in {**HEADER, **elements}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = pixels.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


@pytest.fixture
def head():
    """head(rng, slices) -> (slices, 32, 24): about 100, with a bright shape that no turn, flip or shift maps
    to itself.
    """

    def make(rng, slices):
        image = rng.integers(80, 120, (slices, 32, 24))
        for number in range(slices):
            image[number, 4 : 12 + number, 3:5] = 200  # an F, longer from slice to slice, moving to the right
            image[number, 4:6, 3 : 9 + number] = 200
            image[number, 9, 3:7] = 200
        return image

    return make


@pytest.fixture
def write_series():
    """write_series(folder, images (S, R, C), positions, orientation) -> files of a CT series, named in no
    helpful order.
    """

    def write(folder, images, *, heights=None, orientation=(1, 0, 0, 0, 1, 0), **elements):
        folder.mkdir(parents=True, exist_ok=True)
        right, down = np.array(orientation[:3], float), np.array(orientation[3:], float)
        heights = np.arange(len(images)) * 2.5 if heights is None else heights
        uids = {
            "StudyInstanceUID": generate_uid(),
            "SeriesInstanceUID": generate_uid(),
            "FrameOfReferenceUID": generate_uid(),
        }
        files = []
        for number, (image, height) in enumerate(zip(images, heights)):
            position = np.array([-20.0, 31.0, 7.0]) + height * np.cross(right, down)
            values = {
                "Modality": "CT",
                "ImagePositionPatient": [float(f"{v:.6f}") for v in position],
                "ImageOrientationPatient": [float(f"{v:.9f}") for v in orientation],
            }
            values |= {
                "PixelSpacing": list(SPACING),
                "SliceThickness": 2.5,
                "InstanceNumber": len(images) - number,
                "KVP": 120,
                **uids,
                **elements,
            }
            files.append(folder / f"im{(7 * number) % 101:03d}.dcm")
            _dataset(CTImageStorage, image, **values).save_as(files[-1], enforce_file_format=True)
        return files

    return write


@pytest.fixture
def write_enhanced():
    """write_enhanced(path, images, order): one enhanced MR file whose frames lie in `order` of height."""

    def write(path, images, order, **elements):
        path.parent.mkdir(parents=True, exist_ok=True)
        uids = {
            "StudyInstanceUID": generate_uid(),
            "SeriesInstanceUID": generate_uid(),
            "FrameOfReferenceUID": generate_uid(),
        }
        values = {
            "Modality": "MR",
            "InstanceNumber": 1,
            "RescaleSlope": None,
            "RescaleIntercept": None,
            **uids,
            **elements,
        }
        dataset = _dataset(EnhancedMRImageStorage, images[list(order)], **values)
        dataset.NumberOfFrames = len(images)
        shared, frames, orientation, measures = Dataset(), [], Dataset(), Dataset()
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing, measures.SliceThickness = list(SPACING), 3.0
        shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
        for height in order:
            frame, plane = Dataset(), Dataset()
            plane.ImagePositionPatient = [10.0, -40.0, 55.0 + 3.0 * height]
            frame.PlanePositionSequence = [plane]
            frames.append(frame)
        dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def write_xray():
    """write_xray(path, image): a projection without frame of reference and position."""

    def write(path, image, **elements):
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {
            "Modality": "DX",
            "StudyInstanceUID": generate_uid(),
            "SeriesInstanceUID": generate_uid(),
            "InstanceNumber": 1,
            "BodyPartExamined": "CHEST",
        }
        values |= {"ImagerPixelSpacing": list(SPACING), "ImageType": ["ORIGINAL", "PRIMARY", ""], **elements}
        _dataset(DigitalXRayImageStorageForPresentation, image, **values).save_as(
            path, enforce_file_format=True
        )
        return path

    return write


OBLIQUE = (0.936293364, 0.275095847, -0.218350663, -0.289629478, 0.956425085, -0.036957014)


@pytest.fixture
def studies(tmp_path, rng, head, write_series, write_enhanced, write_xray):
    """{name: source files} of one patient each."""
    folder, images = tmp_path / "studies", head(rng, 5)
    return {
        "axial": write_series(folder / "axial", images),
        "backwards": write_series(folder / "backwards", images, heights=-3.0 * np.arange(5)),
        "oblique": write_series(folder / "oblique", images, orientation=OBLIQUE),
        "gaps": write_series(folder / "gaps", images, heights=[0, 2.5, 5, 12.5, 15]),
        "nothing": write_series(folder / "nothing", np.minimum(images, 120)),
        "enhanced": [write_enhanced(folder / "enhanced" / "all.dcm", images, (3, 0, 4, 1, 2))],
        "xray": [write_xray(folder / "xray" / "chest.dcm", images[0])],
    }


@pytest.fixture
def bright_points():
    return _bright_points


@pytest.fixture
def located():
    return _located


def _bright_points(files):
    """{(x, y, z) in 0.01 mm} of all bright pixels of source files, from their own headers (PS3.3 equation
    C.7.6.2.1-1).
    """
    points = set()
    for path in files:
        source = pydicom.dcmread(path)
        frames = source.pixel_array.reshape(-1, source.Rows, source.Columns)
        for number, pixels in enumerate(frames):
            plane = source
            if "PerFrameFunctionalGroupsSequence" in source:
                shared = source.SharedFunctionalGroupsSequence[0]
                place = (
                    source.PerFrameFunctionalGroupsSequence[number]
                    .PlanePositionSequence[0]
                    .ImagePositionPatient,
                    shared.PlaneOrientationSequence[0].ImageOrientationPatient,
                    shared.PixelMeasuresSequence[0].PixelSpacing,
                )
            else:
                place = (plane.ImagePositionPatient, plane.ImageOrientationPatient, plane.PixelSpacing)
            points |= _located(pixels >= BRIGHT, *place)
    return points


def _located(mask, position, orientation, spacing):
    rows, columns = np.nonzero(mask)
    right, down = (
        np.array(orientation[:3], float) * float(spacing[1]),
        np.array(orientation[3:], float) * float(spacing[0]),
    )
    points = np.array(position, float) + np.outer(columns, right) + np.outer(rows, down)
    return set(map(tuple, np.round(points * 100).astype(int).tolist()))
