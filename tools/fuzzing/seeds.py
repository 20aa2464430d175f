"""Make small valid files of every kind that the product reads, from which mutations start."""

import gzip
import io
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    generate_uid,
)

ROOT = Path(__file__).resolve().parents[2]
SIDE = 16


@dataclass(frozen=True)
class Seed:
    """Hold a valid file.

    Attributes:
        kind: Kind, a key of targets.TARGETS.
        name: Name of the file.
        content: Its bytes.
    """

    kind: str
    name: str
    content: bytes


def make_seeds() -> list[Seed]:
    """Return all seeds, always the same ones."""
    rng = np.random.default_rng(7)
    found = [
        *_dicom(rng),
        *_nifti(rng),
        *_pictures(rng),
        *_npy(rng),
        *_tables(),
        *_texts(),
        *_networks(),
        *_answers(),
    ]
    return found


def _dicom(rng):
    pixels = rng.integers(0, 2000, (SIDE, SIDE)).astype("<u2")
    for name, syntax in (
        ("explicit", ExplicitVRLittleEndian),
        ("implicit", ImplicitVRLittleEndian),
        ("big", ExplicitVRBigEndian),
        ("deflated", DeflatedExplicitVRLittleEndian),
    ):
        yield Seed("dicom", f"{name}.dcm", _saved(_image(pixels), syntax))
    gray = rng.integers(0, 255, (SIDE, SIDE)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(gray).save(stream, "JPEG")
    yield Seed("dicom", "jpeg.dcm", _saved(_image(gray, [stream.getvalue()]), JPEGBaseline8Bit))
    rle = _image(pixels)
    rle.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    rle["PixelData"].VR = "OW"
    rle.compress(RLELossless, generate_instance_uid=False)
    yield Seed("dicom", "rle.dcm", _saved(rle, RLELossless))
    frames = rng.integers(0, 2000, (3, SIDE, SIDE)).astype("<u2")
    enhanced = _image(frames, SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=3)
    enhanced.PerFrameFunctionalGroupsSequence = [_frame(number) for number in range(3)]
    enhanced.SharedFunctionalGroupsSequence = [_shared()]
    yield Seed("dicom", "enhanced.dcm", _saved(enhanced, ExplicitVRLittleEndian))
    mirrored = _image(
        pixels, PhotometricInterpretation="MONOCHROME1", WindowCenter=[40, 80], WindowWidth=[80, 400]
    )
    yield Seed("dicom", "mirrored.dcm", _saved(mirrored, ExplicitVRLittleEndian))
    colour = _image(
        rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8),
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
    )
    yield Seed("dicom", "colour.dcm", _saved(colour, ExplicitVRLittleEndian))


def _image(pixels, encapsulated=None, **more) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    bits = 8 * pixels.dtype.itemsize
    elements = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(entropy_srcs=["i"]),
        "Modality": "CT",
        "InstanceNumber": 1,
        "SeriesInstanceUID": generate_uid(entropy_srcs=["s"]),
        "StudyInstanceUID": generate_uid(entropy_srcs=["t"]),
        "FrameOfReferenceUID": generate_uid(entropy_srcs=["f"]),
        "PatientName": "Doe^Jane",
        "PatientID": "H-4711",
        "PatientBirthDate": "19500131",
        "InstitutionName": "St. Example Hospital",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": [0, 0, 1.5],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.5, 0.75],
        "SliceThickness": 1.5,
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "GantryDetectorTilt": 0,
    }
    for keyword, value in {**elements, **more}.items():
        setattr(dataset, keyword, value)
    dataset.Rows, dataset.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    dataset.PixelData = encapsulate(encapsulated) if encapsulated else pixels.tobytes()
    dataset["PixelData"].VR = "OB" if encapsulated or bits == 8 else "OW"
    return dataset


def _frame(number: int) -> Dataset:
    group, plane = Dataset(), Dataset()
    plane.ImagePositionPatient = [0, 0, 1.5 * number]
    group.PlanePositionSequence = [plane]
    return group


def _shared() -> Dataset:
    group, measures, turned = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.75], 1.5
    turned.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    group.PixelMeasuresSequence, group.PlaneOrientationSequence = [measures], [turned]
    return group


def _saved(dataset: Dataset, syntax) -> bytes:
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def _nifti(rng):
    values = rng.normal(size=(10, 9, 8))
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    for name, dtype, kind in (
        ("float.nii", np.float32, nibabel.Nifti1Image),
        ("short.nii.gz", np.int16, nibabel.Nifti1Image),
        ("two.nii", np.uint8, nibabel.Nifti2Image),
    ):
        image = kind((values * 50).astype(dtype), affine)
        if dtype == np.int16:
            image.header.set_slope_inter(2.0, -5.0)
        content = image.to_bytes()
        yield Seed("nifti", name, gzip.compress(content, mtime=0) if name.endswith(".gz") else content)


def _pictures(rng):
    gray, colour = (
        rng.integers(0, 255, (SIDE, SIDE)).astype(np.uint8),
        rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8),
    )
    alpha = np.dstack([colour, np.full((SIDE, SIDE), 255, np.uint8)])
    deep = rng.integers(0, 65535, (SIDE, SIDE)).astype(np.uint16)
    pictures = {
        "gray.png": Image.fromarray(gray),
        "colour.png": Image.fromarray(colour),
        "alpha.png": Image.fromarray(alpha),
        "deep.png": Image.fromarray(deep),
        "palette.png": Image.fromarray(colour).quantize(8),
        "bits.png": Image.fromarray(gray > 99),
    }
    for name, picture in pictures.items():
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        yield Seed("png", name, stream.getvalue())
    for name, picture in (("gray.jpg", gray), ("colour.jpg", colour)):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", progressive=name.startswith("c"))
        yield Seed("jpeg", name, stream.getvalue())
    stacks = {
        "plain.tif": (gray, {}),
        "deflated.tif": (np.stack([gray] * 3), {"compression": "zlib", "photometric": "minisblack"}),
        "colour.tif": (colour, {"photometric": "rgb"}),
        "float.tif": (gray.astype(np.float32), {}),
        "tiles.tif": (np.tile(gray, (2, 2)), {"tile": (16, 16), "compression": "zlib"}),
        "big.tif": (deep, {"bigtiff": True}),
    }
    for name, (array, options) in stacks.items():
        stream = io.BytesIO()
        tifffile.imwrite(stream, array, **options)
        yield Seed("tiff", name, stream.getvalue())
    stream = io.BytesIO()
    Image.fromarray(gray).save(stream, "TIFF", compression="tiff_lzw")
    yield Seed("tiff", "lzw.tif", stream.getvalue())


def _npy(rng):
    for name, array in (
        ("plane.npy", rng.normal(size=(SIDE, SIDE))),
        ("stack.npy", rng.integers(0, 9, (3, SIDE, SIDE, 2)).astype(np.int16)),
    ):
        stream = io.BytesIO()
        np.save(stream, array)
        yield Seed("npy", name, stream.getvalue())


def _tables():
    rows = ["image,patient,label,site,slice,eta,split"] + [
        f"a{n}.png,p{n},{n % 2},s{n % 3},,0.5,train" for n in range(6)
    ]
    yield Seed("manifest", "manifest.csv", "\n".join(rows).encode())
    yield Seed(
        "labels",
        "labels.csv",
        (
            "\n".join(
                ["Image;Diagnosis;PatientID"]
                + [f"a{n}.png;{'normal' if n % 2 else 'tumour'};q{n}" for n in range(6)]
            )
        ).encode(),
    )
    yield Seed(
        "split",
        "split.csv",
        (
            "\n".join(["patient,split"] + [f"p{n},{('train', 'val', 'test')[n % 3]}" for n in range(6)])
        ).encode(),
    )


def _texts():
    for path in sorted((ROOT / "recipes").glob("*.yaml")):
        yield Seed("study" if path.stem.startswith("study_") else "recipe", path.name, path.read_bytes())
    for path in sorted((ROOT / "zoo").glob("*/recipe.yaml"))[:3]:
        yield Seed("recipe", f"{path.parent.name}.yaml", path.read_bytes())
    for path in sorted((ROOT / "zoo").glob("*/entry.yaml"))[:4]:
        yield Seed("entry", f"{path.parent.name}.yaml", path.read_bytes())
    for path in sorted((ROOT / "zoo").glob("*/selection.json"))[:2]:
        yield Seed("selection", f"{path.parent.name}.json", path.read_bytes())
    yield Seed("index", "index.json", json.dumps(_index()).encode())


def _index() -> dict:
    names = ("entry.yaml", "README.md", "golden.json", "recipe.yaml", "selection.json", "model.keras")
    files = [{"file": name, "url": f"mri_x/{name}", "bytes": 10, "sha256": "0" * 64} for name in names]
    return {"format": 1, "entries": [{"name": "mri_x", "version": 1, "files": files}]}


def _networks():
    smallest = min((ROOT / "zoo").glob("*/model.keras"), key=lambda path: path.stat().st_size)
    yield Seed("keras", "model.keras", smallest.read_bytes())


def _answers():
    maps = [[[0.25] * 8 for _ in range(8)] for _ in range(2)]
    identity = f"recipe={'0' * 64} model={'1' * 64} head=mean flip_views=no"
    body = json.dumps({"predictions": [{"probability": one, "identity": identity} for one in maps]}).encode()
    yield Seed("answer", "answer.http", http(200, body))
    index = json.dumps(_index()).encode()
    yield Seed("registry", "registry.http", http(200, index))
    yield Seed(
        "registry",
        "redirect.http",
        b"HTTP/1.1 302 Found\r\nLocation: index2.json\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )


def http(status: int, body: bytes) -> bytes:
    """Return an answer as it is sent over the wire."""
    head = (
        f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: "
        f"{len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
