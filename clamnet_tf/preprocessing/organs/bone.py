"""Find limbs and trunk in bone X-rays, soft part and cast included: `organ.method: bone` of a recipe.

Nothing is trained. The background of such a picture is smooth but seldom black: it has a slope, vertical
bands, and bright strips where the collimator or the edge of the plate shows. A smooth surface is fitted to
it; what lies clearly above that surface is the patient. Two views on one film, or two limbs, are two parts,
and both are kept.
"""

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from clamnet_tf.preprocessing.organs.found_organ import FoundOrgan, checked_volume, completed_by_foreground
from clamnet_tf.preprocessing.organs.region_shapes import (
    enlarge,
    fill_holes,
    parts_of,
    rounded_closing,
    rounded_opening,
    working_shape,
)
from clamnet_tf.preprocessing.resize import resize_bilinear
from clamnet_tf.threads import in_threads

_WORKING_SIDE = 256  # larger images are worked on at this side
_WHITE = 0.9  # of the robust range: level of collimator, plate edge and burned-in letters
# share of white along an edge's row or column; how deep a strip may be, of the side
_STRIP_FULL, _STRIP_DEEP = 0.7, 0.22
_FRAME = 0.015  # of the side: outermost rows and columns, which say nothing
_ROUNDS = 4  # of fitting the background
# above the background: deviations of its noise, and of the robust range at least
_NOISE, _LEAST_STEP = 4.0, 0.025
# glow beside a strip: how far it reaches, of the side; percentage of a row that shows it; of the robust range
_HALO_DEEP, _HALO_MOST, _HALO_BRIGHTEST = 0.15, 40.0, 0.3
_THIN, _CLOSING = 0.012, 0.02  # of the longer side: radius of what is no limb; of gaps
_PART, _SECOND = 0.006, 0.06  # of the image, and of the largest part: smaller parts are letters and marks
_GROW = 0.006  # of the longer side: the dim edge of the skin
_BACKGROUND = 0.03  # of the image: with less background the picture is patient throughout
_SHARE = 0.03  # of the image: less is no limb


def bone(volume_array: np.ndarray) -> FoundOrgan:
    """Find limbs and trunk in each X-ray of a volume, without background, collimator, plate edge and letters.

    A picture without background is patient throughout. Where less than 3 % of the image stands out of its
    background, the fallback is `foreground` without a rim of 7 % of its diameter.

    Args:
        volume_array: (slices, rows, columns, channels), X-rays whose bones are bright, any real dtype and
            unit, finite. Only the first channel is used; every slice is treated on its own.
    """
    array = checked_volume(volume_array, "bone")
    full = array.shape[1:3]
    shape = working_shape(full, _WORKING_SIDE)

    def found(image):
        return enlarge(_patient(resize_bilinear(image, shape)), full)

    mask = np.stack(in_threads(found, array[..., 0]))
    return completed_by_foreground(mask, ~np.asarray(mask.any((1, 2))), array)


def _patient(image: np.ndarray) -> np.ndarray:
    """Find the patient in one picture (rows, columns); empty when nothing plausible stands out."""
    nothing, side = np.zeros(image.shape, bool), max(image.shape)
    low, high = np.percentile(image, (0.5, 99.5))
    if high <= low:
        return nothing
    smooth = ndimage.gaussian_filter(((image - low) / (high - low)).clip(0.0, 1.0), 1.0, mode="nearest")
    strips = _strips(smooth)
    usable = ~strips
    bright = _above_background(smooth, usable)
    if bright is None:
        return usable
    parts = parts_of(rounded_opening(bright & usable, _THIN * side), _PART * image.size)
    if not parts:
        return nothing
    large = np.logical_or.reduce([part for part in parts if part.sum() >= _SECOND * parts[0].sum()])
    region = fill_holes(rounded_closing(large, _CLOSING * side)) & usable
    region = ndimage.binary_dilation(region, iterations=max(1, round(_GROW * side))) & usable
    return region if region.mean() >= _SHARE else nothing


def _strips(smooth: np.ndarray) -> np.ndarray:
    """Find bright strips along the edges (collimator, edge of the plate) and the outermost frame; bool (rows,
    columns).
    """
    white, strips = smooth > _WHITE, np.zeros(smooth.shape, bool)
    edges = zip(*((mask, mask.T, mask[::-1], mask.T[::-1]) for mask in (white, strips)))
    for turned, taken in edges:
        frame, deep = max(1, round(_FRAME * len(turned))), round(_STRIP_DEEP * len(turned))
        taken[:frame] = True
        full = turned.mean(1) > _STRIP_FULL
        if full[: 2 * frame + 1].any() and not full[: deep + 1].all():
            last = int(np.flatnonzero(full[:deep]).max())
            taken[: last + 1 + frame] = True
            # where the strip's edge is ragged
            taken[:deep] |= np.logical_and.accumulate(turned[:deep], axis=0)
    return strips


def _without_halo(above: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Lower each row and column near an edge by the glow beside a strip.

    The glow is what most of the line lies above the background.
    """
    above = above.copy()
    edges = zip(*((array, array.T, array[::-1], array.T[::-1]) for array in (above, usable)))
    for turned, counted in edges:
        for line in range(round(_HALO_DEEP * len(turned))):
            values = turned[line][counted[line]]
            if len(values):
                glow = np.percentile(values, _HALO_MOST)
                if 0.0 < glow < _HALO_BRIGHTEST:
                    turned[line] -= glow
    return above


def _above_background(smooth: np.ndarray, usable: np.ndarray) -> np.ndarray | None:
    """Find what lies above a smooth surface through the background, bool (rows, columns); None without
    background.
    """
    values = smooth[usable]
    if not values.size or values.max() <= values.min():
        return None
    threshold = threshold_otsu(values)
    darker = values[values <= threshold]
    if darker.max() > darker.min():
        threshold = threshold_otsu(darker)
    dark = background = usable & (smooth <= threshold)
    y, x = (index / max(smooth.shape) for index in np.indices(smooth.shape))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    for _ in range(_ROUNDS):
        if background.mean() < _BACKGROUND:
            return None
        weights, *_ = np.linalg.lstsq(terms[background], smooth[background], rcond=None)
        above = smooth - terms @ weights
        noise = 1.4826 * np.median(np.abs(above[background] - np.median(above[background])))
        limit = max(_NOISE * noise, _LEAST_STEP)
        background = dark & (above < limit)
    return usable & (_without_halo(above, usable) >= limit)
