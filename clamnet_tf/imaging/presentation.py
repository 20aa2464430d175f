"""Compute the presentation values of X-ray images, as a viewer shows them (PS3.3 C.11).

Stored values of a radiograph are not a physical unit. The file itself says how to display them: modality LUT
(applied by dicom_pixels), VOI LUT or window (C.11.2), inversion of MONOCHROME1 (C.7.6.3.1.2, presentation LUT
shape C.11.6). Where no patient is shown - pixel padding (C.7.5.1.1.2), display shutter (C.7.6.11), collimator
blades (C.8.7.3) - the values become black, and statistics leave them out.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.draw import polygon2mask

from clamnet_tf.errors import UserInputError
from clamnet_tf.imaging.dicom_header import DAMAGE
from clamnet_tf.imaging.dicom_voi import voi_of

_SMALLEST_SEEN = 0.05  # share of the frame; a shutter that leaves less is wrong
_LARGEST_SATURATED = 0.98  # share of the frame; a window that saturates more is wrong


@dataclass(frozen=True)
class Presented:
    """Frames as they are displayed.

    Attributes:
        values: (frames, rows, columns, channels).
        excluded: bool (frames, rows, columns), where no patient is shown; None when nowhere.
        notes: properties of the file that could not be applied.
    """

    values: np.ndarray
    excluded: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def present(dataset, values: np.ndarray, stored: np.ndarray, path: Path) -> Presented:
    """Apply the display settings of a DICOM file to its values.

    Args:
        dataset: the open file.
        values: (frames, rows, columns, channels) of `dicom_pixels.read_pixels`, MONOCHROME1 already inverted.
        stored: the same before the modality LUT, (frames, rows, columns[, channels]).
        path: for messages.

    Returns:
        Presented. With a VOI LUT or window values are 0..1; without one, or with one that cannot be used (a
            note says so), they are unchanged. Colour is unchanged.
    """
    if values.shape[-1] != 1:
        return Presented(values)
    notes: list[str] = []
    visible = _visible(dataset, values.shape[1:3], notes)
    excluded = ~np.broadcast_to(visible, values.shape[:3]) | _padding(dataset, stored, notes)
    if excluded.any():
        nearly_all = excluded.mean((1, 2)) > 1 - _SMALLEST_SEEN
        if nearly_all.any():
            notes.append(
                "padding, shutter and collimator leave next to nothing of the image; they were not applied"
            )
            excluded[nearly_all] = False
    displayed = np.empty_like(values)
    windowed = [
        _show(dataset, frame, values[frame, ..., 0], excluded[frame], path, notes)
        for frame in range(len(values))
    ]
    for frame, (plane, border) in enumerate(windowed):
        displayed[frame, ..., 0] = plane
        excluded[frame] |= border
    _check_shape(dataset, notes)
    if not excluded.any():
        return Presented(displayed, None, tuple(dict.fromkeys(notes)))
    for frame, hidden in enumerate(excluded):
        displayed[frame][hidden] = displayed[frame][~hidden].min()
    return Presented(displayed, excluded, tuple(dict.fromkeys(notes)))


def _show(dataset, frame, values, hidden, path, notes) -> tuple[np.ndarray, np.ndarray]:
    """Return (one frame through the first VOI that the file names, its burned border).

    Tables come before windows, as pydicom's apply_voi_lut prefers.
    """
    none = np.zeros(values.shape, bool)
    views = voi_of(dataset, path, frame)
    if not views:
        return values, burned_border(values)
    try:
        displayed = views[0].apply(values)
    except UserInputError:
        notes.append(
            f"its VOI window (centre {views[0].center:g}, width {views[0].width:g}) is not valid; values "
            "were taken as stored"
        )
        return values, none
    inside, before = displayed[~hidden], values[~hidden]
    saturated = max((inside <= 0.0).mean(), (inside >= 1.0).mean())
    if saturated > _LARGEST_SATURATED and before.min() < before.max():
        notes.append("its VOI window shows nothing of its values; they were taken as stored")
        return values, none
    return displayed, none


def burned_border(values: np.ndarray) -> np.ndarray:
    """Find a border of one value, far above all others, drawn around an image, which would darken it.

    Args:
        values: (rows, columns).

    Returns:
        bool of the same shape; all False without such a border.
    """
    border, highest = np.zeros(values.shape, bool), values.max()
    for axis in (0, 1):
        uniform = (values == highest).all(axis=1 - axis)
        ends = np.cumprod(uniform) | np.cumprod(uniform[::-1])[::-1]
        border |= ends.astype(bool)[:, None] if axis == 0 else ends.astype(bool)[None, :]
    rest = values[~border]
    if not border.any() or not len(rest):
        return np.zeros(values.shape, bool)
    inner = values[np.ix_(*(~border.all(axis=1 - axis) for axis in (0, 1)))]
    far = inner.size > 0 and highest - inner.max() > 0.1 * (inner.max() - inner.min())
    return border if far else np.zeros(values.shape, bool)


def _check_shape(dataset, notes) -> None:
    """Add a note when photometric interpretation and presentation LUT shape disagree (C.8.11.3)."""
    pair = dataset.get("PhotometricInterpretation"), dataset.get("PresentationLUTShape")
    if pair in (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")):
        notes.append(
            f"PhotometricInterpretation {pair[0]} and PresentationLUTShape {pair[1]} contradict each other; "
            "the first was taken"
        )


def _padding(dataset, stored, notes) -> np.ndarray:
    """Return bool like the frames: PixelPaddingValue, up to PixelPaddingRangeLimit where there is one."""
    value, limit = _integer(dataset.get("PixelPaddingValue")), _integer(dataset.get("PixelPaddingRangeLimit"))
    if value is None or stored.ndim != 3 or stored.dtype.kind not in "iu":
        return np.zeros(stored.shape[:3], bool)
    low, high = sorted((value, value if limit is None else limit))
    return (stored >= low) & (stored <= high)


def _integer(value) -> int | None:
    return int(value) if isinstance(value, (int, np.integer)) else None


def _visible(dataset, shape, notes) -> np.ndarray:
    """Return bool (rows, columns): within display shutter and collimator, whose edges are counted from 1."""
    visible = np.ones(shape, bool)
    for kind in ("Shutter", "Collimator"):
        try:
            shapes = dataset.get(f"{kind}Shape") or ()
            for name in [shapes] if isinstance(shapes, str) else list(shapes):
                inside = _SHAPES[name](dataset, kind, shape) if name in _SHAPES else None
                if inside is None:
                    notes.append(f"{kind.lower()} of shape {name} was not applied")
                elif inside.mean() < _SMALLEST_SEEN:
                    notes.append(
                        f"{kind.lower()} {name.lower()} leaves next to nothing of the image; it was not "
                        "applied"
                    )
                else:
                    visible &= inside
        except DAMAGE:
            notes.append(f"{kind.lower()} is described incompletely; it was not applied")
    return visible


def _rectangle(dataset, kind, shape):
    left, right, upper, lower = (
        int(dataset[f"{kind}{edge}"].value)
        for edge in ("LeftVerticalEdge", "RightVerticalEdge", "UpperHorizontalEdge", "LowerHorizontalEdge")
    )
    inside = np.zeros(shape, bool)
    inside[max(upper - 1, 0) : lower, max(left - 1, 0) : right] = True
    return inside


def _circle(dataset, kind, shape):
    row, column = (float(value) - 1 for value in dataset[f"CenterOfCircular{kind}"].value)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= float(dataset[f"RadiusOfCircular{kind}"].value) ** 2


def _polygon(dataset, kind, shape):
    vertices = np.asarray(dataset[f"VerticesOfThePolygonal{kind}"].value, float).reshape(-1, 2) - 1
    return polygon2mask(shape, vertices)


_SHAPES = {"RECTANGULAR": _rectangle, "CIRCULAR": _circle, "POLYGONAL": _polygon}
