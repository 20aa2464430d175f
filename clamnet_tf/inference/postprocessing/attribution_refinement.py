"""Refine an attribution map to a lesion mask by the image's own intensities.

An attribution shows where an image classifier finds its evidence; its blobs have the width of the smoothing,
not of the lesion. Each method below starts from the surest places of the map (the core), considers at most
`reach` pixels beyond the marked share, and lets the intensities decide where the lesion ends. All methods
work on one slice (H, W) or on one volume (S, H, W), whose slices are compared as they lie.

`METHODS` is the table of the recipe's `attribution.refinement.method`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.graph import MCP_Geometric
from skimage.segmentation import random_walker

_CORE = 0.25  # the highest quarter of the marked share is the core
_RING = 3.0  # pixels: width of the surroundings that the core is compared with
_LEVELS = 9  # candidate cuts of `border_contrast`


@dataclass(frozen=True)
class Seeds:
    """The places that a refinement starts from; all are bool arrays of the image's shape.

    Attributes:
        core: surely lesion.
        marked: the share of the organ with the highest attribution.
        near: `marked` and everything within reach of it.
        ring: the surroundings of `near`, inside the organ.
    """

    core: np.ndarray
    marked: np.ndarray
    near: np.ndarray
    ring: np.ndarray


def seeds_of(attribution: np.ndarray, organ: np.ndarray, *, share: float, reach: float) -> Seeds | None:
    """Find the places that a refinement starts from.

    Args:
        attribution: (H, W) or (S, H, W) float, higher is more lesion.
        organ: bool array of the same shape; nothing outside is marked.
        share: fraction of the organ, 0..1, that counts as marked.
        reach: pixels that the lesion may extend beyond the marked share.

    Returns:
        Seeds, or None where the organ is empty, the attribution is constant, or no surroundings are left to
        compare with.
    """
    organ = np.asarray(organ, bool)
    values = attribution[organ]
    if not values.size or values.max() <= values.min():
        return None
    marked = organ & (attribution >= np.quantile(values, 1.0 - share)) & (attribution > values.min())
    core = marked & (attribution >= np.quantile(values, 1.0 - _CORE * share))
    distance = ndimage.distance_transform_edt(~marked)
    near = organ & (distance <= reach)
    ring = organ & (distance > reach) & (distance <= reach + _RING)
    return Seeds(core, marked, near, ring) if core.any() and ring.any() else None


def halfway_cut(image, attribution, seeds: Seeds) -> np.ndarray:
    """Cut halfway between the median of the core and that of its surroundings; return a bool array."""
    inner, outer = np.median(image[seeds.core]), np.median(image[seeds.ring])
    return _component(_beyond(image, 0.5 * (inner + outer), inner > outer) & seeds.near, attribution, seeds)


def border_contrast(image, attribution, seeds: Seeds) -> np.ndarray:
    """Choose, among cuts between core and surroundings, the one whose border has the steepest intensity.

    The border's steepness is the difference of the mean intensity just inside and just outside of the mask.
    Returns a bool array.
    """
    inner, outer = np.median(image[seeds.core]), np.median(image[seeds.ring])
    best, chosen = -np.inf, seeds.core
    for weight in np.linspace(0.2, 0.8, _LEVELS):
        mask = _component(
            _beyond(image, outer + weight * (inner - outer), inner > outer) & seeds.near, attribution, seeds
        )
        inside, outside = mask & ~ndimage.binary_erosion(mask), ndimage.binary_dilation(mask) & ~mask
        if outside.any() and inside.any():
            steepness = abs(image[inside].mean() - image[outside].mean())
            if steepness > best:
                best, chosen = steepness, mask
    return chosen


def walk_randomly(image, attribution, seeds: Seeds, beta: float = 130.0) -> np.ndarray:
    """Let random walkers from core and surroundings meet (Grady 2006, through scikit-image).

    Return a bool array.

    Without any difference of intensities around the core nothing could stop a walker: the core is returned.
    """
    if np.ptp(image[seeds.near | seeds.ring]) == 0:
        return seeds.core
    labels = np.where(seeds.core, 1, np.where(seeds.near, 0, 2)).astype(np.int32)
    far = ndimage.distance_transform_edt(~seeds.near) > _RING
    labels[far] = -1  # not part of the graph: far from anything that is to be decided
    # At a tolerance of 1e-3 the probabilities leave 0..1.
    walked = random_walker(image.astype(np.float64), labels, beta=beta, mode="cg_j", tol=1e-6)
    return _component((walked == 1) & seeds.near, attribution, seeds)


def geodesic(image, attribution, seeds: Seeds) -> np.ndarray:
    """Assign every place to the nearer of core and surroundings, with steps weighted by the intensity's
    gradient.

    Returns a bool array.
    """
    spread = image[seeds.near | seeds.ring].std() + 1e-6
    cost = 0.1 + ndimage.gaussian_gradient_magnitude(image.astype(np.float64), 0.7) / spread
    cost[~(seeds.near | seeds.ring)] = -1  # impassable
    reached = [MCP_Geometric(cost).find_costs(np.argwhere(start))[0] for start in (seeds.core, seeds.ring)]
    return _component((reached[0] <= reached[1]) & seeds.near, attribution, seeds)


#: Recipe value -> (image, attribution, Seeds) -> bool mask.
METHODS = {
    "none": lambda image, attribution, seeds: seeds.marked,
    "halfway": halfway_cut,
    "border_contrast": border_contrast,
    "random_walker": walk_randomly,
    "geodesic": geodesic,
}


def _beyond(image, cut, brighter):
    return image > cut if brighter else image < cut


def _component(mask, attribution, seeds: Seeds) -> np.ndarray:
    """Return the connected component of the attribution's peak, else the one that holds most of it, holes
    filled.
    """
    labels, count = ndimage.label(mask)
    if not count:
        return seeds.core
    within = np.where(seeds.near, attribution, -np.inf)
    peak = labels[np.unravel_index(np.argmax(within), within.shape)]
    if not peak:
        peak = 1 + int(
            np.argmax(
                ndimage.sum_labels(np.where(seeds.near, attribution, 0), labels, np.arange(1, count + 1))
            )
        )
    chosen = labels == peak
    if chosen.ndim == 2:
        return ndimage.binary_fill_holes(chosen)
    return np.stack([ndimage.binary_fill_holes(section) for section in chosen])
