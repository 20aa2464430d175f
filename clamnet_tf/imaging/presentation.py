"""Presentation values of X-ray images: what a viewer shows, by the pipeline of PS3.3 C.11.

Stored values of a radiograph are no physical unit; what they mean to a reader the file says itself: modality
LUT (applied by dicom_pixels), VOI LUT or window (C.11.2), inversion of MONOCHROME1 (C.7.6.3.1.2, presentation
LUT shape C.11.6). Where no patient is seen - pixel padding (C.7.5.1.1.2), display shutter (C.7.6.11),
collimator blades (C.8.7.3) - the values become black, and statistics leave them out.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.draw import polygon2mask

from clamnet_tf.errors import UserInputError
from clamnet_tf.imaging.dicom_header import DAMAGE
from clamnet_tf.imaging.dicom_voi import voi_of

_SMALLEST_SEEN = 0.05  # of the frame; a shutter that leaves less is wrong
_LARGEST_SATURATED = 0.98  # of the frame; a window that shows less than the rest is wrong


@dataclass(frozen=True)
class Presented:
    """Frames as they are shown.

    values: (frames, rows, columns, channels). excluded: bool (frames, rows, columns), where no patient is
    seen; None = nowhere. notes: what could not be applied.
    """

    values: np.ndarray
    excluded: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def present(dataset, values: np.ndarray, stored: np.ndarray, path: Path) -> Presented:
    """Apply what a DICOM file says of how to show it.

    Args:
        dataset: the open file. values: (frames, rows, columns, channels) of `dicom_pixels.read_pixels`,
            MONOCHROME1 already inverted. stored: the same before the modality LUT, (frames, rows, columns[,
            channels]). path: for messages.

    Returns:
        Presented. With a VOI LUT or window values are 0..1; without one, or with one that cannot be used (a
        note says so), they stay as they are. Colour is left as it is.
    """
    if values.shape[-1] != 1:
        return Presented(values)
    notes: list[str] = []
    seen = _seen(dataset, values.shape[1:3], notes)
    excluded = ~np.broadcast_to(seen, values.shape[:3]) | _padding(dataset, stored, notes)
    if excluded.any():
        usual = excluded.mean((1, 2)) > 1 - _SMALLEST_SEEN
        if usual.any():
            notes.append(
                "padding, shutter and collimator leave next to nothing of the image; they were not applied"
            )
            excluded[usual] = False
    shown = np.empty_like(values)
    windowed = [
        _show(dataset, frame, values[frame, ..., 0], excluded[frame], path, notes)
        for frame in range(len(values))
    ]
    for frame, (one, border) in enumerate(windowed):
        shown[frame, ..., 0] = one
        excluded[frame] |= border
    _check_shape(dataset, notes)
    if not excluded.any():
        return Presented(shown, None, tuple(dict.fromkeys(notes)))
    for frame, hidden in enumerate(excluded):
        shown[frame][hidden] = shown[frame][~hidden].min()
    return Presented(shown, excluded, tuple(dict.fromkeys(notes)))


def _show(dataset, frame, values, hidden, path, notes) -> tuple[np.ndarray, np.ndarray]:
    """(one frame through the first VOI that the file names, its burned border).

    Tables come before windows, as pydicom's apply_voi_lut prefers.
    """
    none = np.zeros(values.shape, bool)
    views = voi_of(dataset, path, frame)
    if not views:
        return values, burned_border(values)
    try:
        shown = views[0].apply(values)
    except UserInputError:
        notes.append(
            f"its VOI window (centre {views[0].center:g}, width {views[0].width:g}) is not valid; values "
            "were taken as stored"
        )
        return values, none
    inside, before = shown[~hidden], values[~hidden]
    saturated = max((inside <= 0.0).mean(), (inside >= 1.0).mean())
    if saturated > _LARGEST_SATURATED and before.min() < before.max():
        notes.append("its VOI window shows nothing of its values; they were taken as stored")
        return values, none
    return shown, none


def burned_border(values: np.ndarray) -> np.ndarray:
    """Find a border of one value, far above all others, drawn around an image, which would darken it.

    Args:
        values: (rows, columns).

    Returns:
        bool, same shape; all False without such a frame.
    """
    border, highest = np.zeros(values.shape, bool), values.max()
    for axis in (0, 1):
        whole = (values == highest).all(axis=1 - axis)
        ends = np.cumprod(whole) | np.cumprod(whole[::-1])[::-1]
        border |= ends.astype(bool)[:, None] if axis == 0 else ends.astype(bool)[None, :]
    rest = values[~border]
    if not border.any() or not len(rest):
        return np.zeros(values.shape, bool)
    inner = values[np.ix_(*(~border.all(axis=1 - axis) for axis in (0, 1)))]
    far = inner.size > 0 and highest - inner.max() > 0.1 * (inner.max() - inner.min())
    return border if far else np.zeros(values.shape, bool)


def _check_shape(dataset, notes) -> None:
    """Note when photometric interpretation and presentation LUT shape contradict each other (C.8.11.3)."""
    pair = dataset.get("PhotometricInterpretation"), dataset.get("PresentationLUTShape")
    if pair in (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")):
        notes.append(
            f"PhotometricInterpretation {pair[0]} and PresentationLUTShape {pair[1]} contradict each other; "
            "the first was taken"
        )


def _padding(dataset, stored, notes) -> np.ndarray:
    """Bool like the frames: PixelPaddingValue, up to PixelPaddingRangeLimit where there is one."""
    value, limit = _whole(dataset.get("PixelPaddingValue")), _whole(dataset.get("PixelPaddingRangeLimit"))
    if value is None or stored.ndim != 3 or stored.dtype.kind not in "iu":
        return np.zeros(stored.shape[:3], bool)
    low, high = sorted((value, value if limit is None else limit))
    return (stored >= low) & (stored <= high)


def _whole(value) -> int | None:
    return int(value) if isinstance(value, (int, np.integer)) else None


def _seen(dataset, shape, notes) -> np.ndarray:
    """Bool (rows, columns): within display shutter and collimator, whose edges are counted from 1."""
    seen = np.ones(shape, bool)
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
                    seen &= inside
        except DAMAGE:
            notes.append(f"{kind.lower()} is described incompletely; it was not applied")
    return seen


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
