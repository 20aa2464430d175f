"""The cut that marks an expected share of the organ: how thresholds are fixed without masks (METHOD section
5).
"""

import numpy as np

_BINS = 4096


class AreaHistogram:
    """Marked fraction of the organ as a function of the threshold, averaged over slices, without keeping the
    maps.
    """

    def __init__(self):
        self._above = np.zeros(_BINS + 1)
        self._slices = 0

    def add(self, probability: np.ndarray, organ: np.ndarray) -> None:
        """(N, H, W) in 0..1 and (N, H, W) organ; slices without organ do not count."""
        for map_, inside in zip(probability, np.asarray(organ, bool)):
            if inside.any():
                counts = np.bincount(
                    (map_[inside] * _BINS).astype(np.int64).clip(0, _BINS), minlength=_BINS + 1
                )
                self._above += counts[::-1].cumsum()[::-1] / inside.sum()
                self._slices += 1

    def area(self, threshold: float) -> float:
        """Mean fraction at or above `threshold`."""
        return float(self._above[min(_BINS, int(np.ceil(threshold * _BINS)))] / max(1, self._slices))

    def threshold(self, prevalence: float) -> float:
        """The smallest threshold whose mean marked fraction is at most `prevalence`, in (0, 1)."""
        fractions = self._above / max(1, self._slices)
        index = int(np.argmax(fractions <= prevalence)) if (fractions <= prevalence).any() else _BINS
        return float(np.clip(index, 1, _BINS - 1) / _BINS)


def prevalence_thresholds(maps: dict, organ: np.ndarray, prevalence: float) -> dict:
    """Threshold per name of `maps` (N, H, W) whose mean marked fraction of `organ` (N, H, W) is
    `prevalence`.
    """
    thresholds = {}
    for name, probability in maps.items():
        histogram = AreaHistogram()
        histogram.add(probability, organ)
        thresholds[name] = histogram.threshold(prevalence)
    return thresholds
