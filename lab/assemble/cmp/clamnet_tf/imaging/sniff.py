"""What a file really is, by its first bytes: names lie, and a clear message needs the truth."""

import gzip
import zlib
from pathlib import Path

from clamnet_tf.errors import ImageError
from clamnet_tf.files import open_regular
from clamnet_tf.imaging.other_formats import BY_SUFFIX, OTHER_FORMATS, advice

_MAGIC = (  # first bytes -> kind; DICOM is looked for first, since its 128 bytes of preamble may hold anything
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "zip"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"%PDF", "pdf"),
    (b"\x89HDF", "hdf5"),
    (b"\0\0\0\x0cjP  ", "jpeg2000"),
    (b"\xffO\xffQ", "jpeg2000"),
    (b"NRRD000", "nrrd"),
    (b"RIFF", "webp"),
    (b"8BPS", "photoshop"),
    (b"\xff\x0a", "jpegxl"),
    (b"\0\0\0\x0cJXL ", "jpegxl"),
    (b"CDF\x01", "minc"),
    (b"CDF\x02", "minc"),
    (b"MATLAB ", "matlab"),
    (b"# vtk DataFile", "vtk"),
    (b"# === DATA DESCRIPTION FILE", "parrec"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xd0\xcf\x11\xe0", "office"),
)
_PICTURE_BRANDS = (
    b"heic",
    b"heix",
    b"hevc",
    b"mif1",
    b"msf1",
    b"avif",
    b"avis",
)  # ISO base media: the others are videos
_META_WORDS = (b"ObjectType", b"NDims", b"DimSize", b"ElementType", b"ElementDataFile")
WORDS = {
    "dicom": "a DICOM file",
    "jpeg": "a JPEG picture",
    "png": "a PNG picture",
    "tiff": "a TIFF picture",
    "npy": "a NumPy array",
    "nifti": "a NIfTI volume",
    "nrrd": "an NRRD volume",
    "metaimage": "a MetaImage volume (.mha, .mhd)",
    **{kind: words for kind, (words, _) in OTHER_FORMATS.items()},
    "text": "text",
    "empty": "nothing (0 bytes)",
    "unknown": "nothing that is known here",
}
_HEAD = 4096


def sniff(path: Path) -> str:
    """The kind of a file, one of the keys of `WORDS`. ImageError when it is missing, a folder or unreadable."""
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, an image file is expected here.")
    try:
        with open_regular(path) as stream:
            head = stream.read(_HEAD)
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such file; check the name, or the column 'image' of the manifest.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageError(f"{ascii(str(path))[1:-1]}: cannot be opened: {getattr(error, 'strerror', None) or error}.") from error
    kind = sniff_bytes(head)
    if kind == "gzip":
        inside = sniff_bytes(_unzipped_head(path))
        kind = inside if inside in ("nifti", "dicom") else kind
    if kind in ("gzip", "hdf5", "text", "unknown"):
        kind = BY_SUFFIX.get(path.suffix.lower(), kind)
    return kind


def sniff_bytes(head: bytes) -> str:
    """The kind by the first bytes of a file (352 are enough)."""
    if not head:
        return "empty"
    if head[128:132] == b"DICM":
        return "dicom"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return _refined(kind, head)
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[4:8] == b"ftyp":
        return "heic" if head[8:12] in _PICTURE_BRANDS else "video"
    if head[257:262] == b"ustar":
        return "tar"
    if _is_nifti(head):
        return "nifti"
    if len(head) >= 348 and head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return "analyze"
    if (
        b"=" in head
        and any(head.lstrip().startswith(word) for word in _META_WORDS)
        and b"ElementDataFile" in head
    ):
        return "metaimage"
    if _is_bare_dicom(head):
        return "dicom"
    printable = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
    return "text" if printable > 0.95 * len(head) else "unknown"


def require(path: Path, *kinds: str) -> None:
    """ImageError unless the file is one of `kinds`; the message names what it is instead and how to go on."""
    found = sniff(path)
    if found in kinds:
        return
    wanted = " or ".join(WORDS[kind] for kind in kinds)
    if found == "empty":
        cure = "The copy or download was probably cut off: fetch the file again."
    elif found in SUFFIX_OF:
        cure = f"Rename it to {SUFFIX_OF[found]}, or export it again."
    else:
        cure = advice(found)
    raise ImageError(f"{path}: the name says {wanted}, the content is {WORDS[found]}. {cure}")


SUFFIX_OF = {
    "dicom": ".dcm", "jpeg": ".jpg", "png": ".png", "tiff": ".tif", "npy": ".npy", "nifti": ".nii or .nii.gz",
    "nrrd": ".nrrd", "metaimage": ".mha",
}  # fmt: skip


def _refined(kind: str, head: bytes) -> str:
    """RIFF is WebP or a video; a zip archive whose first member is an array is .npz."""
    if kind == "webp" and head[8:12] != b"WEBP":
        return "video" if head[8:12] == b"AVI " else "unknown"
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return "npz" if kind == "zip" and name.endswith(b".npy") else kind


def _is_nifti(head: bytes) -> bool:
    """NIfTI-1 or NIfTI-2, single file or pair, either byte order (header size first, magic later)."""
    if head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return head[344:347] in (b"n+1", b"ni1")
    return head[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") and head[4:7] in (b"n+2", b"ni2")


def _is_bare_dicom(head: bytes) -> bool:
    """DICOM without preamble: starts with an element of group 0002 or 0008, in either byte order (PS3.5 7.1)."""
    if len(head) < 12:
        return False
    little = int.from_bytes(head[0:2], "little") in (2, 8) and int.from_bytes(head[2:4], "little") < 0x2000
    big = int.from_bytes(head[0:2], "big") in (2, 8) and int.from_bytes(head[2:4], "big") < 0x2000
    if not (little or big):
        return False
    explicit = head[4:6] in (b"AE", b"CS", b"DA", b"LO", b"OB", b"PN", b"SH", b"SQ", b"TM", b"UI", b"UL", b"UN", b"US")
    implicit = little and int.from_bytes(head[4:8], "little") <= 256
    return explicit or implicit


def _unzipped_head(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as stream:
            return stream.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return b""
