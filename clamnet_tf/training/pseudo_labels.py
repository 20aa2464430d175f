"""What one network teaches the next: its surest marks and its surest background, the middle ignored (METHOD section 4)."""

import numpy as np

from clamnet_tf.training.selection import AreaHistogram

IGNORED = 255
BACKGROUND, MARKER = 0, 1


def pseudo_labels(marker, images, organ, labels, *, marked: float, background: float, batch: int = 64) -> np.ndarray:
    """Masks for training slices, made of image labels and a network's probabilities; no mask is read.

    Args:
        marker: callable, images (N, H, W, C) -> P(marker) (N, H, W).
        images, organ, labels: of the training slices, (N, H, W, C), (N, H, W), (N,).
        marked: share of the organ, averaged over abnormal slices, that is taken as marker, highest first.
        background: share that is taken as background, lowest first.

    Returns:
        (N, H, W) uint8: MARKER, BACKGROUND or IGNORED. Normal slices are background throughout, since their label says so.
    """
    result = np.zeros(organ.shape, np.uint8)
    abnormal = np.flatnonzero(np.asarray(labels) > 0)
    parts = [abnormal[start : start + batch] for start in range(0, len(abnormal), batch)]
    histogram = AreaHistogram()
    for rows in parts:
        histogram.add(marker(images[rows]), organ[rows])
    high, low = histogram.threshold(marked), histogram.threshold(1.0 - background)
    for rows in parts:
        probability = marker(images[rows])
        result[rows] = np.where(probability >= max(high, low), MARKER, np.where(probability < low, BACKGROUND, IGNORED))
    return result
