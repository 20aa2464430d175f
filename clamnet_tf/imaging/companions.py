"""Find the files of volumes in two parts: a header (.hdr, .nhdr, .mhd) and its values (.img, .raw ...)."""

import gzip
import re
import zlib
from pathlib import Path

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.formats import FORMATS

_HEADERS, _IMAGES = (".hdr", ".hdr.gz"), (".img", ".img.gz")
_HEAD = 2**20  # bytes of a text header that are read
_NRRD_FIELD = re.compile(rb"^([^:#=\r\n]+): ?(.*?)\r?$", re.MULTILINE)
_META_FIELD = re.compile(rb"^[ \t]*(\w+)[ \t]*=[ \t]*(.*?)[ \t]*\r?$", re.MULTILINE)


def image_of(header: Path) -> Path | None:
    """Return the file with the values of a NIfTI or Analyze header: scan.img for scan.hdr."""
    return _partner(header, _HEADERS, _IMAGES)


def header_of(image: Path) -> Path | None:
    """Return the header of a file with values: scan.hdr for scan.img."""
    return _partner(image, _IMAGES, _HEADERS)


def _partner(path: Path, suffixes, other_suffixes) -> Path | None:
    """Return the file beside `path` with the same stem and one of `other_suffixes`, or None."""
    suffix = next(
        (suffix for suffix in sorted(suffixes, key=len, reverse=True) if path.name.lower().endswith(suffix)),
        None,
    )
    if suffix is None:
        return None
    stem = path.name[: -len(suffix)]
    endings = (change(other) for other in other_suffixes for change in (str.lower, str.upper))
    candidates = (path.with_name(stem + ending) for ending in endings)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def text_header(path: Path, kind: str) -> dict[str, str]:
    """Return {field in lower case: value} of an NRRD or MetaImage header; raise ImageError when it has no
    end.
    """
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
    """Return the file beside an NRRD or MetaImage header that holds the values, None when they follow the
    header.

    Raises:
        ImageError: the file is missing, there are several, or it lies in another folder.
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
            " the name without a folder into it."
        )
    if not beside.is_file():
        raise ImageError(
            f"{path}: the file with its values, {name[:200]}, is not beside it. Copy both files together."
        )
    return beside


def nifti_partner(path: Path) -> Path | None:
    """Return the other file of a pair .hdr and .img, None for a NIfTI volume in one file."""
    return image_of(path) or header_of(path)


def nrrd_data_file(path: Path) -> Path | None:
    """Return the file with the values of an NRRD header, as `data_file` does."""
    return data_file(path, "nrrd")


def metaimage_data_file(path: Path) -> Path | None:
    """Return the file with the values of a MetaImage header, as `data_file` does."""
    return data_file(path, "metaimage")


def companions(path: Path, kind: str) -> tuple[Path, ...]:
    """Return the further files of a volume, () when there are none or its header cannot be read.

    Args:
        path: the file.
        kind: a key of FORMATS, or any other word for a file that is not an image.
    """
    find = FORMATS[kind].companions if kind in FORMATS else None
    if find is None:
        return ()
    try:
        companion = find(path)
    except (ImageError, OSError):
        return ()
    return () if companion is None else (companion,)


def is_gzipped(path: Path) -> bool:
    """Return whether a file begins like gzip."""
    with open(path, "rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def unpacked(path: Path, limit: int) -> bytes:
    """Return the content of a gzip file; raise ImageError when it is damaged or larger than `limit` bytes."""
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
