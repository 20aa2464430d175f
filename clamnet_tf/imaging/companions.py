"""Volumes in two files: a header (.hdr, .nhdr, .mhd) and the values beside it (.img, .raw ...)."""

import gzip
import re
import zlib
from pathlib import Path

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.formats import FORMATS

_HEADERS, _IMAGES = (".hdr", ".hdr.gz"), (".img", ".img.gz")
_HEAD = 2**20  # bytes of a text header that are looked at
_NRRD_FIELD = re.compile(rb"^([^:#=\r\n]+): ?(.*?)\r?$", re.MULTILINE)
_META_FIELD = re.compile(rb"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t]*\r?$", re.MULTILINE)


def image_of(header: Path) -> Path | None:
    """The file with the values of a NIfTI or Analyze header: scan.img for scan.hdr."""
    return _partner(header, _HEADERS, _IMAGES)


def header_of(image: Path) -> Path | None:
    """The header of a file with values: scan.hdr for scan.img."""
    return _partner(image, _IMAGES, _HEADERS)


def _partner(path: Path, own, others) -> Path | None:
    suffix = next(
        (suffix for suffix in sorted(own, key=len, reverse=True) if path.name.lower().endswith(suffix)), None
    )
    if suffix is None:
        return None
    stem = path.name[: -len(suffix)]
    spelled = (change(other) for other in others for change in (str.lower, str.upper))
    return next(
        (path.with_name(stem + each) for each in spelled if path.with_name(stem + each).is_file()), None
    )


def text_header(path: Path, kind: str) -> dict[str, str]:
    """{field in lower case: value} of an NRRD or MetaImage header; ImageError when it has no end."""
    with open(path, "rb") as stream:
        head = stream.read(_HEAD)
    if kind == "nrrd":
        end = re.search(rb"\r?\n\r?\n", head)
        pairs = _NRRD_FIELD.findall(head[: end.start()] if end else head)
    else:
        end = re.search(rb"^[ \t]*ElementDataFile[ \t]*=.*$", head, re.MULTILINE | re.IGNORECASE)
        pairs = _META_FIELD.findall(head[: end.end()] if end else b"")
    read = lambda raw: raw.decode("utf-8", "surrogateescape").strip()
    fields = {read(name).lower(): read(value) for name, value in pairs}
    if not end and not ("data file" in fields or "datafile" in fields):
        raise ImageError(f"{path}: its header has no end: damaged or cut off. Export or copy it again.")
    return fields


def data_file(path: Path, kind: str) -> Path | None:
    """The file beside an NRRD or MetaImage header that holds the values; None when they follow the header
    itself.

    ImageError: it is missing, there are several, or it lies in another folder.
    """
    fields = text_header(path, kind)
    name = (
        fields.get("data file") or fields.get("datafile") if kind == "nrrd" else fields.get("elementdatafile")
    )
    if not name or (kind == "metaimage" and name.upper() == "LOCAL"):
        return None
    if name.upper().startswith("LIST") or "%" in name:
        raise ImageError(
            f"{path}: its values lie in several files ({name[:80]}); save it as one file, for example with 3D"
            " Slicer."
        )
    beside = path.parent / name
    if beside.parent != path.parent or name in (".", ".."):
        raise ImageError(
            f"{path}: its values lie in another folder ({name[:200]}); put them beside the header, and write"
            " their bare name into it."
        )
    if not beside.is_file():
        raise ImageError(
            f"{path}: the file with its values, {name[:200]}, is not beside it. Copy both files together."
        )
    return beside


def nifti_partner(path: Path) -> Path | None:
    """The other file of a pair .hdr and .img; None for a NIfTI file that is whole."""
    return image_of(path) or header_of(path)


def nrrd_data_file(path: Path) -> Path | None:
    """`data_file` of an NRRD header."""
    return data_file(path, "nrrd")


def metaimage_data_file(path: Path) -> Path | None:
    """`data_file` of a MetaImage header."""
    return data_file(path, "metaimage")


def companions(path: Path, kind: str) -> tuple[Path, ...]:
    """The further files that a volume is made of; () for one that is whole, or whose header cannot be read.

    kind: a key of FORMATS, or any other word for a file that is no image.
    """
    beside = FORMATS[kind].companions if kind in FORMATS else None
    if beside is None:
        return ()
    try:
        found = beside(path)
    except (ImageError, OSError):
        return ()
    return () if found is None else (found,)


def is_gzipped(path: Path) -> bool:
    """Whether a file begins as gzip does."""
    with open(path, "rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def unpacked(path: Path, limit: int) -> bytes:
    """The content of a gzip file. ImageError when it is damaged or larger than `limit` bytes."""
    try:
        with gzip.open(path, "rb") as stream:
            content = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ImageError(
            f"{path}: damaged or cut off gzip data: {error}. Export or copy it again."
        ) from error
    if len(content) > limit:
        raise ImageError(
            f"{path}: too large: more than {limit:,} bytes unpacked. If it is genuine, unpack it with"
            " `gunzip` first."
        )
    return content
