"""Find what in a head has the brain's level and smoothness, slice by slice: the input of `brain.py`."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

_DEEP = 0.20  # of the slice's diameter: what lies deeper shows the level of the brain
_MIDDLE = 0.12  # of the slice's diameter: what lies deeper is not scalp and serves the local level
# of the brain's level: darker is skull, fluid or air; brighter shows no level
_DARKEST, _BRIGHTEST = 0.6, 1.5
_FAT, _SHALLOW = 2.0, 0.06  # of the brain's level, in every channel; of the slice's diameter
_SCALP = 2.2  # of the brain's level, in the brightest channel
_SKIN = 0.045  # of the slice's diameter: no brain lies this near to the surface of a head that has its skull
# standard deviations of the Gaussian (slices, pixels); weight of the volume's level
_SHADING, _STEADY = (1.0, 12.0, 12.0), 0.02
_BRIGHTEST_PART = 1.9  # median level of a part of the brain
_ROUGHEST_PART = 2.2  # median gradient of a part relative to the brain's; orbits and face have 2.4 to 5
# pixels; a temporal pole with a lesion is rougher
_LARGE_PART, _ROUGHEST_LARGE, _BRIGHTEST_LARGE = 180, 3.0, 1.3
_USABLE, _LEAST_DEEP = 0.6, 20  # of the largest diameter; pixels
_BAND, _BANDS, _DIP = 0.012, 10, 0.1  # of the diameter; bands from the surface inwards; share of dark pixels


@dataclass(frozen=True, eq=False)
class Tissue:
    """Properties of the tissue in a head; arrays are (slices, rows, columns) except `homogeneous`.

    Attributes:
        mask: bool, what may be brain by its level.
        inner: bool, the head without skin.
        depth: distance to the head's surface as a fraction of the slice's diameter, 0 outside.
        level: the darkest channel relative to the brain (1.0).
        roughness: gradient of `level` relative to the brain's.
        bright: bool, brighter than brain in the darkest channel.
        scalp: bool, as bright as fat in the brightest channel.
        homogeneous: bool (slices,), the more homogeneous half of the slices with a large section, where brain
            fills the middle.
    """

    mask: np.ndarray
    inner: np.ndarray
    depth: np.ndarray
    level: np.ndarray
    roughness: np.ndarray
    bright: np.ndarray
    scalp: np.ndarray
    homogeneous: np.ndarray

    def smooth_parts(self, core: np.ndarray) -> list[list[np.ndarray]]:
        """Return, per slice, the connected parts of `core` that are as smooth as brain, bool (rows, columns)
        each.
        """
        smooth = []
        for s, section in enumerate(core):
            labels, count = ndimage.label(section)
            parts = (labels == label for label in range(1, count + 1))
            smooth.append(
                [part for part in parts if _like_brain(self.level[s][part], self.roughness[s][part])]
            )
        return smooth


def _like_brain(level: np.ndarray, roughness: np.ndarray) -> bool:
    median_level, median_roughness = np.median(level), np.median(roughness)
    if median_roughness < _ROUGHEST_PART:
        return bool(median_level < _BRIGHTEST_PART)
    return bool(
        median_roughness < _ROUGHEST_LARGE and median_level < _BRIGHTEST_LARGE and level.size > _LARGE_PART
    )


def inner_distance(mask: np.ndarray) -> np.ndarray:
    """Return the distance of each pixel to the nearest pixel outside, (rows, columns).

    Pixels beyond the image count as outside.
    """
    return ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]


def tissue_of(volume: np.ndarray, head: np.ndarray) -> Tissue | None:
    """Return the tissue of a volume; None when no channel shows a level inside the head.

    The level of the brain is, per channel, the median of the deep middle of the more homogeneous half of the
    slices, and then the local mean of what lies near it, against coil shading. Tissue has at least 0.6 of it
    in every channel: skull marrow is bright in T1 alone, fluid in T2 alone.

    Args:
        volume: (slices, rows, columns, channels) float.
        head: bool (slices, rows, columns).
    """
    diameter = 2.0 * np.sqrt(head.sum((1, 2)) / np.pi)
    depth = np.stack([inner_distance(section) for section in head]) / np.maximum(diameter, 1.0)[:, None, None]
    relative = _relative(volume, depth, diameter)
    if relative is None:
        return None
    darkest, brightest, homogeneous = relative
    near = (depth > _MIDDLE) & (darkest > _DARKEST) & (darkest < _BRIGHTEST)
    local = _blur(np.where(near, darkest, 0.0)) / _blur(near)
    level, brightest = darkest / local, brightest / local
    skull = _have_skull(level, depth, homogeneous)[:, None, None]
    inner = depth > np.where(skull, _SKIN, 0.0)
    fat = skull & (level > _FAT) & (depth < _SHALLOW)
    mask = inner & (level > _DARKEST) & ~fat
    gradient = np.stack([ndimage.gaussian_gradient_magnitude(image, 1.0) for image in level])
    brainlike = (mask & (depth > _MIDDLE))[homogeneous]
    usual = float(np.median(gradient[homogeneous][brainlike])) if brainlike.any() else 0.0
    roughness = gradient / usual if usual > 0 else np.zeros_like(gradient)
    return Tissue(mask, inner, depth, level, roughness, level > _BRIGHTEST, brightest > _SCALP, homogeneous)


def _blur(values: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(values.astype(np.float32), _SHADING) + _STEADY


def _relative(volume: np.ndarray, depth: np.ndarray, diameter: np.ndarray):
    """Return intensity relative to the brain's level, over all channels.

    Returns:
        The smallest and the largest over the channels, and which slices are homogeneous, bool (slices,); None
        when no channel shows a level.
    """
    deep = (depth > _DEEP) & (diameter > _USABLE * diameter.max())[:, None, None]
    usable = [s for s in range(len(deep)) if deep[s].sum() > _LEAST_DEEP]
    relative, spreads = [], []
    for channel in range(volume.shape[-1]):
        values, spread = volume[..., channel], np.full(len(deep), np.inf)
        if values.min() == values.max():  # a missing channel
            continue
        for s in usable:
            inside = values[s][deep[s]]
            middle = np.median(inside)
            if middle > 0:
                spread[s] = np.median(np.abs(inside - middle)) / middle
        if np.isfinite(spread).any():
            calm = _calmer_half(spread)
            relative.append(values / np.median(values[calm][deep[calm]]))
            spreads.append(spread)
    if not relative or not np.isfinite(np.mean(spreads, axis=0)).any():
        return None
    return np.min(relative, axis=0), np.max(relative, axis=0), _calmer_half(np.mean(spreads, axis=0))


def _calmer_half(spread: np.ndarray) -> np.ndarray:
    return spread <= np.median(spread[np.isfinite(spread)])


def _have_skull(level: np.ndarray, depth: np.ndarray, homogeneous: np.ndarray) -> np.ndarray:
    """Return in which slices the head has its skin, bool (slices,).

    From the surface inwards, a skull then makes a second dark band; a stripped brain, or a thin scalp that
    `foreground` lost, only grows brighter. The homogeneous slices decide; other slices are like the nearest
    of these.
    """
    clear_slices = np.flatnonzero(homogeneous)
    skull = []
    for s in clear_slices:
        layer, dark = (depth[s] / _BAND).astype(int), level[s] < _DARKEST
        shares = [
            dark[(layer == n) & (depth[s] > 0)].mean()
            for n in range(_BANDS)
            if ((layer == n) & (depth[s] > 0)).any()
        ]
        skull.append(any(share - min(shares[:n]) > _DIP for n, share in enumerate(shares) if n >= 2))
    nearest = np.abs(np.arange(len(depth))[:, None] - clear_slices).argmin(1)
    return np.array(skull)[nearest]
