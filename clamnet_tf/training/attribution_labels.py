"""Make masks for training slices from image labels and the attribution of image classifiers.

No mask is read.
"""

import numpy as np
from scipy import ndimage

from clamnet_tf.inference import attribution
from clamnet_tf.inference.postprocessing.attribution_refinement import METHODS, seeds_of
from clamnet_tf.training.pseudo_labels import BACKGROUND, FOREGROUND, IGNORED


def attribution_labels(teacher, images, organ, labels, volumes, section, prevalence: float) -> np.ndarray:
    """Mark, in every abnormal training slice, where the classifiers find evidence, outlined by the image's
    intensities.

    Args:
        teacher: inference.attribution_map.AttributionMap.
        images: (N, H, W, C) training slices.
        organ: (N, H, W) their organs.
        labels: (N,) their labels, 0 for normal.
        volumes: (N,) number of each slice's volume; its slices are in order.
        section: recipe section `attribution`.
        prevalence: replaces a share of null, in 0..1.

    Returns:
        (N, H, W) uint8: FOREGROUND, BACKGROUND or IGNORED. Normal slices are background throughout, since
        their label says so. An abnormal slice is ignored throughout when the classifiers do not detect its
        lesion or nothing can be outlined in it; pixels that the methods of `refinement` dispute are ignored.
    """
    result = np.full(organ.shape, BACKGROUND, np.uint8)
    abnormal = np.flatnonzero(np.asarray(labels) > 0)
    present, open_rows = np.asarray(images[abnormal], np.float32), np.ones(len(abnormal), bool)
    share = section.share or prevalence
    for part in range(section.refinement.parts):
        open_rows &= teacher.probability(present) >= section.least_score
        if not open_rows.any():
            break
        rows = np.flatnonzero(open_rows)
        maps = teacher(present[rows])[..., 0]
        outlined = outlines(
            maps, images, organ, abnormal[rows], np.asarray(volumes), section.refinement, share
        )
        for row, outline in zip(rows, outlined):
            row_mask = result[abnormal[row]]
            row_mask[(outline == IGNORED) & (row_mask == BACKGROUND)] = IGNORED
            row_mask[outline == FOREGROUND] = FOREGROUND
        if part + 1 < section.refinement.parts:
            present[rows] = _erased(present[rows], result[abnormal[rows]] == FOREGROUND)
    result[abnormal[~(result[abnormal] == FOREGROUND).any(axis=(1, 2))]] = IGNORED
    return result


def student_labels(student, images, organ, labels, volumes, section) -> np.ndarray:
    """Mark, in every abnormal training slice, what the network of the round before marks, outlined by the
    intensities.

    Half of a pixel's vote is the network's probability, half is the share of the refinement's methods that
    include it.

    Args:
        student: callable, (n, H, W, C) -> P(lesion) (n, H, W, 1).
        images, organ, labels, volumes, section: see `attribution_labels`.

    Returns:
        (N, H, W) uint8, see `attribution_labels`. An abnormal slice in which the network marks nothing at
        probability 0.5 is ignored throughout.
    """
    result = np.full(organ.shape, BACKGROUND, np.uint8)
    abnormal = np.flatnonzero(np.asarray(labels) > 0)
    maps = np.where(np.asarray(organ[abnormal], bool), student(images[abnormal])[..., 0], 0)
    for rows, group in _groups(abnormal, volumes, section.refinement.volume):
        picture, inside = _picture(images, rows, section.refinement), np.asarray(organ[rows], bool)
        sure = maps[group] >= 0.5
        if not sure.any():
            result[rows] = IGNORED
            continue
        smooth = ndimage.gaussian_filter(maps[group], (0,) * (maps[group].ndim - 2) + (1, 1))
        votes = _votes(smooth, picture, inside, section.refinement, sure.sum() / inside.sum())
        result[rows] = _decided(
            maps[group] if votes is None else 0.5 * (maps[group] + votes), section.refinement.doubtful
        )
    empty = ~(result[abnormal] == FOREGROUND).any(axis=(1, 2))
    result[abnormal[empty]] = IGNORED
    return result


def outlines(maps, images, organ, rows, volumes, refinement, share: float) -> np.ndarray:
    """Outline the highest `share` of the organ in the maps of some slices.

    Args:
        maps: (n, H, W) attribution of the slices `rows`.
        images, organ, volumes: of all training slices.
        rows: (n,) numbers of the slices.
        refinement: recipe section `attribution.refinement`.
        share: fraction of the organ, in 0..1.

    Returns:
        (n, H, W) uint8: FOREGROUND, BACKGROUND or IGNORED.
    """
    result = np.full(maps.shape, BACKGROUND, np.uint8)
    for group_rows, group in _groups(rows, volumes, refinement.volume):
        votes = _votes(
            maps[group],
            _picture(images, group_rows, refinement),
            np.asarray(organ[group_rows], bool),
            refinement,
            share,
        )
        if votes is not None:
            result[group] = _decided(votes, refinement.doubtful)
    return result


def _groups(rows, volumes, together: bool):
    """Return what is outlined together: (slice number, index) of every slice, or of every run of neighbours.

    A run consists of slices of one volume without a gap: slices beyond a gap show another lesion, or another
    part of it. For runs, numbers and indices are arrays.
    """
    if not together:
        return [(row, index) for index, row in enumerate(rows)]
    gap = (np.diff(rows) > 1) | (np.diff(np.asarray(volumes)[rows]) != 0)
    runs = np.split(np.arange(len(rows)), 1 + np.flatnonzero(gap))
    return [(rows[run], run) for run in runs if len(run)]


def _picture(images, rows, refinement) -> np.ndarray:
    """Return the intensities that outline a lesion, of one slice (H, W) or of several (S, H, W), smoothed
    in plane.
    """
    picture = np.asarray(images[rows], np.float32)[..., refinement.channel]
    in_plane = (0,) * (picture.ndim - 2) + (refinement.smoothing,) * 2
    return ndimage.gaussian_filter(picture, in_plane) if refinement.smoothing else picture


def _votes(map_, picture, organ, refinement, share: float) -> np.ndarray | None:
    """Return the share of the methods that include each pixel, 0..1; None where nothing can be outlined."""
    seeds = seeds_of(np.where(organ, map_, 0), organ, share=share, reach=refinement.reach)
    return (
        None
        if seeds is None
        else np.mean([METHODS[name](picture, map_, seeds) for name in refinement.methods], axis=0)
    )


def _decided(votes, doubtful: float) -> np.ndarray:
    """Return FOREGROUND, BACKGROUND, or IGNORED strictly between `doubtful` and 1 - `doubtful`.

    0.5 is foreground when nothing is doubtful.
    """
    high, low = (1 - doubtful, doubtful) if doubtful else (0.5, 0.5)
    return np.where(votes >= high, FOREGROUND, np.where(votes <= low, BACKGROUND, IGNORED)).astype(np.uint8)


def _erased(images, marked):
    """Return the images (n, H, W, C) with the marked pixels (n, H, W), and a pixel around them, replaced
    by their surroundings.
    """
    hidden = np.stack([ndimage.binary_dilation(mask) for mask in marked])[..., None]
    return np.where(hidden, attribution.surroundings(images).numpy(), images)
