"""Find the brain in a head, without skull, scalp, orbits and muscles: `organ.method: brain` of a recipe.

The method is for axial MRI of any sequence and slice distance, on whole heads and on volumes whose skull was
already stripped. Nothing is trained: brain tissue is of one level, smooth, and separated from the scalp by a
dark band (skull and fluid), so that erosion frees it (Atkins and Mackiewich, IEEE Trans. Med. Imaging 17(1),
1998); from the widest slice its outline guides the slices above and below. Levels and depths are in
`brain_tissue.py`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from clamnet_tf.preprocessing.organs.brain_tissue import Tissue, inner_distance, tissue_of
from clamnet_tf.preprocessing.organs.foreground import foreground, without_rim
from clamnet_tf.preprocessing.organs.region_shapes import fill_holes
from clamnet_tf.preprocessing.resize import resize_slices
from clamnet_tf.threads import in_threads

FALLBACK_RIM = 0.07  # of the diameter: scalp and skull of most heads
_WORKING_DIAMETER = 112.0  # pixels of a head at which all is done; the lengths below are in these pixels
_EROSION = 3.0  # frees the brain from what touches it by thin bridges
_REACH = 2.5  # beyond the erosion: how far a part may grow back, and its outline shift from slice to slice
_CLOSING = 6.0  # sulci and fissures
# share of the convex hull from which on the hull is taken, so that lesions at the cortex stay in
_CONVEX = 0.88
_DEEP_PART = 0.12  # of the slice's diameter: what the brain reaches and the scalp does not
# of the slice's diameter: tissue deeper than this belongs to the brain below it, towards the vertex
_DEEP_TISSUE = 0.10
# mean section of the quarter of the slices at one end, relative to the other: the smaller end is the vertex
_SHRINKS = 1.15
_LEAST_SHARE = 0.35  # of the widest slice's head; a smaller region is not a brain
_LEAST_SLICE = 0.02  # of the widest slice's brain; less is spinal cord
_LEAST_STEP = 0.15  # of the neighbour's brain; less is a slice that failed, or the end


@dataclass(frozen=True, eq=False)
class BrainRegion:
    """The brain of a volume, and where it was not found.

    Attributes:
        mask: bool (slices, rows, columns).
        fallback: bool (slices,), True where no plausible brain was found and the mask is the foreground
            without a rim of FALLBACK_RIM; a slice below or above the brain is empty and no fallback.
    """

    mask: np.ndarray
    fallback: np.ndarray


def brain(volume_array: np.ndarray) -> BrainRegion:
    """Find the brain in each slice of a volume, its fluid spaces included; slices without brain are empty.

    Method, at a head diameter of 112 pixels: (1) `foreground` is the head; (2) tissue is what has the brain's
    level, see `tissue_of`; (3) eroded tissue falls into parts, of which rough and bright ones (orbits, face)
    are dropped; (4) from the widest homogeneous slice to both ends, parts that lie mostly within the
    neighbour's brain are kept, until less than 15 % of it is left twice in a row; (5) the erosion is undone
    inside the tissue, sulci are closed, holes are filled, and outlines are made convex: those that are nearly
    convex, and all outlines towards the vertex; (6) two pixels are added, the second not into bright scalp.

    Args:
        volume_array: (slices, rows, columns, channels), neighbouring axial slices in order (either
            direction), any real dtype and unit, finite, air near 0; one channel or several of unknown
            sequences.
    """
    array = np.asarray(volume_array)
    head = foreground(array)
    area = head.sum((1, 2))
    if not area.any():
        return BrainRegion(head, np.zeros(len(head), bool))
    height, width = head.shape[1:]
    scale = min(1.0, _WORKING_DIAMETER / (2.0 * np.sqrt(np.percentile(area[area > 0], 90) / np.pi)))
    shape = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = np.stack(
        [resize_slices(array[..., channel], shape) for channel in range(array.shape[-1])],
        axis=-1,
    )
    small_brain = _find(small, resize_slices(head, shape) >= 0.5)
    rimmed = without_rim(head, FALLBACK_RIM)
    if small_brain is None:
        return BrainRegion(rimmed, np.asarray(rimmed.any((1, 2))))
    mask = (resize_slices(small_brain, (height, width)) >= 0.5) & head
    present = np.flatnonzero(small_brain.any((1, 2)))
    between = (np.arange(len(head)) > present[0]) & (np.arange(len(head)) < present[-1])
    fallback = between & ~small_brain.any((1, 2)) & rimmed.any((1, 2))
    mask[fallback] = rimmed[fallback]
    return BrainRegion(mask, fallback)


def _find(volume: np.ndarray, head: np.ndarray) -> np.ndarray | None:
    """Find the brain at the working size, bool (S, H, W); None when no slice has a plausible one.

    Slices without a brain are empty.
    """
    tissue = tissue_of(volume, head)
    if tissue is None:
        return None
    core = np.stack(in_threads(lambda section: inner_distance(section) > _EROSION, tissue.mask))
    sure = core & tissue.homogeneous[:, None, None] & (tissue.depth > _DEEP_PART) & ~tissue.bright
    start = int(sure.sum((1, 2)).argmax())
    parts = tissue.smooth_parts(core)
    start_parts = [part for part in parts[start] if sure[start][part].mean() > 0.2]
    if not start_parts:
        return None
    mask, cores = np.zeros_like(head), np.zeros_like(head)
    cores[start] = np.logical_or.reduce(start_parts)
    mask[start] = _outline(cores[start], tissue.mask[start], convex=False)
    if mask[start].sum() < _LEAST_SHARE * head[start].sum():
        return None
    vertex = _vertex(head)
    for step in (-1, 1):
        _follow(mask, cores, tissue, parts, start, step, towards_vertex=step == vertex)
    cross = ndimage.generate_binary_structure(2, 1)[np.newaxis]
    wider = ndimage.binary_dilation(mask, cross)
    return tissue.inner & (wider | (ndimage.binary_dilation(wider, cross) & ~tissue.scalp))


def _follow(mask, cores, tissue: Tissue, parts, start: int, step: int, towards_vertex: bool) -> None:
    """Fill `mask` and `kept` slice by slice from `start`; one slice may fail between two that do not."""
    guide, failed, widest = start, 0, mask[start].sum()
    for s in range(start + step, len(mask) if step > 0 else -1, step):
        if not tissue.inner[s].any():  # blank
            continue
        near = ndimage.distance_transform_edt(~cores[guide]) <= _EROSION + _REACH
        chosen = [part & near for part in parts[s] if (part & near).sum() > 0.5 * part.sum()]
        if towards_vertex:  # the scalp comes inwards
            chosen = [part for part in chosen if tissue.depth[s][part].max() > _DEEP_PART]
        if chosen:
            core = np.logical_or.reduce(chosen)
            if towards_vertex:  # gyri between wide sulci are too thin for the erosion
                gyri = (
                    tissue.mask[s]
                    & mask[guide]
                    & (tissue.depth[s] > _DEEP_TISSUE)
                    & ~tissue.bright[s]
                    & ~tissue.scalp[s]
                )
                core |= ndimage.binary_opening(gyri)
            outline = _outline(core, tissue.mask[s], convex=towards_vertex)
            if outline.sum() >= max(_LEAST_SLICE * widest, _LEAST_STEP * mask[guide].sum()):
                mask[s], cores[s], guide, failed = outline, core, s, 0
                continue
        failed += 1
        if failed > 1 or mask[guide].sum() < _LEAST_STEP * widest:
            return


def _outline(core: np.ndarray, tissue: np.ndarray, convex: bool) -> np.ndarray:
    """Grow the parts of one slice back inside the tissue, close and fill them.

    The result is made convex when that is asked for or when it is nearly convex.
    """
    from skimage.morphology import convex_hull_image  # takes a twentieth of a short prediction to load

    grown = tissue & (ndimage.distance_transform_edt(~core) <= _EROSION + _REACH)
    if convex:  # the blurred edge of the scalp has the brain's level too
        grown = ndimage.binary_propagation(core, mask=core | ndimage.binary_opening(grown))
    border = int(_CLOSING) + 2
    near = ndimage.distance_transform_edt(~np.pad(grown, border)) <= _CLOSING
    closed = (ndimage.distance_transform_edt(near) > _CLOSING)[border:-border, border:-border]
    closed = fill_holes(closed | grown)
    hull = convex_hull_image(closed)
    return hull if convex or closed.sum() > _CONVEX * hull.sum() else closed


def _vertex(head: np.ndarray) -> int:
    """Return the direction in which the head's section shrinks, to the vertex: 1, -1, or 0 when it does
    not show.
    """
    area = head.sum((1, 2))
    area = area[area > 0]
    end = max(1, len(area) // 4)
    first_area, last_area = area[:end].mean(), area[-end:].mean()
    if max(first_area, last_area) < _SHRINKS * min(first_area, last_area):
        return 0
    return 1 if last_area < first_area else -1
