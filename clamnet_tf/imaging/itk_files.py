"""Read NRRD and MetaImage (.mha, .mhd) by SimpleITK: values, and the position in the patient from the header.

ITK reads the header. It does not tell whether a header states an orientation at all, so that is looked up in
the header's text: without one ITK takes the stored axes for left, posterior and superior.
"""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.companions import data_file, text_header
from clamnet_tf.imaging.nifti import nifti_image, volume_of
from clamnet_tf.imaging.volume import Volume, check_size

INSTALL = "pip install 'clamnet-tf[itk]'"
_NOWHERE = "its header states no orientation: orientation and spacing are not known, axes taken as stored"
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_PLACED_SPACES = (  # NRRD: spaces of a patient that ITK turns into LPS
    "left-posterior-superior",
    "right-anterior-superior",
    "left-anterior-superior",
    "lps",
    "ras",
    "las",
)
_META_PLACE = ("transformmatrix", "rotation", "orientation")
_READERS = {"nrrd": ("NrrdImageIO", ".nrrd", ".nhdr"), "metaimage": ("MetaImageIO", ".mha", ".mhd")}


def read_itk(path: Path) -> Volume:
    """Read an NRRD or MetaImage volume, in one file or as a header with a file beside it.

    It has two, three or four dimensions. The fourth are channels, as are the components of vector images.
    affine and spacing_mm are None and a note says so when the header states no orientation of a patient.

    Raises:
        ImageError: the file is damaged or cut off, holds complex numbers, has sides under 8 pixels, or
            SimpleITK is not installed.
    """
    path = Path(path)
    sniff.require(path, *_READERS)
    kind = sniff.sniff(path)
    fields, values = text_header(path, kind), data_file(path, kind)
    placed = (
        fields.get("space", "").lower() in _PLACED_SPACES
        if kind == "nrrd"
        else any(name in fields for name in _META_PLACE)
    )
    with _linked(path, kind, values) as link:
        array, affine = _read(path, link, kind, values or path, _is_plain(fields, kind))
    return volume_of(path, nifti_image(array, affine, placed=placed), values or path, unplaced=_NOWHERE)


@contextlib.contextmanager
def _linked(path: Path, kind: str, values: Path | None):
    """Yield a link to the file, under a name that ITK accepts in any language.

    The link lies in a folder of its own, together with the file that its header names.
    """
    with tempfile.TemporaryDirectory(prefix="clamnet-") as folder:
        link = Path(folder) / f"image{_READERS[kind][1 if values is None else 2]}"
        _link(path, link)
        if values is not None:
            _link(values, Path(folder) / values.name)
        yield link


def _link(path: Path, link: Path) -> None:
    """Make `link` name the file `path`: as a copy where links are not allowed, as on most Windows systems."""
    try:
        os.symlink(os.path.abspath(path), link)
    except (OSError, NotImplementedError):
        shutil.copyfile(path, link)


def _is_plain(fields: dict[str, str], kind: str) -> bool:
    """Return whether the values are stored byte by byte, so that the file's size gives their number."""
    if kind == "nrrd":
        return fields.get("encoding", "").lower() == "raw"
    return (
        fields.get("compresseddata", "false").lower() != "true"
        and fields.get("binarydata", "true").lower() == "true"
    )


def _read(path: Path, link: Path, kind: str, values: Path, plain: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return (array (i, j[, k[, channels]]), 4x4 affine RAS)."""
    try:
        import SimpleITK
    except ModuleNotFoundError as error:
        raise ImageError(
            f"{path}: {sniff.WORDS[kind]}, which needs SimpleITK to be read: {INSTALL}. Or convert it to"
            " NIfTI."
        ) from error
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(_READERS[kind][0])
    reader.SetFileName(str(link))
    try:
        reader.ReadImageInformation()
        _check(path, reader, values, plain, SimpleITK)
        image = reader.Execute()
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip() and "Success" not in line]
        why = lines[-1].rstrip(".")[:300].replace(str(link), path.name) if lines else "ITK cannot read it"
        raise ImageError(f"{path}: damaged or cut off: {why}. Export or copy it again.") from error
    array = SimpleITK.GetArrayViewFromImage(image)
    count = image.GetDimension()
    # k, j, i -> i, j, k; components stay last.
    array = array.transpose(*reversed(range(count)), *range(count, array.ndim))
    if array.ndim > 4:
        raise ImageError(
            f"{path}: an image of shape {array.shape}; needed are 2, 3 or 4 dimensions, the fourth being"
            " channels."
        )
    array = np.array(array, np.float64 if array.dtype.itemsize == 8 else array.dtype)
    affine, axes = np.eye(4), min(count, 3)
    direction = np.array(image.GetDirection()).reshape(count, count)[:axes, :axes]
    affine[:axes, :axes] = direction * np.array(image.GetSpacing()[:axes])
    affine[:axes, 3] = image.GetOrigin()[:axes]
    return array, _LPS_TO_RAS @ affine


def _check(path: Path, reader, values: Path, plain: bool, itk) -> None:
    """Refuse a volume that is too large, or announces more values than its file holds, before it is read."""
    size, parts, kind = reader.GetSize(), reader.GetNumberOfComponents(), reader.GetPixelID()
    if "complex" in itk.GetPixelIDValueAsString(kind).lower():
        raise ImageError(f"{path}: holds complex numbers; save magnitude or phase as an image of its own.")
    if len(size) not in (2, 3, 4) or (len(size) == 4 and parts > 1):
        raise ImageError(
            f"{path}: an image of {len(size)} dimensions and {parts} components; needed are 2, 3 or 4"
            " dimensions in all."
        )
    spatial = (*size[:3], *[1] * (3 - len(size)))
    channels = parts * (size[3] if len(size) > 3 else 1)
    bits = re.search(r"(\d+)-bit", itk.GetPixelIDValueAsString(kind))
    announced = int(np.prod([*size, parts], dtype=object)) * (int(bits[1]) // 8 if bits else 1)
    bytes_each = 2 * (int(bits[1]) // 8 if bits else 1) + 4
    check_size(  # `volume_of` checks again after axes are turned
        values, (*sorted(spatial), channels), bytes_each=bytes_each, deflated_bytes=announced
    )
    if plain and announced > values.stat().st_size:
        raise ImageError(
            f"{path}: cut off: its header announces {announced:,} bytes of values, {values.name} has"
            f" {values.stat().st_size:,}. Copy it again."
        )
