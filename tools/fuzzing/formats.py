"""Change the fields of a format to impossible values while checksums, lengths and containers stay right."""

import gzip
import io
import json
import random
import struct
import warnings
import zipfile
import zlib

import pydicom
import yaml
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fuzzing.mutations import NUMBERS, change_bytes, change_text, change_tree, json_bytes
from fuzzing.seeds import Seed, http, png_chunk

CANNOT_BE_WRITTEN = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    TypeError,
    ValueError,
    struct.error,
)
_DICOM_VALUES = (
    "",
    "0",
    "-1",
    "1e400",
    "NaN",
    "99999999999999999999",
    "abc",
    "A" * 70,
    "1\\2\\3",
    "\\\\\\",
    "é\x1b$B",
    [1, 2, 3],
    [],
    0,
    -1,
    65535,
    10**6,
    3.5,
    b"\x00\xff\x01",
    None,
    ["a", "b"],
    "19501331",
    "RGB",
    "YBR_FULL_422",
    "PALETTE COLOR",
    "MONOCHROME1",
    "1.2.840.10008.1.2.4.70",
)
_IMAGE_FIELDS = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PlanarConfiguration",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelData",
    "SliceThickness",
    "InstanceNumber",
    "PerFrameFunctionalGroupsSequence",
    "ModalityLUTSequence",
    "SpecificCharacterSet",
    "PatientName",
    "ImageType",
    "SOPClassUID",
    "RedPaletteColorLookupTableDescriptor",
    "VOILUTSequence",
)
_VRS = ("US", "SS", "UL", "FD", "FL", "DS", "IS", "LO", "CS", "OB", "OW", "UN", "AT", "PN", "UT", "SQ")


def mutate(seed: Seed, rng: random.Random, seeds: list[Seed]) -> bytes:
    """Return the content of a seed with changes: by the fields of its format, or byte by byte."""
    change = _CHANGES.get(seed.kind)
    if change is None or rng.random() < 0.3:
        return change_bytes(seed.content, rng, [other.content for other in seeds if other.kind == seed.kind])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return change(seed, rng)
        except CANNOT_BE_WRITTEN:  # by the format's own library: changed byte by byte instead
            return change_bytes(seed.content, rng)


def _dicom(seed: Seed, rng: random.Random) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(seed.content))
    for _ in range(rng.choice((1, 1, 2, 3))):
        where = dataset if rng.random() < 0.9 else dataset.file_meta
        keyword = (
            rng.choice(_IMAGE_FIELDS)
            if rng.random() < 0.7
            else rng.choice([element.keyword for element in where if element.keyword])
        )
        tag, kind = pydicom.tag.Tag(keyword), rng.randrange(6)
        if kind == 0 and tag in where:
            del where[tag]
        elif kind == 1 and keyword == "PixelData":
            where[tag]._value = change_bytes(where[tag].value, rng)
        elif kind == 2:
            nested = Dataset()
            nested.PatientID = "nested"
            where[tag] = DataElement(tag, "SQ", Sequence([nested] * rng.choice((0, 1, 5))))
        else:
            vr = dictionary_VR(tag) if rng.random() < 0.6 else rng.choice(_VRS)
            value = rng.choice(NUMBERS) if rng.random() < 0.4 else rng.choice(_DICOM_VALUES)
            where[tag] = DataElement(tag, vr.split(" ")[0], value, validation_mode=pydicom.config.IGNORE)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=False)
    return stream.getvalue()


def _nifti(seed: Seed, rng: random.Random) -> bytes:
    zipped = seed.content[:2] == b"\x1f\x8b"
    data = bytearray(gzip.decompress(seed.content) if zipped else seed.content)
    two = data[:4] == b"\x1c\x02\0\0"
    fields = _FIELDS_OF_NIFTI2 if two else _FIELDS_OF_NIFTI1
    for _ in range(rng.choice((1, 1, 2, 3))):
        place, code = rng.choice(fields)
        if code in "fd":
            value = rng.choice((0.0, 1.0, -1.0, 1e38, float("nan"), float("inf"), 4.9e9, 352.0, 1e-30))
        else:
            value = rng.choice(NUMBERS) & (2 ** (8 * struct.calcsize(code)) - 1)
            code = code.upper()
        struct.pack_into(f"<{code}", data, place, value)
    content = bytes(data)
    if zipped:
        content = gzip.compress(content, mtime=0)
        return change_bytes(content, rng) if rng.random() < 0.2 else content
    return content


_FIELDS_OF_NIFTI1 = (
    [(40 + 2 * n, "h") for n in range(8)]
    + [(70, "h"), (72, "h"), (252, "h"), (254, "h")]
    + [(place, "f") for place in (*range(76, 108, 4), 108, 112, 116, *range(256, 328, 4))]
)
_FIELDS_OF_NIFTI2 = (
    [(12, "h"), (14, "h"), (344, "i"), (348, "i"), (168, "q")]
    + [(16 + 8 * n, "q") for n in range(8)]
    + [(place, "d") for place in (*range(104, 168, 8), 176, 184, *range(352, 496, 8))]
)


def _png(seed: Seed, rng: random.Random) -> bytes:
    content, place, chunks = seed.content, 8, []
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    number = rng.randrange(len(chunks))
    kind, body = chunks[number]
    what = rng.randrange(5)
    if kind == b"IHDR" or what == 0:
        number, (kind, body) = 0, chunks[0]
        body = bytearray(body)
        if rng.random() < 0.6:
            struct.pack_into(">I", body, rng.choice((0, 4)), rng.choice(NUMBERS) & 0xFFFFFFFF)
        else:
            body[rng.randrange(8, 13)] = rng.randrange(20)
        chunks[number] = kind, bytes(body)
    elif what == 1:
        chunks.insert(
            number,
            (
                rng.choice((b"tRNS", b"PLTE", b"tEXt", b"zTXt", b"iCCP", b"eXIf", b"acTL", b"gAMA", b"IEND")),
                rng.randbytes(rng.randrange(40)),
            ),
        )
    elif what == 2:
        del chunks[number]
    elif what == 3 and kind == b"IDAT":
        chunks[number] = kind, zlib.compress(change_bytes(zlib.decompress(body), rng))
    else:
        chunks[number] = kind, change_bytes(body, rng)
    return content[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


def _jpeg(seed: Seed, rng: random.Random) -> bytes:
    data = bytearray(seed.content)
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        place = data.find(marker)
        if place > 0:
            what = rng.randrange(4)
            if what < 2:
                struct.pack_into(">H", data, place + 5 + 2 * what, rng.choice(NUMBERS) & 0xFFFF)
            else:
                data[place + rng.choice((4, 9, 10, 11, 12))] = rng.randrange(256)
    return bytes(data)


def _tiff(seed: Seed, rng: random.Random) -> bytes:
    data = bytearray(seed.content)
    big = data[2] == 43
    at = struct.unpack_from("<Q" if big else "<I", data, 8 if big else 4)[0]
    count = struct.unpack_from("<Q" if big else "<H", data, at)[0]
    size, first = (20, 8) if big else (12, 2)
    for _ in range(rng.choice((1, 1, 2))):
        entry = at + first + size * rng.randrange(max(1, count))
        what = rng.randrange(4)
        if what == 0:
            struct.pack_into("<H", data, entry + 2, rng.randrange(20))
        elif what == 1:
            struct.pack_into("<Q" if big else "<I", data, entry + 4, rng.choice(NUMBERS) & 0xFFFFFFFF)
        elif what == 2:
            struct.pack_into(
                "<H",
                data,
                entry,
                rng.choice(
                    (254, 256, 257, 258, 259, 262, 270, 273, 277, 278, 279, 284, 317, 320, 322, 330, 338, 339)
                ),
            )
        else:
            struct.pack_into(
                "<I",
                data,
                entry + (12 if big else 8),
                rng.choice((*NUMBERS, 5, 34712, 34925, 50000, 32773, 7)) & 0xFFFFFFFF,
            )
    return bytes(data)


def _npy(seed: Seed, rng: random.Random) -> bytes:
    length = struct.unpack_from("<H", seed.content, 8)[0]
    header = eval(seed.content[10 : 10 + length].decode())
    key = rng.choice(("descr", "shape", "fortran_order"))
    header[key] = rng.choice(
        (
            (),
            (0,),
            (-1, 8),
            (8, 8),
            (10**9, 10**9),
            (2**40,),
            "<f8",
            "|O",
            "<U9",
            "<c16",
            ">i2",
            "<M8[s]",
            "|V8",
            [("a", "<f4")],
            None,
            True,
            "x",
            (1.5, 2),
            ("<f4", (8, 8)),
            "",
            (16, 16, 1, 1, 1),
            3,
            "<f2",
            "|b1",
            10**5000,
        )
    )
    import sys

    sys.set_int_max_str_digits(0)
    text = repr(header).encode() + b"\n"
    return seed.content[:8] + struct.pack("<H", len(text) & 0xFFFF) + text + seed.content[10 + length :]


def _yaml(seed: Seed, rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        return change_text(seed.content, rng)
    import sys

    sys.set_int_max_str_digits(0)
    return yaml.safe_dump(change_tree(yaml.safe_load(seed.content), rng), sort_keys=False).encode()


def _json(seed: Seed, rng: random.Random) -> bytes:
    return (
        change_text(seed.content, rng)
        if rng.random() < 0.3
        else json_bytes(change_tree(json.loads(seed.content), rng))
    )


def _text(seed: Seed, rng: random.Random) -> bytes:
    return change_text(seed.content, rng)


def _keras(seed: Seed, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(seed.content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    what = rng.randrange(10)
    if what < 6:
        parts["config.json"] = json_bytes(change_tree(json.loads(parts["config.json"]), rng))
    elif what < 8:
        weights = parts["model.weights.h5"]
        parts["model.weights.h5"] = change_bytes(weights, rng)
    elif what == 8:
        parts[rng.choice(list(parts))] = rng.choice((b"", b"{}", b"[]", b"null", b"[" * 3000))
    else:
        del parts[rng.choice(list(parts))]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _http(seed: Seed, rng: random.Random) -> bytes:
    head, _, body = seed.content.partition(b"\r\n\r\n")
    if body and rng.random() < 0.6:
        changed = (
            change_text(body, rng) if rng.random() < 0.3 else json_bytes(change_tree(json.loads(body), rng))
        )
        return http(rng.choice((200, 200, 200, 200, 400, 404)), changed)
    lines = head.split(b"\r\n")
    place = rng.randrange(len(lines))
    value = rng.choice(
        (
            b"Location: http://[::1",
            b"Location: \xff\xfe",
            b"Location: javascript:1",
            b"Location: http://a..b/",
            b"Content-Length: -1",
            b"Content-Length: 99999999",
            b"Content-Encoding: gzip",
            b"Transfer-Encoding: chunked",
            b"HTTP/1.1 999 x",
            b"HTTP/9.9 200",
            b"X" * 70000,
            b"Location: //user:pw@host/",
            b"HTTP/1.1 301 Moved",
            b"HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:1/",
            b"Location: https://" + b"a" * 300,
        )
    )
    lines[place] = value
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


_CHANGES = {
    "dicom": _dicom,
    "nifti": _nifti,
    "png": _png,
    "jpeg": _jpeg,
    "tiff": _tiff,
    "npy": _npy,
    "recipe": _yaml,
    "study": _yaml,
    "entry": _yaml,
    "manifest": _text,
    "labels": _text,
    "split": _text,
    "selection": _json,
    "index": _json,
    "keras": _keras,
    "answer": _http,
    "registry": _http,
}
