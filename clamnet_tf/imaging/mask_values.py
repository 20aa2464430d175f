"""What the values of a mask mean: class numbers, 0 for background; or shades of one class.

A mask passes through many hands: resampling, smoothing and pictures leave values between background and
class. They are cut at half of their range and a note says so. Values that may mean several things are
refused.
"""

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from clamnet_tf.errors import ImageError

LARGEST_CLASS = 20  # larger whole numbers are shades
_TOPS = (1.0, 255.0, 65535.0)  # what "all of it" is in masks of shades
_WHOLE = 1e-3  # a value this close to a whole number is that number (scl_slope, 1e-6 as background)
_FEW_SHADES = 6  # so few may be numbers of classes; an edge has more
_WRITE = "Write the mask with 0 for background and 1 for the lesion"


def label_map(path, values: np.ndarray, classes: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the values of a mask as numbers of lesion classes.

    A single class may be stored as any class numbers, all of them the lesion, or as shades. Of several
    classes the values must be their numbers.

    Args:
        path: named in messages. values: (slices, rows, columns), as stored. classes: how many lesion classes
            there are.

    Returns:
        (uint8 of the same shape, 0 background, 1 .. `classes`; notes on what was assumed).

    Raises:
        ImageError: values that are no mask, or that may mean several things.
    """
    return _one_class(path, values) if classes == 1 else _numbered(path, values, classes)


def _one_class(path, values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a mask of one class, 1 = lesion."""
    found = _distinct(values)
    if not found.any():
        return np.zeros(values.shape, np.uint8), ()
    whole = np.round(found)
    if np.abs(found - whole).max() <= _WHOLE and (found[-1] > 0.5) and whole.min() == 0:
        notes = () if (found == whole).all() else (f"values {_few(found)} taken as whole numbers",)
        levels = np.unique(whole)
        marked = values > 0.5
        if len(levels) == 2:
            return marked.astype(np.uint8), notes
        if levels[-1] <= LARGEST_CLASS:
            return marked.astype(np.uint8), (
                *notes,
                f"holds the classes {_few(levels[1:])}; all of them are taken as the lesion",
            )
    if len(found) == 1:
        if found[0] in _TOPS:
            return np.ones(values.shape, np.uint8), ()
        raise ImageError(
            f"{path}: a mask that holds nothing but {found[0]:g}: is that lesion or background? {_WRITE}."
        )
    return _cut(path, values, found)


def _numbered(path, values: np.ndarray, classes: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a mask of the values 0 .. `classes` and nothing between them."""
    whole = np.round(values)
    found = np.unique(whole)
    if np.abs(values - whole).max(initial=0) > _WHOLE or found[0] < 0 or found[-1] > classes:
        raise ImageError(
            f"{path}: expected the values 0 to {classes}, background and the recipe's markers in their "
            f"order; received {_few(np.unique(values))}. "
            "Write the mask with these values (resampled by nearest neighbour), or leave it out of the "
            "manifest."
        )
    notes = () if (values == whole).all() else ("values taken as whole numbers",)
    return whole.astype(np.uint8), notes


def _cut(path, values, found):
    """Shades of one class at half of their range."""
    low, high = float(found[0]), float(found[-1])
    beyond = 1.0 if _are_whole(found) else 1.5  # splines overshoot, whole numbers do not
    top = next((top for top in _TOPS if 0.5 * top < high <= beyond * top), None)
    if top is None or low < -0.5 * top or low > 0.1 * top:
        raise ImageError(
            f"{path}: a mask of the values {_few(found)}, which may mean several things: expected class "
            "numbers from 0, or shades of one class from 0 "
            f"to 1 or to 255. {_WRITE}."
        )
    if (picture := _is_picture(values, top)) or _plateaus(values, top):
        what = "shades throughout, like a picture" if picture else "regions of several shades"
        raise ImageError(
            f"{path}: expected a mask, received {what} (values {_few(found)}). {_WRITE}; or check that the "
            "mask was named, not the image."
        )
    return (values > 0.5 * top).astype(np.uint8), (
        f"values {low:.3g} to {high:.3g} were cut at {0.5 * top:g}, half of their range",
    )


def _distinct(values) -> np.ndarray:
    """The values of all slices, rising; slice by slice, since sorting a whole volume takes another one."""
    return np.unique(np.concatenate([np.unique(one) for one in values]))


def _are_whole(found) -> bool:
    """Whether the values are whole numbers, as pictures hold them."""
    return bool((found == np.round(found)).all())


def _is_picture(values, top) -> bool:
    """Whether shades are everywhere, or go up and down; those of an edge only rise, from background to
    class.
    """
    between = (values > 0.1 * top) & (values < 0.9 * top)
    share, size = float(between.mean()), (1, 3, 3)
    if share > 0.5:
        return True
    ends = between & ((values >= maximum_filter(values, size)) | (values <= minimum_filter(values, size)))
    return share > 0.05 and int(ends.sum()) > 0.05 * int(between.sum())


def _plateaus(values, top) -> bool:
    """Whether a shade between background and class fills regions, as a class would; edges do not."""
    few = len(_distinct(values)) <= _FEW_SHADES
    low, high = (0.0, top) if few else (0.1 * top, 0.9 * top)
    between, size = (values > low) & (values < high), (1, 3, 3)
    flat = between & (maximum_filter(values, size) - minimum_filter(values, size) <= 1e-3 * top)
    return bool(flat.any()) if few else int(flat.sum()) > 0.05 * int((values > 0.1 * top).sum())


def _few(found) -> str:
    shown = [f"{value:.4g}" for value in found[:4]]
    return ", ".join(shown) + (f" .. {found[-1]:.4g}" if len(found) > 4 else "")
