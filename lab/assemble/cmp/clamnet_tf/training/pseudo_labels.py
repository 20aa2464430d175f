"""What one network teaches the next: its surest marks and its surest background, the middle ignored (METHOD section 4)."""

import numpy as np

from clamnet_tf.data.pipeline import RowView
from clamnet_tf.marking.prevalence import AreaHistogram
from clamnet_tf.marking.several_markers import log_odds_above
from clamnet_tf.marking.volume_marking import VolumeSteps, calibrate

IGNORED = 255
BACKGROUND, FOREGROUND = 0, 1


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
        (N, H, W) uint8: FOREGROUND, BACKGROUND or IGNORED. Normal slices are background throughout, since their label says so;
        an abnormal slice in which nothing is marked is ignored throughout, since its label contradicts that.
    """
    result = np.zeros(organ.shape, np.uint8)
    for rows, taught, _ in _taught(maps_of, images, organ, np.asarray(labels) > 0, volumes, marked, background, steps):
        result[rows] = taught
    return result


def marker_pseudo_labels(maps_of, images, organ, shown, volumes, *, marked, background: float, steps: VolumeSteps = VolumeSteps(), told_apart: bool = True) -> np.ndarray:
    """The same of several markers: each is cut by its own share in the slices that show it, and 0 where the label excludes it.

    Args:
        maps_of: callable, row numbers (n,) of these slices -> P of each marker (n, H, W, M). shown: (N, M) bool, what the labels say.
        marked: M shares. told_apart: False when the maps of all markers are the same, as those of an atlas of normal slices: then the
            label alone says which one is marked, and the marks of a slice that shows several are IGNORED. The rest as above.

    Returns:
        (N, H, W) uint8: the number of the marker, from 1; BACKGROUND, where all that the slice shows agree on it; else IGNORED. A pixel
        that two markers claim goes to the one that lies further above its cut, in log-odds.
    """
    shown = np.asarray(shown, bool)
    abnormal = np.flatnonzero(shown.any(axis=1))
    maps = np.asarray(maps_of(abnormal), np.float16)
    place = np.zeros(len(shown), np.int64)
    place[abnormal] = np.arange(len(abnormal))
    result, best = np.zeros(organ.shape, np.uint8), np.full((len(abnormal), *organ.shape[1:]), -np.inf, np.float16)
    for number, share in enumerate(marked):
        parts = _taught(
            lambda rows: maps[place[rows], ..., number].astype(np.float32), images, organ, shown[:, number], volumes, share, background, steps  # noqa: B023
        )
        for rows, taught, excess in parts:
            own, claimed = best[place[rows]], result[rows]
            mine = (taught == FOREGROUND) & (excess > own)
            claimed[(taught == IGNORED) & (claimed == BACKGROUND)] = IGNORED
            claimed[mine] = number + 1
            result[rows], best[place[rows]] = claimed, np.where(mine, excess, own)
    if not told_apart:
        unknown = (result > 0) & (shown.sum(axis=1) > 1)[:, None, None]
        result[unknown] = IGNORED
    return result


def _taught(maps_of, images, organ, abnormal, volumes, marked, background, steps):
    """What one marker's maps teach in the abnormal slices, volume by volume.

    maps_of: callable, rows -> maps (n, H, W). Yields (rows, (n, H, W) uint8 of FOREGROUND, BACKGROUND and IGNORED, log-odds above the cut).
    """
    volumes = np.asarray(volumes)
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
    for rows, maps in zip(groups, refined):
        taught = np.where(maps >= marking.threshold, FOREGROUND, np.where(maps < low, BACKGROUND, IGNORED)).astype(np.uint8)
        taught[~(taught == FOREGROUND).any(axis=(1, 2))] = IGNORED  # the label says that something is there: no background to be learned
        yield rows[abnormal[rows]], taught, log_odds_above(maps, marking.threshold)
