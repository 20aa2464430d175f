"""Find the body in CT without table, clothing and arms beside it: `organ.method: body` of a recipe.

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
    fill_holes,
    parts_of,
    rounded_closing,
    rounded_opening,
    working_shape,
)
from clamnet_tf.preprocessing.resize import resize_slices
from clamnet_tf.threads import in_threads

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

    In slices without a plausible body (2 % of the image) between slices with one, and in all slices where
    none has one, the fallback is `foreground` without a rim of 7 % of its diameter.

    Args:
        volume_array: (slices, rows, columns, channels), axial slices, neighbours in order, finite; Hounsfield
            units (recognised by values below -200), or pictures of 8 bits. Only the first channel is used.
    """
    array = checked_volume(volume_array, "body")
    full = array.shape[1:3]
    shape = working_shape(full, _WORKING_SIDE)
    levels, hounsfield = density_levels(resize_slices(array[..., 0], shape))
    threshold = _TISSUE if hounsfield else _threshold_of_picture(levels)
    sections = _linked(np.stack(in_threads(lambda image: _section(image, threshold), levels)))
    mask = np.stack(in_threads(lambda section: enlarge(section, full), sections))
    return completed_by_foreground(mask, missing_between(mask), array)


def _threshold_of_picture(levels: np.ndarray) -> float:
    """Choose the level that separates air from fat: a narrow window of soft tissue shows fat far below soft
    tissue.
    """
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
    region = np.logical_or.reduce([part for part in parts if part.sum() >= _SECOND * parts[0].sum()])
    return _filled(rounded_closing(region, _CLOSING * side))


def _filled(mask: np.ndarray) -> np.ndarray:
    """Fill holes, and lungs that a picture's edge cuts open: air between two runs of tissue along one edge is
    a hole.
    """
    closed = np.pad(mask, 1)
    for turned in (closed, closed.T, closed[::-1], closed.T[::-1]):
        tissue = np.flatnonzero(turned[1])
        if len(tissue):
            turned[0, tissue[0] : tissue[-1] + 1] = True
    return fill_holes(closed)[1:-1, 1:-1]


def _linked(sections: np.ndarray) -> np.ndarray:
    """Empty the sections that are small beside the widest one and overlap no neighbour; (slices, rows,
    columns) bool.
    """
    areas = sections.sum((1, 2))
    for s in np.flatnonzero((areas > 0) & (areas < _LINKED * areas.max())):
        neighbours = [sections[n] for n in (s - 1, s + 1) if 0 <= n < len(sections)]
        if not any((sections[s] & neighbour).any() for neighbour in neighbours):
            sections[s] = False
    return sections
