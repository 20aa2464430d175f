"""Make the masks by which one network teaches the next: its surest lesions and its surest background.

The pixels between are ignored. See docs/method.md, section "Self-training".
"""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.inference.postprocessing.log_odds import log_odds_above
from clamnet_tf.inference.postprocessing.one_class import PostprocessingConfig, calibrate
from clamnet_tf.inference.postprocessing.prevalence import AreaHistogram
from clamnet_tf.input_pipeline.pipeline import RowView
from clamnet_tf.losses.of_masks import IGNORED
from clamnet_tf.threads import in_order

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
    certain=None,
) -> np.ndarray:
    """Make masks for training slices from image labels and a network's probabilities; no mask is read.

    Each lesion class is cut by its own share in the slices that show it, and is 0 where the label excludes
    it.

    Args:
        maps_of: callable, row numbers (n,) of these slices -> P of each lesion class (n, H, W, M).
        images: (N, H, W, C) training slices.
        organ: (N, H, W) their organs.
        shown: (N, M) bool, which classes the label of a slice names; none: a normal slice.
        volumes: (N,) number of each slice's volume; its slices are in order.
        marked: M shares of the organ, averaged over slices that show the class, that count as lesion, highest
            probability first.
        background: share that counts as background, lowest probability first.
        steps: consistency of a volume, the same as at inference; here the maps of normal slices are known to
            be 0.
        distinct: False when the maps of all classes are equal, like those of an atlas of normal slices: then
            the label alone decides the class, and the lesion pixels of a slice that shows several are
            IGNORED.
        certain: (N, M) bool, the slices among `shown` that fix the cuts, where the label of a study leaves
            open which of its slices show the class; None: all of them.

    Returns:
        (N, H, W) uint8: the number of the class, from 1; BACKGROUND, where all classes that the slice shows
        agree on it; else IGNORED. Normal slices are background throughout, since their label says so; where a
        class that the label names is not marked in a slice, no background is taught there, since the label
        contradicts it. A pixel that two classes claim goes to the one that lies further above its cut, in
        log-odds.
    """
    shown = np.asarray(shown, bool)
    result = np.zeros(organ.shape, np.uint8)
    certain = shown if certain is None else np.asarray(certain, bool)
    teacher_volumes = _teacher_volumes(maps_of, images, organ, shown, certain, np.asarray(volumes))
    for index, share in enumerate(marked):
        class_volumes = [volume for volume in teacher_volumes if volume.shown[:, index].any()]
        for volume, labels, excess in _class_labels(class_volumes, index, share, background, steps):
            in_class = volume.shown[:, index]
            rows, best = volume.rows[in_class], volume.best[in_class]
            claimed, highest = result[rows], (labels == FOREGROUND) & (excess > best)
            claimed[(labels == IGNORED) & (claimed == BACKGROUND)] = IGNORED
            claimed[highest] = index + 1
            result[rows], volume.best[in_class] = claimed, np.where(highest, excess, best)
    if not distinct:
        unknown = (result > 0) & (shown.sum(axis=1) > 1)[:, None, None]
        result[unknown] = IGNORED
    return result


@dataclass(frozen=True, eq=False)
class _TeacherVolume:
    """The slices of one volume and the teacher's maps of them.

    Attributes:
        rows: numbers of the training slices.
        maps: (S, H, W, M) float32, 0 where the label excludes the class.
        images: (S, H, W, C).
        organ: (S, H, W).
        shown: (S, M) bool.
        certain: (S, M) bool, the slices that fix the cuts.
        best: (S, H, W) float16, log-odds above the cut of the class that a pixel was assigned to.
    """

    rows: np.ndarray
    maps: np.ndarray
    images: RowView
    organ: np.ndarray
    shown: np.ndarray
    certain: np.ndarray
    best: np.ndarray


def _teacher_volumes(maps_of, images, organ, shown, certain, volumes) -> list[_TeacherVolume]:
    """Return the volumes that hold an abnormal slice, in order."""
    result = []
    for volume in dict.fromkeys(volumes.tolist()):
        rows = np.flatnonzero(volumes == volume)
        abnormal = shown[rows].any(axis=1)
        if abnormal.any():
            maps = np.zeros((*organ[rows].shape, shown.shape[1]), np.float32)
            maps[abnormal] = maps_of(rows[abnormal])
            maps *= shown[rows][:, None, None, :]
            best = np.full(maps.shape[:3], -np.inf, np.float16)
            known = RowView(images, rows), organ[rows], shown[rows], certain[rows]
            result.append(_TeacherVolume(rows, maps, *known, best))
    return result


def _class_labels(volumes, index: int, marked: float, background: float, steps):
    """Yield what the maps of class `index` teach in the slices that show it.

    Yields:
        The volume, (n, H, W) uint8 of FOREGROUND, BACKGROUND and IGNORED, and log-odds above the cut (n, H,
        W).
    """
    parts = [
        (volume.maps[..., index], volume.images, volume.organ, volume.certain[:, index]) for volume in volumes
    ]
    postprocessor = calibrate(steps, parts, marked)
    refined, histogram = [], AreaHistogram()
    all_consistent = in_order(lambda part: postprocessor(*part[:3]), parts)
    for volume, consistent, (_, _, organ, certain) in zip(volumes, all_consistent, parts):
        refined.append(consistent[volume.shown[:, index]])
        histogram.add(consistent[certain], organ[certain])
    high = postprocessor.threshold
    low = min(histogram.threshold(1.0 - background), high)
    for volume, maps in zip(volumes, refined):
        labels = np.where(maps >= high, FOREGROUND, np.where(maps < low, BACKGROUND, IGNORED))
        labels = labels.astype(np.uint8)
        labels[~(labels == FOREGROUND).any(axis=(1, 2))] = IGNORED  # the label says that something is there
        yield volume, labels, log_odds_above(maps, high)
