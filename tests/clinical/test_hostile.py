"""Broken and hostile images each end in one named error, within 10 s of processor time and 1.5 GB.

They are read in a child process that measures time and memory.
"""

import gzip
import io
import os
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    generate_uid,
)

from clamnet_tf.errors import DataError, ImageError, UserInputError
from clamnet_tf.imaging.limits import MEMORY_VARIABLE, MOST_SLICES
from clamnet_tf.imaging.readers import read_volume

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from fuzzing.harness import MOST_SECONDS, Child
from fuzzing.worker import MOST_BYTES

ZEROS = 1 << 24


@pytest.fixture(scope="module")
def child():
    """ask(kind, path) -> {"outcome", "told", "seconds", "bytes"}: a process that reads as `predict` does."""
    process = Child(heavy=False)
    yield process.ask
    process.stop()


def dicom(path, pixels=None, *, syntax=ExplicitVRLittleEndian, data=None, **elements):
    """A DICOM file with any elements; a pair (VR, value) sets an element of a wrong type."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    pixels = np.zeros((16, 16), np.uint16) if pixels is None else pixels
    bits = 8 * pixels.dtype.itemsize
    usual = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "PatientID": "p",
        "StudyInstanceUID": generate_uid(),
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
    }
    dataset.PixelData = pixels.tobytes() if data is None else data
    dataset["PixelData"].VR = "OB" if bits == 8 or syntax.is_encapsulated else "OW"
    for keyword, value in {**usual, **elements}.items():
        if isinstance(value, tuple):
            tag = pydicom.tag.Tag(keyword)
            dataset[tag] = pydicom.DataElement(tag, *value, validation_mode=pydicom.config.IGNORE)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
        CTImageStorage,
        dataset.SOPInstanceUID,
    )
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def jpeg(gray):
    stream = io.BytesIO()
    Image.fromarray(gray).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize("frames", [2, 10**6, 2**31 - 1])
@pytest.mark.parametrize("kind", ["native", "jpeg", "deflated"])
def test_more_frames_than_the_file_can_hold(tmp_path, child, frames, kind):
    gray = np.zeros((16, 16), np.uint8)
    path = tmp_path / "a.dcm"
    if kind == "jpeg":
        dicom(path, gray, syntax=JPEGBaseline8Bit, data=encapsulate([jpeg(gray)]), NumberOfFrames=frames)
    else:
        syntax = DeflatedExplicitVRLittleEndian if kind == "deflated" else ExplicitVRLittleEndian
        dicom(path, gray, syntax=syntax, NumberOfFrames=frames)
    found = child("dicom", path)
    assert found["outcome"] == "refused" and found["seconds"] < MOST_SECONDS, found
    assert "a.dcm" in found["told"]
    if frames > MOST_SLICES:
        assert f"at most {MOST_SLICES:,} are read" in found["told"]


@pytest.mark.parametrize(
    "elements",
    [
        {"PhotometricInterpretation": ("SQ", pydicom.Sequence([Dataset()]))},
        {"PhotometricInterpretation": ("US", 3)},
        {"Rows": ("LO", "many")},
        {"NumberOfFrames": ("LO", "three")},
        {"BitsStored": ("SQ", pydicom.Sequence([]))},
        {"SamplesPerPixel": 0},
        {"ImageType": ("US", 7)},
        {"PixelSpacing": ("LO", "a\\b")},
        {"RescaleSlope": ("LO", "x")},
    ],
    ids=lambda elements: next(iter(elements)),
)
def test_elements_of_a_wrong_type(tmp_path, child, elements):
    found = child("dicom", dicom(tmp_path / "a.dcm", **elements))
    assert found["outcome"] in ("refused", "clean"), found
    if "ImageType" not in elements:
        assert "a.dcm" in found["told"], found


@pytest.mark.parametrize(
    "fragments",
    [[], [b"\0\0"], [b"\xff\xd8"], [b"\xff\xd8\xff\xc0"]],
    ids=["none", "zeros", "SOI", "cut SOF"],
)
@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, RLELossless], ids=["jpeg", "rle"])
def test_encapsulated_pixels_that_are_not_there(tmp_path, child, fragments, syntax):
    """pydicom leaves its generators with StopIteration, or plugins panic: one named error all the same."""
    gray = np.zeros((3, 16, 16), np.uint8)
    data = encapsulate(fragments) if fragments else b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    found = child("dicom", dicom(tmp_path / "a.dcm", gray, syntax=syntax, data=data, NumberOfFrames=3))
    assert found["outcome"] == "refused" and "a.dcm" in found["told"], found


def repeated_deflate(count):
    """Raw deflate of `count` times 16 MB of zeros, without packing them each time: full flushes make the
    pieces independent.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(ZEROS)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * count + packer.flush(zlib.Z_FINISH)


def deflated_dicom(path):
    """The header of a deflated file with pixels of 5.8 GB behind it."""
    dicom(path, syntax=DeflatedExplicitVRLittleEndian)
    raw = path.read_bytes()
    start = 144 + int.from_bytes(raw[140:144], "little")
    inside = zlib.decompress(raw[start:], -15)
    at = inside.index(b"\xe0\x7f\x10\x00")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(
        inside[:at] + b"\xe0\x7f\x10\x00OW\0\0" + (350 * ZEROS & 0xFFFFFFFE).to_bytes(5, "little")[:4]
    ) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(raw[:start] + head + repeated_deflate(350))


def nifti_gz(path):
    """5.2 GB of zeros in members of 16 MB."""
    header = nibabel.Nifti1Header()
    header.set_data_shape((1300, 2000, 1000))
    header.set_data_dtype(np.int16)
    header["magic"], header["vox_offset"] = b"n+1", 352
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4)) + gzip.compress(bytes(ZEROS)) * 310)


def nifti_offset(path):
    header = nibabel.Nifti1Header()
    header.set_data_shape((9, 9, 9))
    header.set_data_dtype(np.uint8)
    header["magic"], header["vox_offset"] = b"n+1", 4.9e9
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4)) + gzip.compress(bytes(ZEROS)) * 310)


def png_header(path):
    body = struct.pack(">IIBBBBB", 30000, 5900, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + body
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + bytes(100)
    )


def tiff_strip(path):
    """A picture of 16 x 16 whose one deflated strip unpacks to 5.3 GB."""
    tifffile.imwrite(path, np.zeros((16, 16), np.uint8), compression="zlib", rowsperstrip=16)
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        places = {
            name: (tags[name].valueoffset, tags[name].dtype) for name in ("StripOffsets", "StripByteCounts")
        }
    raw, strip = bytearray(path.read_bytes()), b"\x78\xda" + repeated_deflate(320)
    for name, value in (("StripOffsets", len(raw)), ("StripByteCounts", len(strip))):
        at, kind = places[name]
        if int(kind) == 3:
            raw[at - 6 : at - 4] = (4).to_bytes(2, "little")
        raw[at : at + 4] = value.to_bytes(4, "little")
    path.write_bytes(bytes(raw) + strip)


def tiff_pages(path):
    """A chain of 500,000 empty pages."""
    count = 500_000
    pages = b"".join(
        struct.pack("<HI", 0, 8 + 6 * (number + 1) if number + 1 < count else 0) for number in range(count)
    )
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + pages)


def jpeg_dicom(path):
    """12,000 x 12,000 pixels in a JPEG, as its header says: 144 MB for the decoder, and several times that
    for the result.
    """
    gray = np.zeros((64, 64), np.uint8)
    content = bytearray(jpeg(gray))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 12000, 12000)
    dicom(path, gray, syntax=JPEGBaseline8Bit, data=encapsulate([bytes(content)]), Rows=12000, Columns=12000)


BOMBS = {
    "deflated DICOM": ("dicom", "a.dcm", deflated_dicom),
    "nii.gz": ("nifti", "a.nii.gz", nifti_gz),
    "vox_offset": ("nifti", "b.nii.gz", nifti_offset),
    "PNG": ("png", "a.png", png_header),
    "TIFF strip": ("tiff", "a.tif", tiff_strip),
    "TIFF pages": ("tiff", "b.tif", tiff_pages),
    "JPEG in DICOM": ("dicom", "b.dcm", jpeg_dicom),
}


@pytest.mark.parametrize("kind, name, make", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_before_they_go_off(tmp_path, child, kind, name, make):
    make(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 50_000_000
    found = child(kind, tmp_path / name)
    assert found["outcome"] == "refused" and name in found["told"], found
    assert found["seconds"] < MOST_SECONDS and found["bytes"] < 600_000_000, found


def largest_png(path):
    Image.fromarray(np.zeros((7500, 7500), np.uint8)).save(path)


def largest_colour(path):
    Image.fromarray(np.zeros((4700, 4700, 3), np.uint8)).save(path)


def largest_alpha(path):
    Image.fromarray(np.full((3700, 3700, 4), 255, np.uint8)).save(path)


def largest_palette(path):
    Image.fromarray(np.zeros((3700, 3700), np.uint8)).convert("P").save(path, transparency=3)


def largest_tiff(path):
    tifffile.imwrite(
        path, np.zeros((130, 1000, 1000), np.uint8), compression="zlib", photometric="minisblack"
    )


def largest_nifti(path):
    image = nibabel.Nifti1Image(np.zeros((1000, 1000, 99), np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, 1.0)
    nibabel.save(image, path)


def largest_dicom(path):
    dicom(path, np.zeros((5000, 4600), np.uint16), syntax=DeflatedExplicitVRLittleEndian, RescaleSlope="1.5")


LARGEST = {
    "PNG": ("png", "a.png", largest_png),
    "colour": ("png", "b.png", largest_colour),
    "alpha": ("png", "c.png", largest_alpha),
    "palette": ("png", "d.png", largest_palette),
    "TIFF": ("tiff", "a.tif", largest_tiff),
    "nii.gz": ("nifti", "a.nii.gz", largest_nifti),
    "DICOM": ("dicom", "a.dcm", largest_dicom),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind, name, make", LARGEST.values(), ids=LARGEST)
def test_the_largest_that_is_read_stays_inside_of_the_limit(tmp_path, kind, name, make):
    """What readers say they need is what they take: the largest file that is accepted."""
    make(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 50_000_000
    process = Child(heavy=False)
    try:
        found = process.ask(kind, tmp_path / name)
    finally:
        process.stop()
    assert found["outcome"] == "clean" and found["bytes"] < MOST_BYTES and found["seconds"] < MOST_SECONDS, (
        found
    )


def test_the_limit_is_a_setting(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.zeros((900, 900), np.float64))
    monkeypatch.setenv(MEMORY_VARIABLE, "9")
    with pytest.raises(
        ImageError,
        match=r"a.npy: too large: it announces 1 slices of 900 x 900 .* would take 9 MB of memory, at most "
        r"9 MB .* set the variable CLAMNET_TF_READ_MEMORY_MB",
    ):
        read_volume(tmp_path / "a.npy")
    monkeypatch.setenv(MEMORY_VARIABLE, "10")
    assert read_volume(tmp_path / "a.npy").array.shape == (1, 900, 900, 1)
    monkeypatch.setenv(MEMORY_VARIABLE, "much")
    with pytest.raises(
        UserInputError,
        match="CLAMNET_TF_READ_MEMORY_MB: expected a whole number of megabytes from 1, received 'much'",
    ):
        read_volume(tmp_path / "a.npy")


@pytest.mark.parametrize("descr", ["()", "''", "'<M8[s]'", "[]", "3", "None", "'|V8'", "9" * 5000])
def test_headers_of_npy(tmp_path, child, descr):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (16, 16)}}\n".encode()
    (tmp_path / "a.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(2048)
    )
    found = child("npy", tmp_path / "a.npy")
    assert found["outcome"] == "refused" and "a.npy" in found["told"], found


def test_a_compression_without_a_decoder(tmp_path, child):
    """zstd: tifffile wants another package for it."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16), np.uint8))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        at = file.pages[0].tags["Compression"].valueoffset
    raw = bytearray((tmp_path / "a.tif").read_bytes())
    for code in (50000, 34925, 34712, 33003, 5, 7, 60001):
        raw[at : at + 2] = code.to_bytes(2, "little")
        (tmp_path / "a.tif").write_bytes(bytes(raw))
        found = child("tiff", tmp_path / "a.tif")
        assert found["outcome"] == "refused" and "a.tif" in found["told"], (code, found)


def test_pipes_and_devices_are_no_images(tmp_path, child):
    os.mkfifo(tmp_path / "a.dcm")
    for name in ("b.png", "c.nii"):
        os.symlink("/dev/zero", tmp_path / name)
    for name, kind in (("a.dcm", "dicom"), ("b.png", "png"), ("c.nii", "nifti")):
        found = child(kind, tmp_path / name)
        assert found["outcome"] == "refused" and "it is a pipe or device, not a file" in found["told"], found


def test_pipes_in_a_folder_are_passed_over(tmp_path):
    from clamnet_tf.datasets.unlabelled_inputs import find_inputs

    os.mkfifo(tmp_path / "a.dcm")
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "b.png")
    assert [path.name for path in find_inputs([tmp_path]).outputs] == ["b"]


def test_a_nul_in_a_name():
    with pytest.raises((ImageError, DataError), match="cannot be opened|no such file|not a path"):
        read_volume(Path("a\0b.png"))


def test_long_names_get_results_that_fit(tmp_path):
    from clamnet_tf.datasets.unlabelled_inputs import find_inputs

    for letter in "ab":
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / f"{'x' * 249}{letter}.png")
    outputs = find_inputs([tmp_path]).outputs
    assert len(set(outputs)) == 2 and all(len(output.name) <= 180 for output in outputs)
    for output in outputs:
        (tmp_path / f"{output.name}_100_overlay.png").write_bytes(b"")


def test_a_png_chunk_that_announces_gigabytes_takes_no_memory(tmp_path):
    """Found by tools/fuzz: 43 bytes whose picture data are said to be 3.8 GB long."""
    header = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I4s", 13, b"IHDR")
        + struct.pack(">IIBBBBB", 16, 16, 8, 6, 0, 0, 0)
    )
    path = tmp_path / "alpha.png"
    path.write_bytes(
        header
        + struct.pack(">I", zlib.crc32(header[12:]))
        + struct.pack(">I4s", 3808429005, b"IDAT")
        + b"\xado"
    )
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="alpha.png: damaged or cut off picture"):
            read_volume(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
