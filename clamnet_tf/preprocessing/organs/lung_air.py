"""Separate aerated lung in one CT slice from the air around the body, the trachea and gas in the bowel.

`lungs_ct.py` builds on it.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from clamnet_tf.preprocessing.organs.region_shapes import (
    CROSS,
    distance_to,
    hull,
    image_border,
    parts_of,
    rounded_opening,
)

_LUNG_HU, _SOFT_HU, _PADDING_HU = -900.0, 40.0, -1024.0
_HOUNSFIELD = -200.0  # a volume with a value below this is in Hounsfield units
_AIR = 0.72  # level below which a pixel holds air: about -220 HU, above most ground glass and below fat
_SURE_AIR, _LEAK = 0.4, 1.25  # level: about -520 HU; so many times more lung is found there after a leak
# share of a part's pixels at the picture's darkest value: black says nothing of how dark the part was
_SATURATED = 0.5
_GAS = 0.06  # level: how near to the air around the body gas in the bowel is
_GAS_HU = -0.045  # level below which a homogeneous part is free gas: about -942 HU
# of the body's section: in a picture a part as large is no gas, since some windows show lung as dark as
# air
_LARGE = 0.06
_CALM = 0.12  # level: interquartile range of a homogeneous part
_THIN = 0.012  # of the longer side: radius of bridges and gaps that do not count
_CORNER = 0.02  # of the longer side
# length along the image's edge, in square roots of the part's area: a rim of outside air, not a lung
_ALONG = 1.6
# of what is not outside: tissue that spans less is what a picture cropped to the lungs shows of the body
_CROPPED = 0.6
_LEAST_OUTSIDE = 0.1  # of the image: less air around the body means a picture cropped to the chest
_LEAST_PART = 0.003  # of the body's section
# of the body's section; of its width off the middle; spread of level
_TRACHEA, _MIDDLE, _TRACHEA_CALM = 0.03, 0.13, 0.3
_SMALL_MIDDLE = 0.012  # of the body's section: smaller parts in the middle are airways whatever their spread
_GROW = 0.02  # of the body's diameter: blurred edge that the opening took away
# pixels to share of the section; of the diameter away from aerated lung
_BUBBLE_AREA, _BUBBLE_REACH = (4, 0.02), 0.25
_BUBBLE_WALL = 0.04  # of the diameter: lung around an air bronchogram
_CENTRAL = (0.42, 0.58)  # of the lungs' width: there bubbles are bronchi and oesophagus


@dataclass(frozen=True, eq=False)
class LungAir:
    """Air of the lungs in one slice; all masks are bool (rows, columns).

    Attributes:
        aerated: aerated lung, vessels not included.
        bubbles: air bronchograms in the posterior half, with the lung around them.
        outside: air around the body.
        unit: square root of the body's section, in pixels.
    """

    aerated: np.ndarray
    bubbles: np.ndarray
    outside: np.ndarray
    unit: float


def density_levels(volume: np.ndarray) -> tuple[np.ndarray, bool]:
    """Scale a CT so that aerated lung is about 0 and soft tissue 1.

    Args:
        volume: (slices, rows, columns), Hounsfield units, or a picture of 8 bits with an unknown window,
            whose soft tissue is taken to be the most frequent bright shade.

    Returns:
        float32 of the same shape, and whether the volume is in Hounsfield units.
    """
    values = np.asarray(volume, np.float32)
    if values.min() < _HOUNSFIELD:
        return (np.maximum(values, _PADDING_HU) - _LUNG_HU) / (_SOFT_HU - _LUNG_HU), True
    smooth = ndimage.gaussian_filter(values, (0, 1, 1), mode="nearest")
    if smooth.max() <= smooth.min():
        return np.ones_like(values), False
    bright = smooth[smooth > threshold_otsu(smooth)]
    counts, edges = np.histogram(bright, 64)
    peak = ndimage.gaussian_filter1d(counts.astype(float), 2.0, mode="constant").argmax()
    soft, dark = (edges[peak] + edges[peak + 1]) / 2.0, np.percentile(smooth, 1.0)
    return (values - dark) / max(soft - dark, 1e-6), False


def lung_air(levels: np.ndarray, hounsfield: bool) -> LungAir | None:
    """Find the air of the lungs in one slice; None when there is none.

    Where a thin chest wall lets a lung run into the air around the body, a lower level for air separates
    them.

    Args:
        levels: (rows, columns), from `density_levels`.
        hounsfield: whether the volume is in Hounsfield units.
    """
    smooth = ndimage.gaussian_filter(levels, 1.0, mode="nearest")
    usual, strict = (_air_below(level, levels, smooth, hounsfield) for level in (_AIR, _SURE_AIR))
    if usual is None or (strict is not None and strict.aerated.sum() > _LEAK * usual.aerated.sum()):
        return strict
    return usual


def _air_below(level: float, levels: np.ndarray, smooth: np.ndarray, hounsfield: bool) -> LungAir | None:
    air = smooth < level
    inner, outside = _parts_and_outside(air, max(levels.shape))
    tissue = parts_of(rounded_opening(~air, 2.0))
    if not inner or not tissue:
        return None
    body = hull(tissue[0]) & ~outside
    if body.sum() < _CROPPED * (~outside).sum() or outside.mean() < _LEAST_OUTSIDE:
        body = ~outside
    unit = float(np.sqrt(body.sum()))
    surroundings = float(np.median(smooth[outside])) if outside.sum() > 50 else None
    columns = np.nonzero(body)[1]
    middle, width = columns.mean(), max(1, int(np.ptp(columns)))
    darkest, border = levels.min(), image_border(levels.shape)
    lung = np.zeros_like(air)
    for part in inner:
        # Air under the table's curve lies beside the body.
        beside = (part & body).sum() < 0.5 * part.sum() and not (part & border).any()
        if beside or part.sum() < _LEAST_PART * unit**2:
            continue
        core = ndimage.binary_erosion(part, CROSS, iterations=2)
        values = smooth[core if core.sum() > 20 else part]
        in_the_middle = (
            abs(np.nonzero(part)[1].mean() - middle) < _MIDDLE * width and part.sum() < _TRACHEA * unit**2
        )
        if in_the_middle and (
            part.sum() < _SMALL_MIDDLE * unit**2 or np.ptp(np.percentile(values, (5, 95))) < _TRACHEA_CALM
        ):
            continue
        saturated = not hounsfield and (levels[part] <= darkest).mean() > _SATURATED
        large = not hounsfield and part.sum() > _LARGE * unit**2
        if not (saturated or large) and _is_gas(values, surroundings, hounsfield):
            continue
        lung |= part
    if not lung.any():
        return None
    edge = air & ~outside & (distance_to(lung) <= _GROW * unit)
    lung = ndimage.binary_propagation(lung, mask=lung | edge)
    return LungAir(lung, _bubbles(air, lung, outside, body, unit), outside, unit)


def _parts_and_outside(air: np.ndarray, side: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return (parts of air inside the body, air around it).

    A picture may be cropped to the lungs, which then touch its edge. Air around the body fills a corner or
    runs along the edge.
    """
    radius, near = _THIN * side, max(2, round(_CORNER * side))
    border, corner = image_border(air.shape), np.zeros_like(air)
    for rows in (slice(None, near), slice(-near, None)):
        for columns in (slice(None, near), slice(-near, None)):
            corner[rows, columns] = True
    inner, outer = [], np.zeros_like(air)
    for part in parts_of(rounded_opening(air, radius)):
        along = (part & border).sum()
        if along and ((part & corner).any() or along > _ALONG * np.sqrt(part.sum())):
            outer |= part
        else:
            inner.append(part)
    near_inner = distance_to(np.logical_or.reduce(inner)) <= radius + 2 if inner else np.zeros_like(air)
    return inner, ndimage.binary_propagation(outer, mask=outer | (air & ~near_inner))


def _is_gas(values: np.ndarray, surroundings: float | None, hounsfield: bool) -> bool:
    """Tell whether values are free gas (stomach, bowel, between arm and body) and not lung, by level and
    homogeneity.
    """
    if np.ptp(np.percentile(values, (25, 75))) > _CALM:
        return False
    if hounsfield:
        return bool(np.median(values) < _GAS_HU)
    return surroundings is not None and abs(float(np.median(values)) - surroundings) < _GAS


def _bubbles(air, lung, outside, body, unit: float) -> np.ndarray:
    """Find air bronchograms: small spots of air in the posterior half, away from the middle, near aerated
    lung.

    They are widened by some lung.
    """
    away = distance_to(lung)
    labels, count = ndimage.label(air & ~outside & body & (away > 3))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    fits = (sizes >= _BUBBLE_AREA[0]) & (sizes < _BUBBLE_AREA[1] * unit**2)
    fits[0] = False
    rows, columns = np.nonzero(lung)
    left, width = columns.min(), np.ptp(columns)
    spots = fits[labels] & (away < _BUBBLE_REACH * unit)
    spots[:, int(left + _CENTRAL[0] * width) : int(left + _CENTRAL[1] * width)] = False
    wide = distance_to(spots) <= _BUBBLE_WALL * unit
    wide[: int(rows.mean())] = False
    return wide & ~outside
