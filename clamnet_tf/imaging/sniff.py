"""Recognise the real format of a file by its first bytes, because names may be wrong."""

import gzip
import zlib
from pathlib import Path

from clamnet_tf.errors import ImageError
from clamnet_tf.files import open_regular
from clamnet_tf.imaging.formats import FORMATS
from clamnet_tf.imaging.other_formats import BY_SUFFIX, OTHER_FORMATS, advice

_OTHER_MAGIC = (  # first bytes -> kind of a format that is not read
    (b"PK\x03\x04", "zip"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"%PDF", "pdf"),
    (b"\x89HDF", "hdf5"),
    (b"\0\0\0\x0cjP  ", "jpeg2000"),
    (b"\xffO\xffQ", "jpeg2000"),
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
# ISO base media files of other brands are videos.
_PICTURE_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
WORDS = {
    **{name: file_format.words for name, file_format in FORMATS.items()},
    **{kind: words for kind, (words, _) in OTHER_FORMATS.items()},
    "text": "text",
    "empty": "nothing (0 bytes)",
    "unknown": "nothing that is known here",
}
_HEAD = 4096


def sniff(path: Path) -> str:
    """Return the kind of a file, a key of `WORDS`; raise ImageError when it is missing, a folder or
    unreadable.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path}: is a folder, an image file is expected here.")
    try:
        with open_regular(path) as stream:
            head = stream.read(_HEAD)
    except FileNotFoundError:
        raise ImageError(
            f"{path}: there is no such file; check the name, or the column 'image' of the manifest."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageError(
            f"{ascii(str(path))[1:-1]}: cannot be opened: {getattr(error, 'strerror', None) or error}."
        ) from error
    kind = sniff_bytes(head)
    if kind == "gzip":
        inside = sniff_bytes(_unzipped_head(path))
        kind = inside if inside in FORMATS and FORMATS[inside].gzipped else kind
    if kind in ("gzip", "hdf5", "text", "unknown"):
        kind = BY_SUFFIX.get(path.suffix.lower(), kind)
    return kind


def sniff_bytes(head: bytes) -> str:
    """Return the kind by the first bytes of a file (352 are enough)."""
    if not head:
        return "empty"
    for name, file_format in FORMATS.items():
        if file_format.tells(head):
            return name
    for magic, kind in _OTHER_MAGIC:
        if head.startswith(magic):
            return _refined(kind, head)
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[4:8] == b"ftyp":
        return "heic" if head[8:12] in _PICTURE_BRANDS else "video"
    if head[257:262] == b"ustar":
        return "tar"
    if len(head) >= 348 and head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return "analyze"
    printable = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
    return "text" if printable > 0.95 * len(head) else "unknown"


def require(path: Path, *kinds: str) -> None:
    """Raise ImageError unless the file is one of `kinds`; the message says what it is and what to do."""
    kind_found = sniff(path)
    if kind_found in kinds:
        return
    wanted = " or ".join(WORDS[kind] for kind in kinds)
    if kind_found == "empty":
        cure = "The copy or download was probably cut off: fetch the file again."
    elif kind_found in FORMATS:
        cure = f"Rename it to {FORMATS[kind_found].advised_suffix}, or export it again."
    else:
        cure = advice(kind_found)
    raise ImageError(f"{path}: the name says {wanted}, the content is {WORDS[kind_found]}. {cure}")


def _refined(kind: str, head: bytes) -> str:
    """Distinguish WebP from video in RIFF, and .npz from other zip archives by the first member."""
    if kind == "webp" and head[8:12] != b"WEBP":
        return "video" if head[8:12] == b"AVI " else "unknown"
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return "npz" if kind == "zip" and name.endswith(b".npy") else kind


def _unzipped_head(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as stream:
            return stream.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return b""
