"""Find the breast in mammograms: `organ.method: breast` of a recipe.

Nothing is trained. The breast is the largest bright region, freed of label, tape and border. Its chest wall
is the side at which it is tallest. In oblique views the pectoral muscle fills the upper corner at the chest
wall; it ends at a straight line, behind which it is brighter than the fat before it.
"""

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from clamnet_tf.preprocessing.organs.found_organ import FoundOrgan, checked_volume, completed_by_foreground
from clamnet_tf.preprocessing.organs.region_shapes import (
    enlarge,
    fill_holes,
    hull,
    parts_of,
    rounded_closing,
    rounded_opening,
    working_shape,
)
from clamnet_tf.preprocessing.resize import resize_bilinear
from clamnet_tf.threads import in_threads

_WORKING_SIDE = 256  # larger images are worked on at this side
# of the robust range: no threshold lies above this, so that the thin edge of the breast stays in
_DARKEST_SKIN = 0.07
_TAPE = 0.1  # of the longer side: a border strip that is thicker is breast
_STRIP_FULL = 0.85  # share of bright pixels in a row or column of tape or border
_STRIP_BRIGHT = 0.85  # of the brightest value: level of tape and border
_THIN = 0.02  # of the longer side: bridges to label and tape
_CLOSING = 0.03  # of the longer side
_EDGE = 0.12  # of the breast's width: the strip at each end whose heights show the chest wall
_SHARE = (0.03, 0.9)  # of the image: smaller or larger is not a breast
_TALL = 0.2  # of the image's height: a breast is at least as tall
_SOLID = 0.6  # of its convex hull: a breast covers at least as much
# pectoral muscle: its line meets the top at these breast widths, the chest wall at these breast heights
_MUSCLE_TOP, _MUSCLE_WALL = (0.2, 0.95), (0.2, 0.9)
_LINES = 20  # candidate ends per side
_POINTS = 48  # along a line
_ACROSS = 3.0  # pixels before and behind the line that are compared
_STEP = 0.05  # of the robust range: mean step at the muscle's line
_STEADY = 0.8  # share of the line's points that step down from the muscle to the fat
_FAT = 0.15  # of the breast's width: the strip before the line
_BRIGHTER = 0.06  # of the robust range: the muscle's median above that of the strip before its line


def breast(volume_array: np.ndarray) -> FoundOrgan:
    """Find the breast in each picture of a volume, without label, tape, border and pectoral muscle.

    Where no region is plausible (3 to 90 % of the image, a fifth of its height, 60 % of its convex hull), the
    fallback is `foreground` without a rim of 7 % of its diameter.

    Args:
        volume_array: (slices, rows, columns, channels), mammograms with dark air and the head's side up, any
            real dtype and unit, finite. Only the first channel is used; every slice is treated on its own.
    """
    array = checked_volume(volume_array, "breast")
    full = array.shape[1:3]
    shape = working_shape(full, _WORKING_SIDE)

    def found(image):
        return enlarge(_breast(resize_bilinear(image, shape)), full)

    mask = np.stack(in_threads(found, array[..., 0]))
    return completed_by_foreground(mask, ~np.asarray(mask.any((1, 2))), array)


def _breast(image: np.ndarray) -> np.ndarray:
    """Find the breast of one picture (rows, columns); empty when nothing is plausible."""
    nothing, side = np.zeros(image.shape, bool), max(image.shape)
    image = image.copy()
    for turned in (image, image.T, image[::-1], image.T[::-1]):
        turned[:2] = turned[2]  # a line at the very edge is none of the breast
    low, high = np.percentile(image, (1.0, 99.5))
    if high <= low:
        return nothing
    smooth = ndimage.gaussian_filter((image - low) / (high - low), 1.0, mode="nearest").clip(0.0, 1.2)
    border = _tape(smooth)
    usable = smooth[~border]
    threshold = threshold_otsu(usable) if usable.max() > usable.min() else 1.0
    darker = usable[usable <= threshold]
    if darker.size and darker.max() > darker.min():
        threshold = threshold_otsu(darker)
    bright = (smooth > min(threshold, _DARKEST_SKIN)) & ~border
    parts = parts_of(rounded_opening(bright, _THIN * side))
    if not parts:
        return nothing
    region = fill_holes(rounded_closing(parts[0], _CLOSING * side)) & ~border
    if not _plausible(region):
        return nothing
    return region & ~_muscle(smooth, region)


def _tape(smooth: np.ndarray) -> np.ndarray:
    """Find strips of tape and border, bool (rows, columns).

    These are the rows and columns from each edge on that are bright throughout, or edges of a few pixels.
    """
    bright, strips = smooth > _STRIP_BRIGHT * smooth.max(), np.zeros(smooth.shape, bool)
    edges = zip(*((mask, mask.T, mask[::-1], mask.T[::-1]) for mask in (bright, strips)))
    for turned, taken in edges:
        full = turned.mean(1) > _STRIP_FULL
        limit = max(1, round(_TAPE * len(full)))
        if full[:limit].any() and not full[: 2 * limit].all():
            taken[: int(np.flatnonzero(full[:limit]).max()) + 2] = True
    return strips


def _plausible(region: np.ndarray) -> bool:
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    if not len(rows) or not _SHARE[0] <= region.mean() <= _SHARE[1] or np.ptp(rows) < _TALL * len(region):
        return False
    box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # the hull is no larger, and takes longer to find
    return bool(region.sum() >= _SOLID * box or region.sum() >= _SOLID * hull(region).sum())


def chest_wall_is_left(region: np.ndarray) -> bool:
    """Tell whether the chest wall, where the breast is taller, lies at the left edge of a breast, bool (rows,
    columns).
    """
    columns = np.flatnonzero(region.any(0))
    strip = max(1, round(_EDGE * len(columns)))
    heights = region.sum(0)
    return bool(heights[columns[:strip]].sum() >= heights[columns[-strip:]].sum())


def _muscle(smooth: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Find the pectoral muscle in a breast, bool (rows, columns); empty when no line bounds one."""
    if not chest_wall_is_left(region):
        return _muscle(smooth[:, ::-1], region[:, ::-1])[:, ::-1]
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    top, left, height, width = rows[0], columns[0], len(rows), len(columns)
    ends = np.linspace(0.0, 1.0, _LINES)
    across = left + width * (_MUSCLE_TOP[0] + np.ptp(_MUSCLE_TOP) * ends)
    down = top + height * (_MUSCLE_WALL[0] + np.ptp(_MUSCLE_WALL) * ends)
    along = np.linspace(0.05, 0.95, _POINTS)
    x1, y1 = (grid.ravel()[:, None] for grid in np.meshgrid(across, down))
    x, y = x1 + (left - x1) * along, top + (y1 - top) * along
    length = np.hypot(x1 - left, y1 - top)
    outwards = (y1 - top) / length, (x1 - left) / length  # column and row of the normal, away from the corner
    behind, before = (
        ndimage.map_coordinates(smooth, [y + off * outwards[1], x + off * outwards[0]], order=1)
        for off in (-_ACROSS, _ACROSS)
    )
    inside = ndimage.map_coordinates(region.astype(np.float32), [y, x], order=0, mode="constant") > 0
    step = np.where(inside, behind - before, 0.0)
    counted = np.maximum(inside.sum(1), 1)
    mean, steady = step.sum(1) / counted, (step > 0.0).sum(1) / counted
    good = np.where((steady >= _STEADY) & (inside.mean(1) > 0.7), mean, -np.inf)
    best = int(good.argmax())
    if good[best] < _STEP:
        return np.zeros_like(region)
    row, column = np.indices(region.shape)
    distance = (column - left) * outwards[0][best] + (row - top) * outwards[1][best]
    offset = (x1[best] - left) * outwards[0][best]
    muscle = region & (distance < offset)
    fat = region & (distance >= offset) & (distance < offset + _FAT * width)
    if not muscle.any() or not fat.any() or np.median(smooth[muscle]) < np.median(smooth[fat]) + _BRIGHTER:
        return np.zeros_like(region)
    return muscle
