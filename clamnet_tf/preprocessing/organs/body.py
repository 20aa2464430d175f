"""The body in CT without table, clothing and arms beside it: `organ.method: body` of a recipe.

Nothing is trained.
"""

import numpy as np
from scipy import ndimage

from clamnet_tf.preprocessing.organs.found_organ import (
    FoundOrgan,
    checked_volume,
    completed_by_foreground,
    missing_between,
)
from clamnet_tf.preprocessing.organs.lung_air import density_levels
from clamnet_tf.preprocessing.organs.region_shapes import (
    enlarge,
    parts_of,
    rounded_closing,
    rounded_opening,
    working_shape,
)
from clamnet_tf.preprocessing.resize import resize_bilinear

_WORKING_SIDE = 256  # larger slices are worked on at this side
_TISSUE = 0.62  # level of `density_levels`: about -320 HU; clothing and blankets lie below, fat above
# level of fat in a narrow window is above this; share of such pixels, of all above it, by which it is known
_DARK_FAT, _SHOWN = 0.15, 0.2
_THIN = 0.03  # of the longer side: what is thinner is table or clothing
_CLOSING = 0.02  # of the longer side: folds of skin
_SECOND = 0.25  # of the largest part: two legs are two parts, an arm is none
_SHARE = 0.02  # of the image: less is no body
_LINKED = 0.2  # of the widest section: less, linked to nothing above or below, is no body


def body(volume_array: np.ndarray) -> FoundOrgan:
    """Find the body in each slice of a CT, lungs and bowel gas included.

    volume_array: (slices, rows, columns, channels), axial slices, neighbours in order, finite; Hounsfield
    units (recognised by values below -200), or pictures of 8 bits. The first channel is looked at.

    Fallback, in slices without a plausible body (2 % of the image) between slices with one, and in all
    slices where none has one: `foreground` without a rim of 7 % of its diameter.
    """
    array = checked_volume(volume_array, "body")
    full = array.shape[1:3]
    shape = working_shape(full, _WORKING_SIDE)
    levels, hounsfield = density_levels(np.stack([resize_bilinear(one, shape) for one in array[..., 0]]))
    threshold = _TISSUE if hounsfield else _threshold_of_picture(levels)
    found = _linked(np.stack([_section(one, threshold) for one in levels]))
    mask = np.stack([enlarge(one, full) for one in found])
    return completed_by_foreground(mask, missing_between(mask), array)


def _threshold_of_picture(levels: np.ndarray) -> float:
    """Choose the level that parts air from fat: a narrow window of soft tissue shows fat far below soft
    tissue."""
    between = (levels > _DARK_FAT) & (levels < _TISSUE)
    return _DARK_FAT if between.sum() > _SHOWN * (levels > _DARK_FAT).sum() else _TISSUE


def _section(levels: np.ndarray, threshold: float) -> np.ndarray:
    """Find the body in one slice (rows, columns); empty when nothing is plausible."""
    side = max(levels.shape)
    tissue = ndimage.gaussian_filter(levels, 1.0, mode="nearest") > threshold
    # the wall of the chest is thin around air, a table is thin around nothing: holes are filled first
    solid = rounded_opening(_filled(tissue), _THIN * side)
    parts = parts_of(solid, _SHARE * levels.size)
    if not parts or levels.max() <= levels.min():
        return np.zeros(levels.shape, bool)
    kept = np.logical_or.reduce([part for part in parts if part.sum() >= _SECOND * parts[0].sum()])
    return _filled(rounded_closing(kept, _CLOSING * side))


def _filled(mask: np.ndarray) -> np.ndarray:
    """Fill holes, and lungs that a picture's edge cuts open: air between two runs of tissue along one
    edge is a hole."""
    closed = np.pad(mask, 1)
    for turned in (closed, closed.T, closed[::-1], closed.T[::-1]):
        places = np.flatnonzero(turned[1])
        if len(places):
            turned[0, places[0] : places[-1] + 1] = True
    return ndimage.binary_fill_holes(closed)[1:-1, 1:-1]


def _linked(found: np.ndarray) -> np.ndarray:
    """Empty the sections that are small beside the widest one and overlap no neighbour, (slices, rows,
    columns) bool."""
    areas = found.sum((1, 2))
    for s in np.flatnonzero((areas > 0) & (areas < _LINKED * areas.max())):
        neighbours = [found[n] for n in (s - 1, s + 1) if 0 <= n < len(found)]
        if not any((found[s] & one).any() for one in neighbours):
            found[s] = False
    return found
