"""One head in every way in which scanners store it, made by pydicom and nibabel, and a run that marks
what is bright."""

import csv
import warnings
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from click.testing import CliRunner
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from clamnet_tf.cli.main import main
from clamnet_tf.files import write_json, write_text
from clamnet_tf.recipe.schema import DataSection, InferenceSection, NetworkSection, OrganSection, Recipe
from clamnet_tf.recipe.writer import to_yaml
from clamnet_tf.runs import RunFolder

BRIGHT = 150
SIDE = 32  # images of this side are cropped and resized to themselves
PLAIN = {
    "steps": {"through_plane": 0.0, "main_component": 0.0, "appearance": 0.0},
    "raw_threshold": 0.5,
    "threshold": 0.5,
}
ORIGIN, SPACING = (
    np.array([-20.0, -31.0, 7.0]),
    np.array([1.0, 0.75, 0.5]),
)  # first voxel (x, y, z); mm of slices, rows, columns (z, y, x)
RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

# directions of slices, columns (down) and rows (to the right), LPS: x to the left, y back, z to the head
STORAGES = {
    "axial": ("+z", "+y", "+x"),
    "axial_from_head": ("-z", "+y", "+x"),
    "columns_reversed": ("+z", "+y", "-x"),
    "rows_reversed": ("+z", "-y", "+x"),
    "prone": ("+z", "-y", "-x"),
    "turned": ("+z", "+x", "-y"),
    "sagittal": ("+x", "-z", "+y"),
    "sagittal_from_left": ("-x", "-z", "-y"),
    "coronal": ("+y", "-z", "+x"),
    "coronal_reversed": ("-y", "+z", "-x"),
}


def _make_run(folder: Path, modality: str) -> Path:
    """A finished run that marks values of at least BRIGHT as the files hold them: P(marker) = 1 / (1 +
    exp(BRIGHT - value))."""
    from clamnet_tf.networks.build import build_network

    recipe = Recipe(
        name="by_hand",
        modality=modality,
        condition="carcinoma",
        data=DataSection(side=SIDE, normalization="none"),
        organ=OrganSection(method="none", margin=0.0),
        network=NetworkSection(depth=2, filters=[2, 2], kernels=[3, 3], norm="none"),
        inference=InferenceSection(batch_size=8),
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
    kernel[0, 0, 0, 1], bias[1] = 1, -BRIGHT
    network.get_layer("head_1_logits").set_weights([kernel, bias])
    run = RunFolder(folder)
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        network.save(run.model)
    write_text(run.recipe, to_yaml(recipe))
    looks = {"threshold_rule": "set by hand", "step": 7, "checkpoint_rule": "none", "looks": []}
    write_json(run.selection, {"markings": {"mean": PLAIN, "head_1": PLAIN}, **looks})
    return folder


@pytest.fixture(scope="session")
def bright_run(tmp_path_factory):
    return _make_run(tmp_path_factory.mktemp("runs") / "mri", "mri")


@pytest.fixture(scope="session")
def bright_xray_run(tmp_path_factory):
    return _make_run(tmp_path_factory.mktemp("runs") / "xray", "xray")


@dataclass
class Call:
    """What a command printed and wrote."""

    code: int
    stdout: str
    stderr: str
    out: Path

    def table(self, name: str) -> list[dict]:
        path = self.out / name
        if not path.exists():
            return []
        with open(path, newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def volume(self, name: str) -> dict:
        """The row of volumes.csv whose volume begins with `name`."""
        (row,) = [row for row in self.table("volumes.csv") if row["volume"].startswith(name)]
        return row


@pytest.fixture
def command(tmp_path):
    """command("predict", run, inputs ..., "--out", out) -> Call."""

    def call(*arguments, out=tmp_path / "out"):
        result = CliRunner().invoke(main, list(map(str, arguments)), prog_name="clamnet-tf")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return Call(result.exit_code, result.stdout, result.stderr, out)

    return call


@pytest.fixture
def marked(command, tmp_path):
    """marked(run, inputs ...) -> Call of predict with every format."""

    def call(run, *inputs, formats="png,nifti,dicom-seg,report", out=tmp_path / "out"):
        return command("predict", run, *inputs, "--out", out, "--format", formats, out=out)

    return call


@pytest.fixture(scope="session")
def head():
    """(20, 32, 32): slices from below, rows from front to back, columns from right to left; a bright
    shape that no turn maps to itself."""
    image = np.random.default_rng(0).integers(80, 120, (20, 32, 32))
    for number in range(4, 15):
        image[number, 4 : 12 + number // 2, 3:5] = 200
        image[number, 4:6, 3 : 9 + number] = 200
        image[number, 9, 3:7] = 200
    return image


def _axis(code: str) -> tuple[int, int]:
    """(axis of the head's array, sign)."""
    return "zyx".index(code[1]), 1 if code[0] == "+" else -1


def _unit(code: str) -> np.ndarray:
    axis, sign = _axis(code)
    return sign * np.eye(3)[2 - axis]


@dataclass
class Stored:
    """The head as one storage holds it. images: (slices, rows, columns); positions (slices, 3) of first
    pixels, in LPS."""

    images: np.ndarray
    positions: np.ndarray
    cosines: np.ndarray
    spacing: tuple[float, float]
    thickness: float


@pytest.fixture(scope="session")
def store(head):
    """store(storage) -> Stored."""

    def make(storage, image=head):
        codes = STORAGES[storage]
        axes = [_axis(code)[0] for code in codes]
        images = image.transpose(axes)[tuple(slice(None, None, _axis(code)[1]) for code in codes)]
        corner = [0 if dict(map(_axis, codes))[axis] > 0 else image.shape[axis] - 1 for axis in range(3)]
        first = ORIGIN + (np.array(corner) * SPACING)[::-1]
        positions = np.array(
            [first + number * SPACING[axes[0]] * _unit(codes[0]) for number in range(len(images))]
        )
        return Stored(
            images,
            positions,
            np.r_[_unit(codes[2]), _unit(codes[1])],
            (SPACING[axes[1]], SPACING[axes[2]]),
            SPACING[axes[0]],
        )

    return make


@pytest.fixture(scope="session")
def write_image():
    """write_image(path, pixels, Keyword=value ...) -> path of an MR image; None leaves an element out."""

    def write(path, pixels, **elements):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        colour = pixels.ndim == 3 and pixels.shape[-1] == 3
        values = {
            "SOPClassUID": MRImageStorage,
            "SOPInstanceUID": generate_uid(),
            "PatientID": "P1",
            "PatientName": "Test^Case",
            "Modality": "MR",
            "StudyInstanceUID": "1.2.3",
            "SeriesInstanceUID": "1.2.3.4",
            "FrameOfReferenceUID": "1.2.3.5",
            "ImageType": ["ORIGINAL", "PRIMARY", "M"],
            "InstanceNumber": 1,
            "SeriesNumber": 1,
            "Rows": pixels.shape[-3 if colour else -2],
            "Columns": pixels.shape[-2 if colour else -1],
            "SamplesPerPixel": 3 if colour else 1,
            "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
            "PlanarConfiguration": 0 if colour else None,
            "BitsAllocated": 8 if colour else 16,
            "BitsStored": 8 if colour else 16,
            "HighBit": 7 if colour else 15,
            "PixelRepresentation": 0,
            "Manufacturer": "Maker",
        }
        for keyword, value in {**values, **elements}.items():
            if value is not None:
                setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
            dataset.SOPClassUID,
            dataset.SOPInstanceUID,
        )
        dataset.PixelData = pixels.astype(np.uint8 if colour else "<u2").tobytes()
        dataset["PixelData"].VR = "OB" if colour else "OW"
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture(scope="session")
def write_series(store, write_image):
    """write_series(folder, storage or Stored, first=1, **elements) -> files in the order of the stored
    slices; InstanceNumber counts them from `first`.

    An element may be a list of one value per slice, called `each_<Keyword>`.
    """

    def write(folder, stored, *, first=1, prefix="im", **elements):
        stored = store(stored) if isinstance(stored, str) else stored
        each = {
            name.removeprefix("each_"): elements.pop(name)
            for name in list(elements)
            if name.startswith("each_")
        }
        series = {
            "SeriesInstanceUID": generate_uid(),
            "StudyInstanceUID": generate_uid(),
            "FrameOfReferenceUID": generate_uid(),
            **elements,
        }
        files = []
        for number, (image, position) in enumerate(zip(stored.images, stored.positions)):
            own = {keyword: values[number] for keyword, values in each.items()}
            files.append(
                write_image(
                    folder / f"{prefix}{(7 * number) % 101:03d}.dcm",
                    image,
                    InstanceNumber=first + number,
                    ImagePositionPatient=[round(float(v), 6) for v in position],
                    ImageOrientationPatient=[round(float(v), 9) for v in stored.cosines],
                    PixelSpacing=list(map(float, stored.spacing)),
                    SliceThickness=float(stored.thickness),
                    **{**series, **own},
                )
            )
        return files

    return write


@pytest.fixture(scope="session")
def write_nifti(store):
    """write_nifti(path, storage) -> a NIfTI file whose axes (i, j, k) are columns, rows and slices of
    the storage."""

    def write(path, stored, dtype=np.int16):
        stored = store(stored) if isinstance(stored, str) else stored
        affine = np.eye(4)
        affine[:3, 0], affine[:3, 1] = (
            stored.cosines[:3] * stored.spacing[1],
            stored.cosines[3:] * stored.spacing[0],
        )
        affine[:3, 2], affine[:3, 3] = stored.positions[1] - stored.positions[0], stored.positions[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(stored.images.transpose(2, 1, 0).astype(dtype), RAS @ affine), path)
        return path

    return write


def points(mask, affine) -> set:
    """{(x, y, z) in 0.01 mm} of the true voxels; affine: of the array's own index, in LPS."""
    index = np.argwhere(mask)
    return set(map(tuple, np.round((index @ affine[:3, :3].T + affine[:3, 3]) * 100).astype(int).tolist()))


@pytest.fixture(scope="session")
def bright_points(head):
    """Where the head is bright, by its own definition."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, SPACING[2]], [0, SPACING[1], 0], [SPACING[0], 0, 0]])
    affine[:3, 3] = ORIGIN
    return points(head >= BRIGHT, affine)


@pytest.fixture(scope="session")
def nifti_points():
    """nifti_points(path) -> {points of its nonzero voxels}, by nibabel."""

    def read(path):
        image = nibabel.load(path)
        return points(np.asarray(image.dataobj) != 0, RAS @ image.affine)

    return read


@pytest.fixture(scope="session")
def png_points():
    """png_points(out, rows of marks.csv, folder of sources) -> {points of all masks as PNG}, by each
    source's own header (PS3.3 equation C.7.6.2.1-1)."""
    from PIL import Image

    def read(out, rows, sources):
        found = set()
        for row in rows:
            source, mask = (
                pydicom.dcmread(sources / row["input"], stop_before_pixels=True),
                np.asarray(Image.open(out / row["mask"])),
            )
            right, down = (
                np.array(source.ImageOrientationPatient[:3], float),
                np.array(source.ImageOrientationPatient[3:], float),
            )
            affine = np.eye(4)
            affine[:3, 0], affine[:3, 1] = (
                down * float(source.PixelSpacing[0]),
                right * float(source.PixelSpacing[1]),
            )
            affine[:3, 3] = source.ImagePositionPatient
            affine[:3, 2] = np.cross(affine[:3, 0], affine[:3, 1])
            found |= points(mask[..., np.newaxis] > 0, affine)
        return found

    return read


@pytest.fixture(scope="session")
def seg_points():
    """seg_points(path) -> {points of a binary SEG}, its bits unpacked by hand (PS3.5 8.1.1)."""

    def read(path):
        seg = pydicom.dcmread(path)
        bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
        frames = bits[: int(seg.NumberOfFrames) * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
        shared, found = seg.SharedFunctionalGroupsSequence[0], set()
        cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
        spacing = [float(side) for side in shared.PixelMeasuresSequence[0].PixelSpacing]
        for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
            affine = np.eye(4)
            affine[:3, 0], affine[:3, 1] = cosines[3:] * spacing[0], cosines[:3] * spacing[1]
            affine[:3, 2] = np.cross(affine[:3, 0], affine[:3, 1])
            affine[:3, 3] = groups.PlanePositionSequence[0].ImagePositionPatient
            found |= points(frame[..., np.newaxis] > 0, affine)
        return found

    return read
