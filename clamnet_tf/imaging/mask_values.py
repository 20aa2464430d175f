"""Interpret the values of a mask: class numbers with 0 for background, or shades of one class.

Resampling, smoothing and conversion to pictures leave values between background and class. Such values are
cut at half of their range and a note says so. Ambiguous values are refused.

Where the reader allows it, the value 255 beside class numbers marks pixels that are to be ignored. Without
class numbers beside it, 255 is the lesion, as `predict` writes it.
"""

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from clamnet_tf.errors import ImageError

LARGEST_CLASS = 20  # larger whole numbers are shades
IGNORED = 255  # beside class numbers: neither lesion nor background
_TOPS = (1.0, 255.0, 65535.0)  # values of full membership in masks of shades
_WHOLE = 1e-3  # a value this close to a whole number is that number (scl_slope, 1e-6 as background)
_FEW_SHADES = 6  # at most so many values may be class numbers; an edge has more shades
_WRITE = "Write the mask with 0 for background and 1 for the lesion"


def label_map(
    path, values: np.ndarray, classes: int, *, ignored: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Convert the values of a mask to numbers of lesion classes.

    A single class may be stored as any class numbers, all of which mean the lesion, or as shades. With
    several classes the values must be their numbers.

    Args:
        path: named in messages.
        values: (slices, rows, columns), as stored.
        classes: number of lesion classes.
        ignored: whether 255 beside class numbers is allowed, and means that a pixel is to be ignored.

    Returns:
        (uint8 of the same shape, 0 background, 1 .. `classes`, IGNORED; notes on assumptions).

    Raises:
        ImageError: the values are not a mask, or are ambiguous.
    """
    if ignored and (unknown := _ignored(values, classes)) is not None:
        labels, notes = label_map(path, np.where(unknown, 0, values), classes)
        labels[unknown] = IGNORED
        return labels, (*notes, "the value 255 beside class numbers is ignored")
    return _one_class(path, values) if classes == 1 else _numbered(path, values, classes)


def _ignored(values: np.ndarray, classes: int) -> np.ndarray | None:
    """Return where 255 stands beside class numbers, or None when the values are not of that kind.

    With one class the numbers must be 1, 2 .. without a gap, since 0 and 255 alone are background and lesion,
    and a few shades are an edge. With several classes 255 can be no class.
    """
    unknown = values == IGNORED
    if not unknown.any():
        return None
    if classes > 1:
        return unknown
    distinct = _distinct(values)
    numbers = distinct[(distinct != 0) & (distinct != IGNORED)]
    consecutive = len(numbers) and len(numbers) <= LARGEST_CLASS and numbers[-1] == len(numbers)
    return unknown if consecutive and (numbers == np.round(numbers)).all() and numbers[0] == 1 else None


def _one_class(path, values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a mask of one class, 1 = lesion, with notes."""
    distinct = _distinct(values)
    if not distinct.any():
        return np.zeros(values.shape, np.uint8), ()
    rounded = np.round(distinct)
    if np.abs(distinct - rounded).max() <= _WHOLE and (distinct[-1] > 0.5) and rounded.min() == 0:
        notes = () if (distinct == rounded).all() else (f"values {_few(distinct)} taken as whole numbers",)
        levels = np.unique(rounded)
        marked = values > 0.5
        if len(levels) == 2:
            return marked.astype(np.uint8), notes
        if levels[-1] <= LARGEST_CLASS:
            return marked.astype(np.uint8), (
                *notes,
                f"holds the classes {_few(levels[1:])}; all of them are taken as the lesion",
            )
    if len(distinct) == 1:
        if distinct[0] in _TOPS:
            return np.ones(values.shape, np.uint8), ()
        raise ImageError(
            f"{path}: a mask that holds nothing but {distinct[0]:g}: is that lesion or background? {_WRITE}."
        )
    return _cut(path, values, distinct)


def _numbered(path, values: np.ndarray, classes: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a mask whose values must be 0 .. `classes`, with notes."""
    rounded = np.round(values)
    distinct = np.unique(rounded)
    if np.abs(values - rounded).max(initial=0) > _WHOLE or distinct[0] < 0 or distinct[-1] > classes:
        raise ImageError(
            f"{path}: expected the values 0 to {classes}, background and the recipe's classes in their "
            f"order; received {_few(np.unique(values))}. "
            "Write the mask with these values (resampled by nearest neighbour), or leave it out of the "
            "manifest."
        )
    notes = () if (values == rounded).all() else ("values taken as whole numbers",)
    return rounded.astype(np.uint8), notes


def _cut(path, values, distinct):
    """Return a mask from shades of one class, cut at half of their range, with notes."""
    low, high = float(distinct[0]), float(distinct[-1])
    beyond = 1.0 if _are_whole(distinct) else 1.5  # splines overshoot, whole numbers do not
    top = next((top for top in _TOPS if 0.5 * top < high <= beyond * top), None)
    if top is None or low < -0.5 * top or low > 0.1 * top:
        raise ImageError(
            f"{path}: a mask of the values {_few(distinct)}, which may mean several things: expected class "
            "numbers from 0, or shades of one class from 0 "
            f"to 1 or to 255. {_WRITE}."
        )
    if (picture := _is_picture(values, top)) or _plateaus(values, top):
        description = "shades throughout, like a picture" if picture else "regions of several shades"
        raise ImageError(
            f"{path}: expected a mask, received {description} (values {_few(distinct)}). {_WRITE}; or check "
            "that the mask was named, not the image."
        )
    return (values > 0.5 * top).astype(np.uint8), (
        f"values {low:.3g} to {high:.3g} were cut at {0.5 * top:g}, half of their range",
    )


def _distinct(values) -> np.ndarray:
    """Return the distinct values in rising order, computed slice by slice to save memory."""
    return np.unique(np.concatenate([np.unique(plane) for plane in values]))


def _are_whole(distinct) -> bool:
    """Return whether the values are whole numbers, as pictures hold them."""
    return bool((distinct == np.round(distinct)).all())


def _is_picture(values, top) -> bool:
    """Return whether shades are everywhere or go up and down, while an edge only rises from background to
    class.
    """
    between = (values > 0.1 * top) & (values < 0.9 * top)
    share, size = float(between.mean()), (1, 3, 3)
    if share > 0.5:
        return True
    ends = between & ((values >= maximum_filter(values, size)) | (values <= minimum_filter(values, size)))
    return share > 0.05 and int(ends.sum()) > 0.05 * int(between.sum())


def _plateaus(values, top) -> bool:
    """Return whether a shade between background and class fills regions, as a class would; edges do not."""
    few = len(_distinct(values)) <= _FEW_SHADES
    low, high = (0.0, top) if few else (0.1 * top, 0.9 * top)
    between, size = (values > low) & (values < high), (1, 3, 3)
    flat = between & (maximum_filter(values, size) - minimum_filter(values, size) <= 1e-3 * top)
    return bool(flat.any()) if few else int(flat.sum()) > 0.05 * int((values > 0.1 * top).sum())


def _few(distinct) -> str:
    """Return the first four values and the last one as text."""
    texts = [f"{value:.4g}" for value in distinct[:4]]
    return ", ".join(texts) + (f" .. {distinct[-1]:.4g}" if len(distinct) > 4 else "")
