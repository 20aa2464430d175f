"""What one network teaches the next: its surest marks and its surest background, the middle ignored (METHOD
section 4).
"""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.inference.postprocessing.one_class import PostprocessingConfig, calibrate, log_odds_above
from clamnet_tf.inference.postprocessing.prevalence import AreaHistogram
from clamnet_tf.input_pipeline.pipeline import RowView

IGNORED = 255
BACKGROUND, FOREGROUND = 0, 1
NO_STEPS = PostprocessingConfig()


def pseudo_labels(
    maps_of,
    images,
    organ,
    shown,
    volumes,
    *,
    marked,
    background: float,
    steps: PostprocessingConfig = NO_STEPS,
    distinct: bool = True,
) -> np.ndarray:
    """Make masks for training slices from image labels and a network's probabilities; no mask is read.

    Each lesion class is cut by its own share in the slices that show it, and is 0 where the label excludes
    it.

    Args:
        maps_of: callable, row numbers (n,) of these slices -> P of each lesion class (n, H, W, M).
        images, organ: of the training slices, (N, H, W, C), (N, H, W).
        shown: (N, M) bool, which classes the label of a slice names; none: a normal slice.
        volumes: (N,) number of each slice's volume; its slices stand in order.
        marked: M shares of the organ, averaged over slices that show the class, that are taken as lesion,
            highest first.
        background: share that is taken as background, lowest first.
        steps: consistency of a volume, the same as at inference; here the maps of normal slices are known to
            be 0.
        distinct: False when the maps of all classes are the same, as those of an atlas of normal slices: then
            the label alone says which one is marked, and the marks of a slice that shows several are IGNORED.

    Returns:
        (N, H, W) uint8: the number of the class, from 1; BACKGROUND, where all classes that the slice shows
        agree on it; else IGNORED. Normal slices are background throughout, since their label says so; where a
        class that the label names is not marked in a slice, no background is taught there, since the label
        contradicts it. A pixel that two classes claim goes to the one that lies further above its cut, in
        log-odds.
    """
    shown = np.asarray(shown, bool)
    result = np.zeros(organ.shape, np.uint8)
    seen = _seen_volumes(maps_of, images, organ, shown, np.asarray(volumes))
    for index, share in enumerate(marked):
        own = [one for one in seen if one.shown[:, index].any()]
        for volume, taught, excess in _taught(own, index, share, background, steps):
            here = volume.shown[:, index]
            rows, best = volume.rows[here], volume.best[here]
            claimed, mine = result[rows], (taught == FOREGROUND) & (excess > best)
            claimed[(taught == IGNORED) & (claimed == BACKGROUND)] = IGNORED
            claimed[mine] = index + 1
            result[rows], volume.best[here] = claimed, np.where(mine, excess, best)
    if not distinct:
        unknown = (result > 0) & (shown.sum(axis=1) > 1)[:, None, None]
        result[unknown] = IGNORED
    return result


@dataclass(frozen=True, eq=False)
class _SeenVolume:
    """The slices of one volume and what the teacher sees in them.

    rows: of the training slices. maps: (S, H, W, M) float32, 0 where the label excludes the class.
    best: (S, H, W) float16, log-odds above the cut of the class that a pixel was given to.
    """

    rows: np.ndarray
    maps: np.ndarray
    images: RowView
    organ: np.ndarray
    shown: np.ndarray
    best: np.ndarray


def _seen_volumes(maps_of, images, organ, shown, volumes) -> list[_SeenVolume]:
    """The volumes that hold an abnormal slice, in order."""
    found = []
    for number in dict.fromkeys(volumes.tolist()):
        rows = np.flatnonzero(volumes == number)
        abnormal = shown[rows].any(axis=1)
        if abnormal.any():
            maps = np.zeros((*organ[rows].shape, shown.shape[1]), np.float32)
            maps[abnormal] = maps_of(rows[abnormal])
            maps *= shown[rows][:, None, None, :]
            best = np.full(maps.shape[:3], -np.inf, np.float16)
            found.append(_SeenVolume(rows, maps, RowView(images, rows), organ[rows], shown[rows], best))
    return found


def _taught(volumes, index: int, marked: float, background: float, steps):
    """What the maps of class `index` teach in the slices that show it.

    Yields (volume, (n, H, W) uint8 of FOREGROUND, BACKGROUND and IGNORED, log-odds above the cut (n, H, W)).
    """
    parts = [(one.maps[..., index], one.images, one.organ, one.shown[:, index]) for one in volumes]
    marking = calibrate(steps, parts, marked)
    refined, histogram = [], AreaHistogram()
    for maps, images, organ, abnormal in parts:
        refined.append(marking(maps, images, organ)[abnormal])
        histogram.add(refined[-1], organ[abnormal])
    low = min(histogram.threshold(1.0 - background), marking.threshold)
    for volume, maps in zip(volumes, refined):
        taught = np.where(maps >= marking.threshold, FOREGROUND, np.where(maps < low, BACKGROUND, IGNORED))
        taught = taught.astype(np.uint8)
        taught[~(taught == FOREGROUND).any(axis=(1, 2))] = IGNORED  # the label says that something is there
        yield volume, taught, log_odds_above(maps, marking.threshold)
