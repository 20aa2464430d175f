"""The formats of image files that are read, one table entry each; other modules look formats up here.

To add one: write a reader (path -> Volume) into a file of its own and enter it below.
tests/imaging/test_formats.py walks the table. Formats that are recognised but not read are listed in
`other_formats`.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clamnet_tf.deferred import Deferred

_NIFTI_1, _NIFTI_2 = (b"\x5c\x01\0\0", b"\0\0\x01\x5c"), (b"\x1c\x02\0\0", b"\0\0\x02\x1c")  # header sizes
_META_WORDS = (b"ObjectType", b"NDims", b"DimSize", b"ElementType", b"ElementDataFile")
_EXPLICIT = (b"AE", b"CS", b"DA", b"LO", b"OB", b"PN", b"SH", b"SQ", b"TM", b"UI", b"UL", b"UN", b"US")
_MGH_HEAD, _MGH_TYPES = struct.Struct(">6i"), (0, 1, 3, 4, 10)


def _is_dicom(head: bytes) -> bool:
    """Return whether `head` is DICOM, with a preamble of 128 bytes or without one.

    Without a preamble, a file starts with an element of group 0002 or 0008, in either byte order (PS3.5 7.1).
    """
    if head[128:132] == b"DICM":
        return True
    if len(head) < 12:
        return False
    little = int.from_bytes(head[0:2], "little") in (2, 8) and int.from_bytes(head[2:4], "little") < 0x2000
    big = int.from_bytes(head[0:2], "big") in (2, 8) and int.from_bytes(head[2:4], "big") < 0x2000
    implicit = little and int.from_bytes(head[4:8], "little") <= 256
    return (little or big) and (head[4:6] in _EXPLICIT or implicit)


def _is_nifti(head: bytes) -> bool:
    """Return whether `head` is NIfTI-1 or NIfTI-2, single file or pair, in either byte order.

    The size of the header comes first, the magic number later.
    """
    if head[:4] in _NIFTI_1:
        return head[344:347] in (b"n+1", b"ni1")
    return head[:4] in _NIFTI_2 and head[4:7] in (b"n+2", b"ni2")


def _is_metaimage(head: bytes) -> bool:
    return b"=" in head and b"ElementDataFile" in head and head.lstrip().startswith(_META_WORDS)


def _is_mgh(head: bytes) -> bool:
    """Return whether `head` is FreeSurfer MGH, whose header has no magic number.

    It has version 1, four sides, and one of five types of values, big-endian.
    """
    if len(head) < 284:
        return False
    version, *sides, kind = _MGH_HEAD.unpack(head[: _MGH_HEAD.size])
    return version == 1 and min(sides) > 0 and kind in _MGH_TYPES


@dataclass(frozen=True)
class FileFormat:
    """One format of image files.

    Attributes:
        name: key of the table, and the kind that `sniff` gives such a file.
        title: name in lists of formats.
        words: name in sentences, with article.
        suffixes: suffixes of file names that promise the format, in lower case, the usual one first; the
            content decides.
        magic: first bytes, any of which identify the format, or a function of a file's first 4096 bytes.
        is_volume: whether one file is a complete volume that may know its position in the patient, with
            labels per volume or slice; False for pictures and bare arrays, and for DICOM, where a volume is
            many files.
        read: path -> Volume; raises ImageError for anything wrong; its first step is `sniff.require`.
        slices: number of slices in a file: one (always), few (usually one) or many (usually).
        read_stored: path -> Volume for masks, where the stored values differ from those of `read`; None:
            `read`.
        is_gray: path -> whether the header announces one channel; None: not known before the file is read.
        companions: path -> the other file of the volume, or None; None: such files are complete.
        gzipped: whether it is also read inside gzip.
        rename: advised suffix for a file of wrong name; "": its first suffix.
    """

    name: str
    title: str
    words: str
    suffixes: tuple[str, ...]
    magic: tuple[bytes, ...] | Callable[[bytes], bool]
    is_volume: bool
    read: Deferred
    slices: Literal["one", "few", "many"] = "many"
    read_stored: Deferred | None = None
    is_gray: Deferred | None = None
    companions: Deferred | None = None
    gzipped: bool = False
    rename: str = ""

    def tells(self, head: bytes) -> bool:
        """Return whether the first bytes of a file (4096, or all there are) are those of this format."""
        return head.startswith(self.magic) if isinstance(self.magic, tuple) else self.magic(head)

    @property
    def advised_suffix(self) -> str:
        """The suffix that a file with a wrong name should get."""
        return self.rename or self.suffixes[0]


def _in(target: str) -> Deferred:
    return Deferred(f"clamnet_tf.imaging.{target}")


_FORMATS = (
    FileFormat(
        "dicom",
        "DICOM",
        "a DICOM file",
        (".dcm", ".dcm.gz", ".dicom", ".ima", ".ima.gz"),
        _is_dicom,
        False,
        read=_in("dicom:read_dicom_file"),
        slices="few",
        is_gray=_in("dicom_header:is_gray"),
        gzipped=True,
    ),
    FileFormat(
        "nifti",
        "NIfTI",
        "a NIfTI volume",
        (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz"),
        _is_nifti,
        True,
        read=_in("nifti:read_nifti"),
        is_gray=_in("nifti:is_gray"),
        companions=_in("companions:nifti_partner"),
        gzipped=True,
        rename=".nii or .nii.gz",
    ),
    FileFormat(
        "nrrd",
        "NRRD",
        "an NRRD volume",
        (".nrrd", ".nhdr"),
        (b"NRRD000",),
        True,
        read=_in("itk_files:read_itk"),
        companions=_in("companions:nrrd_data_file"),
    ),
    FileFormat(
        "metaimage",
        "MetaImage",
        "a MetaImage volume (.mha, .mhd)",
        (".mha", ".mhd"),
        _is_metaimage,
        True,
        read=_in("itk_files:read_itk"),
        companions=_in("companions:metaimage_data_file"),
    ),
    FileFormat(
        "mgh",
        "FreeSurfer MGH",
        "a FreeSurfer volume (.mgh, .mgz)",
        (".mgh", ".mgz"),
        _is_mgh,
        True,
        read=_in("mgh:read_mgh"),
        gzipped=True,
    ),
    FileFormat(
        "png",
        "PNG",
        "a PNG picture",
        (".png",),
        (b"\x89PNG\r\n\x1a\n",),
        False,
        read=_in("picture:read_picture"),
        slices="one",
        read_stored=_in("picture:read_picture_as_stored"),
        is_gray=_in("picture:is_gray"),
    ),
    FileFormat(
        "jpeg",
        "JPEG",
        "a JPEG picture",
        (".jpg", ".jpeg"),
        (b"\xff\xd8\xff",),
        False,
        read=_in("picture:read_picture"),
        slices="one",
        read_stored=_in("picture:read_picture_as_stored"),
        is_gray=_in("picture:is_gray"),
    ),
    FileFormat(
        "tiff",
        "TIFF",
        "a TIFF picture",
        (".tif", ".tiff"),
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        False,
        read=_in("tiff:read_tiff"),
        slices="few",
        read_stored=_in("tiff:read_tiff_as_stored"),
        is_gray=_in("picture:is_gray"),
    ),
    FileFormat("npy", "npy", "a NumPy array", (".npy",), (b"\x93NUMPY",), False, read=_in("npy:read_npy")),
)

#: name -> format; DICOM first, because its preamble may hold any bytes.
FORMATS: dict[str, FileFormat] = {item.name: item for item in _FORMATS}
#: suffix -> name; it counts only where the content is not recognised.
SUFFIXES: dict[str, str] = {suffix: item.name for item in _FORMATS for suffix in item.suffixes}
_LONGEST_FIRST = sorted(SUFFIXES, key=len, reverse=True)


def suffix_of(path: Path) -> str | None:
    """Return the suffix of `SUFFIXES` that a name ends with ('scan.NII.GZ' -> '.nii.gz'), else None."""
    name = Path(path).name.lower()
    return next((suffix for suffix in _LONGEST_FIRST if name.endswith(suffix)), None)


def format_promised(path: Path) -> FileFormat | None:
    """Return the format that a file's name promises, None when it promises none."""
    suffix = suffix_of(path)
    return FORMATS[SUFFIXES[suffix]] if suffix else None


def volume_formats() -> tuple[str, ...]:
    """Return the names of the formats whose files are complete volumes."""
    return tuple(name for name, item in FORMATS.items() if item.is_volume)


def picture_formats() -> tuple[str, ...]:
    """Return the names of the formats of pictures and bare arrays, which have no position in the patient."""
    return tuple(name for name, item in FORMATS.items() if not item.is_volume and name != "dicom")


def titles(names=None, last: str = "and") -> str:
    """Return the titles of formats (default: all) as a list in words: DICOM, NIfTI and PNG."""
    *start, end = [FORMATS[name].title for name in names or FORMATS]
    return f"{', '.join(start)} {last} {end}" if start else end
