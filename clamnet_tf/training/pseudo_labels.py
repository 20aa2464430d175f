"""What one network teaches the next: its surest marks and its surest background, the middle ignored (METHOD section 4)."""

import numpy as np

from clamnet_tf.data.pipeline import RowView
from clamnet_tf.marking.prevalence import AreaHistogram
from clamnet_tf.marking.volume_marking import VolumeSteps, calibrate

IGNORED = 255
BACKGROUND, MARKER = 0, 1


def pseudo_labels(maps_of, images, organ, labels, volumes, *, marked: float, background: float, steps: VolumeSteps = VolumeSteps()) -> np.ndarray:
    """Masks for training slices, made of image labels and a network's probabilities; no mask is read.

    Args:
        maps_of: callable, row numbers (n,) of these slices -> P(marker) (n, H, W).
        images, organ, labels: of the training slices, (N, H, W, C), (N, H, W), (N,).
        volumes: (N,) number of each slice's volume; its slices stand in order.
        marked: share of the organ, averaged over abnormal slices, that is taken as marker, highest first.
        background: share that is taken as background, lowest first.
        steps: consistency of a volume, the same as at inference; here the maps of normal slices are known to be 0.

    Returns:
        (N, H, W) uint8: MARKER, BACKGROUND or IGNORED. Normal slices are background throughout, since their label says so;
        an abnormal slice in which nothing is marked is ignored throughout, since its label contradicts that.
    """
    abnormal, volumes = np.asarray(labels) > 0, np.asarray(volumes)
    groups = [np.flatnonzero(volumes == number) for number in dict.fromkeys(volumes.tolist())]
    groups = [rows for rows in groups if abnormal[rows].any()]
    parts = []
    for rows in groups:
        maps = np.zeros((len(rows), *organ.shape[1:]), np.float32)
        maps[abnormal[rows]] = maps_of(rows[abnormal[rows]])
        parts.append((maps, RowView(images, rows), organ[rows], abnormal[rows]))
    marking = calibrate(steps, parts, marked)
    refined, histogram = [], AreaHistogram()
    for maps, own_images, own_organ, own_abnormal in parts:
        refined.append(marking(maps, own_images, own_organ)[own_abnormal])
        histogram.add(refined[-1], own_organ[own_abnormal])
    low = min(histogram.threshold(1.0 - background), marking.threshold)
    result = np.zeros(organ.shape, np.uint8)
    for rows, maps in zip(groups, refined):
        taught = np.where(maps >= marking.threshold, MARKER, np.where(maps < low, BACKGROUND, IGNORED))
        taught[~(taught == MARKER).any(axis=(1, 2))] = IGNORED  # the label says that something is there: no background to be learned
        result[rows[abnormal[rows]]] = taught
    return result
