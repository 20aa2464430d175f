"""Read masks: for evaluation, supervised training, organs, and labels that come from masks.

Supported are pictures (palette indices as stored), NIfTI, npy, DICOM images, DICOM segmentations (SEG) and
structure sets (RTSTRUCT). The meaning of values is defined in `mask_values`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging import sniff
from clamnet_tf.imaging.formats import FORMATS
from clamnet_tf.imaging.mask_values import IGNORED, LARGEST_CLASS, label_map
from clamnet_tf.imaging.readers import kind_of, read_volume
from clamnet_tf.imaging.volume import Volume

_INVERTED = ("WHITE_IS_ZERO", "MONOCHROME1")


@dataclass(frozen=True)
class Mask:
    """A mask as it was read.

    Attributes:
        values: uint8 (slices, rows, columns), 0 background, 1 .. classes, 255 ignored where that was allowed,
            in the orientation that `read_volume` gives its image.
        notes: assumptions, one sentence each, without the file's name.
        lesion_is_255: whether the file holds 0 and 255 alone, and 255 was read as the lesion.
    """

    values: np.ndarray
    notes: tuple[str, ...] = ()
    lesion_is_255: bool = False


def needs_image(path: Path) -> bool:
    """Return whether a mask can be placed only on the image it belongs to (DICOM-SEG and RTSTRUCT)."""
    path = Path(path)
    if path.is_dir() or kind_of(path) != "dicom":
        return False
    from clamnet_tf.imaging.dicom_segmentation_reader import SEGMENTATIONS
    from clamnet_tf.imaging.dicom_structure_reader import STRUCTURE_SET

    return _sop_class(path) in (*SEGMENTATIONS, STRUCTURE_SET)


def read_mask(
    path: Path,
    classes: int = 1,
    *,
    image: Volume | None = None,
    like: Volume | None = None,
    ignored: bool = False,
) -> Mask:
    """Read a mask file.

    Args:
        path: the file.
        classes: number of lesion classes; with one, any class number means the lesion.
        image: the image of the mask, as `read_volume` gives it; needed for DICOM-SEG and RTSTRUCT, which are
            placed on it.
        like: an image on whose grid the mask must lie.
        ignored: whether the value 255 beside class numbers is allowed, and means that a pixel is to be
            ignored.

    Raises:
        ImageError: the file cannot be read, is colour, holds values that are not a mask or are ambiguous, or
            does not lie on the grid of `like` (the message states both shapes, or their distance).
    """
    path, image = Path(path), image or like
    if needs_image(path):
        if image is None:
            raise ImageError(
                f"{path}: a DICOM segmentation or structure set is placed on its image; name the image "
                "beside it in a manifest.csv."
            )
        from clamnet_tf.imaging.dicom_segmentation_reader import read_segmentation
        from clamnet_tf.imaging.dicom_structure_reader import STRUCTURE_SET, read_structures

        reader = read_structures if _sop_class(path) == STRUCTURE_SET else read_segmentation
        return Mask(*reader(path, image, classes))
    volume = _stored(path)
    if like is not None:
        _require_same_grid(path, volume, like)
    values = _one_channel(path, volume)
    if volume.grid.kind == "picture" and sniff.sniff(path) == "jpeg":
        _check_jpeg(path, values, classes)
    values, notes = _turned(volume, values)
    labels, value_notes = label_map(path, values, classes, ignored=ignored)
    whole = classes == 1 and values.max(initial=0) == IGNORED and bool(np.isin(values, (0, IGNORED)).all())
    return Mask(labels, (*notes, *value_notes), lesion_is_255=whole)


def _stored(path: Path) -> Volume:
    kind = None if path.is_dir() else kind_of(path)
    as_stored = FORMATS[kind].read_stored if kind else None
    return as_stored(path) if as_stored else read_volume(path)


def _one_channel(path, volume: Volume) -> np.ndarray:
    array = volume.array
    if array.shape[-1] > 1 and not (array == array[..., :1]).all():
        raise ImageError(
            f"{path}: expected a mask of one channel, received {array.shape[-1]} channels that differ. "
            "It is not known which colour or channel is the lesion; "
            "write 0 for background and 1 for the lesion into one channel."
        )
    return array[..., 0]


def _check_jpeg(path, values, classes) -> None:
    """Refuse a JPEG in which background and lesion are not far apart, because JPEG does not keep values."""
    if classes > 1:
        raise ImageError(
            f"{path}: a mask of several classes cannot be a JPEG, which does not keep values. Save it as "
            "PNG, TIFF or NIfTI."
        )
    if 0 < values.max() < 128:
        raise ImageError(
            f"{path}: a JPEG mask whose largest value is {values.max():g}, expected 255 for the lesion: a "
            "JPEG does not keep small values apart. "
            "Save the mask as PNG, TIFF or NIfTI."
        )


def _turned(volume: Volume, values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the values of files that store white as 0 as viewers show them, with notes.

    Values that are class numbers are returned as stored.
    """
    if volume.grid.photometric not in _INVERTED:
        return values, ()
    name = "white-is-zero TIFF" if volume.grid.photometric == "WHITE_IS_ZERO" else "MONOCHROME1"
    if volume.grid.photometric == "WHITE_IS_ZERO":
        stored, top = values, _top(volume)
    else:  # the reader has turned DICOM already, within its bits
        top = 2.0 ** np.ceil(np.log2(max(float(values.max()), 1.0) + 1)) - 1
        stored = top - values
    if top > 1 and stored.max() <= LARGEST_CLASS:
        return stored, (
            f"{name}: its values {stored.min():g} to {stored.max():g} are class numbers, and were taken as "
            "stored",
        )
    return top - stored, (f"{name}: stored 0 is shown white, and was read as lesion",)


def _top(volume: Volume) -> float:
    return float(volume.grid.largest)


def _sop_class(path: Path) -> str:
    from clamnet_tf.imaging.dicom_header import open_dataset

    return str(open_dataset(path, pixels=False).get("SOPClassUID", ""))


def _require_same_grid(path, mask: Volume, image: Volume):
    ours, theirs = mask.array.shape[:3], image.array.shape[:3]
    name = image.sources[0]
    if ours != theirs:
        raise ImageError(
            f"{path}: a mask of {ours} slices, rows, columns for an image of {theirs} ({name}). They must "
            "be equal."
        )
    if mask.affine is None or image.affine is None:
        return
    corners = np.array(np.meshgrid(*[(0, side - 1) for side in ours], (1,), indexing="ij")).reshape(4, -1)
    apart = np.linalg.norm(((mask.affine - image.affine) @ corners)[:3], axis=0).max()
    assert image.spacing_mm is not None  # known with the affine
    if apart > 0.5 * min(image.spacing_mm):
        raise ImageError(
            f"{path}: the mask lies up to {apart:.1f} mm away from its image ({name}). Resample it onto the "
            "image's grid."
        )
