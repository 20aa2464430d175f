"""Masks for training slices from image labels and the attribution of image classifiers; no mask is read."""

import numpy as np
from scipy import ndimage

from clamnet_tf.marking.refinement import METHODS, seeds_of
from clamnet_tf.networks import attribution
from clamnet_tf.training.pseudo_labels import BACKGROUND, FOREGROUND, IGNORED


def attribution_labels(teacher, images, organ, labels, volumes, section, prevalence: float) -> np.ndarray:
    """Mark, in every abnormal training slice, what the classifiers look at, outlined by the image's own intensities.

    Args:
        teacher: networks.attribution_map.AttributionMap.
        images, organ, labels: of the training slices: (N, H, W, C), (N, H, W), (N,) with 0 for normal.
        volumes: (N,) number of each slice's volume; its slices stand in order.
        section: recipe section `attribution`. prevalence: stands in for a share of null.

    Returns:
        (N, H, W) uint8: FOREGROUND, BACKGROUND or IGNORED. Normal slices are background throughout, since their label says
        so. An abnormal slice is ignored throughout when the classifiers do not see its lesion or nothing can be
        outlined in it; pixels that the methods of `refinement` dispute are ignored.
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
        maps = teacher(present[rows])
        outlined = outlines(maps, images, organ, abnormal[rows], np.asarray(volumes), section.refinement, share)
        for row, taught in zip(rows, outlined):
            own = result[abnormal[row]]
            own[(taught == IGNORED) & (own == BACKGROUND)] = IGNORED
            own[taught == FOREGROUND] = FOREGROUND
        if part + 1 < section.refinement.parts:
            present[rows] = _erased(present[rows], result[abnormal[rows]] == FOREGROUND)
    result[abnormal[~(result[abnormal] == FOREGROUND).any(axis=(1, 2))]] = IGNORED
    return result


def outlines(maps, images, organ, rows, volumes, refinement, share: float) -> np.ndarray:
    """Outline the highest `share` of the organ in maps (n, H, W) of the slices `rows`: (n, H, W) of the three values.

    images, organ, volumes: of all training slices. refinement: recipe section `attribution.refinement`.
    """
    taught = np.full(maps.shape, BACKGROUND, np.uint8)
    groups = [np.flatnonzero(volumes[rows] == number) for number in np.unique(volumes[rows])] if refinement.volume else np.arange(len(rows))
    for group in groups:
        own = rows[group]
        picture = np.asarray(images[own], np.float32)[..., refinement.channel]
        taught[group] = _outline(maps[group], picture, np.asarray(organ[own], bool), refinement, share)
    return taught


def _outline(map_, picture, organ, refinement, share):
    """One slice (H, W) or one volume's abnormal slices (S, H, W): FOREGROUND, BACKGROUND, IGNORED."""
    if refinement.smoothing:
        in_plane = (0,) * (picture.ndim - 2) + (refinement.smoothing,) * 2
        picture = ndimage.gaussian_filter(picture, in_plane)
    seeds = seeds_of(np.where(organ, map_, 0), organ, share=share, reach=refinement.reach)
    if seeds is None:
        return np.full(map_.shape, BACKGROUND, np.uint8)
    votes = np.mean([METHODS[name](picture, map_, seeds) for name in refinement.methods], axis=0)
    doubtful = max(refinement.doubtful, 1e-6)
    return np.where(votes >= 1 - doubtful, FOREGROUND, np.where(votes <= doubtful, BACKGROUND, IGNORED)).astype(np.uint8)


def _erased(images, found):
    """The images (n, H, W, C) with what was found (n, H, W) bool, and a pixel around it, replaced by its surroundings."""
    hidden = np.stack([ndimage.binary_dilation(one) for one in found])[..., None]
    return np.where(hidden, attribution.surroundings(images).numpy(), images)
