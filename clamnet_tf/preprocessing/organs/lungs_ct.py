"""Find both lungs in chest CT, with what fills them: `organ.method: lungs_ct` of a recipe.

Nothing is trained. Aerated lung is found by its density (`lung_air.py`). Consolidated lung is as dense as the
chest wall, so that no threshold finds it: it is what lies between aerated lung, seen from the middle of the
chest, and the convex hull of its lung. The hull takes in air bronchograms, and the mirror image of the other
lung where one lung lost much of its air. Domes of liver and spleen are thick and hold no air; they are
removed again.
"""

import numpy as np
from scipy import ndimage

from clamnet_tf.preprocessing.organs.found_organ import (
    FoundOrgan,
    checked_volume,
    completed_by_foreground,
    missing_between,
)
from clamnet_tf.preprocessing.organs.lung_air import LungAir, density_levels, lung_air
from clamnet_tf.preprocessing.organs.region_shapes import (
    depth_inside,
    distance_to,
    enlarge,
    fill_holes,
    hull,
    parts_of,
    rounded_closing,
    rounded_opening,
    working_shape,
)
from clamnet_tf.preprocessing.resize import resize_slices
from clamnet_tf.threads import in_threads

_WORKING_SIDE = 256  # larger slices are worked on at this side
_RAYS = 360
_CLOSING = 0.06  # of the body's diameter: hilum, vessels, small opacities at the wall
_DENSE = 0.10  # of the body's diameter: dense parts that reach farther from any air than this are looked at
_LEAST_LUNG = 0.02  # of both lungs: a smaller side is a recess beyond the middle, not a lung
# of the body's diameter: radius of dense parts that are too thin to count, between single rays
_SPOKE = 0.012
# of the other lung's section in the posterior half, where no heart makes one smaller: a lung with less air is
# completed by the mirror image of the other one
_LOST_AIR = 0.6
# of the body's diameter: a ray that meets no more air for longer than this inside its lung's hull ends in
# something dense; there the hull is a chord, and the mirror image of the other lung tells how far it bulges
_GAP = 0.03
_BESIDE = 8  # rays beside such a ray
# of the body's section (of the picture, where it is cropped): smaller or larger is not a pair of lungs
_SHARE = (0.01, 0.95)
# of the largest part in a volume: smaller parts that are linked to it in no slice are gas in the bowel
_LINKED = 0.05


def lungs_ct(volume_array: np.ndarray) -> FoundOrgan:
    """Find both lungs in each slice of a chest CT, opacities and vessels included.

    Slices of a volume above and below the lungs are empty. In every slice of a volume in which no slice shows
    plausible lungs (1 to 95 % of the body's section), and in slices without lungs between slices with lungs,
    the fallback is `foreground` without a rim of 7 % of its diameter.

    Args:
        volume_array: (slices, rows, columns, channels), axial slices with the back at the bottom, neighbours
            in order, finite; Hounsfield units (recognised by values below -200), or pictures of 8 bits with a
            lung window, also cropped to the lungs. Only the first channel is used.
    """
    array = checked_volume(volume_array, "lungs_ct")
    full = array.shape[1:3]
    shape = working_shape(full, _WORKING_SIDE)
    levels, hounsfield = density_levels(resize_slices(array[..., 0], shape))
    airs = _linked([lung_air(image, hounsfield) for image in levels])
    lungs = np.stack(in_threads(lambda air: np.zeros(shape, bool) if air is None else _filled(air), airs))
    if len(lungs) > 2:  # lung in both neighbours: an opacity that swallowed all air of one slice
        lungs[1:-1] |= lungs[:-2] & lungs[2:]
    mask = np.stack(in_threads(lambda section: enlarge(section, full), lungs))
    return completed_by_foreground(mask, missing_between(mask), array)


def _linked(airs: list[LungAir | None]) -> list[LungAir | None]:
    """Drop parts of aerated lung that no neighbouring slice links to the lungs, like gas in the bowel."""
    airs_of_slice = {index: air for index, air in enumerate(airs) if air is not None}
    if len(airs) < 3 or not airs_of_slice:
        return airs
    shape = next(iter(airs_of_slice.values())).aerated.shape
    volume = np.zeros((len(airs), *shape), bool)
    for index, air in airs_of_slice.items():
        volume[index] = air.aerated
    labels, count = ndimage.label(volume)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    large_enough = sizes >= _LINKED * sizes[1:].max()
    large_enough[0] = False
    result = list(airs)
    for index, air in airs_of_slice.items():
        aerated = large_enough[labels[index]]
        result[index] = LungAir(aerated, air.bubbles, air.outside, air.unit) if aerated.any() else None
    return result


def _filled(air: LungAir) -> np.ndarray:
    """Complete the lungs of one slice by what is dense in them; bool (rows, columns), empty if
    implausible.
    """
    aerated, bubbles = air.aerated, air.bubbles
    columns = np.nonzero(aerated)[1]
    first_column, last_column = columns.min(), columns.max()
    middle = _middle(aerated, air.unit)
    left = np.broadcast_to(np.arange(aerated.shape[1]) < middle, aerated.shape)
    thorax = hull(aerated | bubbles)
    rows = np.nonzero(thorax)[0]
    rays = _Rays(aerated.shape, rows.mean(), middle)
    behind = np.broadcast_to((np.arange(aerated.shape[0]) > rows.mean())[:, None], aerated.shape)
    section, lungs = aerated.sum(), np.zeros_like(aerated)
    for side in (left, ~left):
        lung, mirrored = aerated & side, _mirrored(aerated & ~side, first_column + last_column) & side
        if lung.sum() < _LEAST_LUNG * section:
            continue
        air_of_side = lung | (bubbles & side)
        if (lung & behind).sum() < _LOST_AIR * (mirrored & behind).sum():
            outline, air_of_side = air_of_side | mirrored, air_of_side | (mirrored & behind)
        else:
            outline = air_of_side | (mirrored & rays.unsupported(lung, hull(air_of_side), _GAP * air.unit))
        closed = rounded_closing(lung, _CLOSING * air.unit) & thorax & side
        dense = hull(outline) & side & rays.beyond(air_of_side) & ~lung
        dense &= rounded_opening(dense | lung, _SPOKE * air.unit)
        dense = _without_domes(dense, lung | bubbles, _DENSE * air.unit)
        lungs |= fill_holes(lung | closed) | dense
    lungs &= ~air.outside
    low, high = (share * air.unit**2 for share in _SHARE)
    return lungs if low <= lungs.sum() <= high else np.zeros_like(lungs)


def _middle(aerated: np.ndarray, unit: float) -> int:
    """Find the column between the lungs: the one with the least air in the middle third of their width."""
    profile = aerated.sum(0).astype(float)
    columns = np.flatnonzero(profile)
    left, width = columns[0], columns[-1] - columns[0]
    start, end = int(left + 0.35 * width), int(left + 0.65 * width) + 1
    between = ndimage.gaussian_filter1d(profile, 0.02 * unit)[start:end]
    return start + round(np.flatnonzero(between <= between.min() + 0.03 * unit).mean())


def _mirrored(mask: np.ndarray, total: int) -> np.ndarray:
    """Mirror a mask so that column c comes to column total - c; what leaves the image is lost."""
    rows, columns = np.nonzero(mask)
    columns = total - columns
    inside = (columns >= 0) & (columns < mask.shape[1])
    mirrored = np.zeros_like(mask)
    mirrored[rows[inside], columns[inside]] = True
    return mirrored


def _without_domes(dense: np.ndarray, air: np.ndarray, depth: float) -> np.ndarray:
    """Take the domes of liver and spleen out of what is dense in a lung.

    A dome is a thick part, farther than `depth` pixels from any air, in front of the air's centre: the lung
    of such a slice lies behind it, while fluid and consolidation sink to the back.

    Args:
        dense: bool (rows, columns).
        air: bool (rows, columns).
        depth: in pixels.
    """
    if not (dense & (distance_to(air) > depth)).any():
        return dense
    thick = depth_inside(np.pad(dense, 1))[1:-1, 1:-1] > 0.75 * depth
    back, domes = np.nonzero(air)[0].mean(), np.zeros_like(dense)
    for part in parts_of(thick):
        if np.nonzero(part)[0].mean() < back:
            domes |= part
    return dense & (distance_to(domes) > 0.8 * depth)


class _Rays:
    """Directions from a centre, and which pixels lie on each."""

    def __init__(self, shape: tuple[int, int], row: float, column: float):
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        self.radius = np.hypot(rows - row, columns - column)
        turn = np.arctan2(rows - row, columns - column) % (2 * np.pi) / (2 * np.pi)
        self.ray = np.round(turn * _RAYS).astype(int) % _RAYS

    def beyond(self, mask: np.ndarray) -> np.ndarray:
        """Return which pixels lie beyond the first True pixel on their ray, bool (rows, columns)."""
        nearest = np.full(_RAYS, 1e9)
        np.minimum.at(nearest, self.ray[mask], self.radius[mask])
        return self.radius >= ndimage.minimum_filter1d(nearest, 3, mode="wrap")[self.ray]

    def unsupported(self, mask: np.ndarray, around: np.ndarray, gap: float) -> np.ndarray:
        """Return which pixels lie on or beside rays with a gap at their end, bool (rows, columns).

        On such a ray the last True pixel is over `gap` pixels short of the last pixel of `around`.
        """
        last, end = (np.full(_RAYS, -1.0) for _ in range(2))
        np.maximum.at(last, self.ray[mask], self.radius[mask])
        np.maximum.at(end, self.ray[around], self.radius[around])
        short = (last >= 0) & (end - last > gap)
        return ndimage.maximum_filter1d(short, 2 * _BESIDE + 1, mode="wrap")[self.ray]
