"""Find the cut that marks an expected share of the organ, which fixes thresholds without masks.

See docs/method.md, section "Thresholds without masks".
"""

import numpy as np

_BINS = 4096


class AreaHistogram:
    """The marked fraction of the organ as a function of the threshold, averaged over slices without
    storing the maps.
    """

    def __init__(self):
        self._above = np.zeros(_BINS + 1)
        self._slices = 0

    def add(self, probability: np.ndarray, organ: np.ndarray) -> None:
        """Count the slices of (N, H, W) maps in 0..1 with organs (N, H, W).

        Slices without organ do not count.
        """
        for map_, inside in zip(probability, np.asarray(organ, bool)):
            if inside.any():
                counts = np.bincount(
                    (map_[inside] * _BINS).astype(np.int64).clip(0, _BINS), minlength=_BINS + 1
                )
                self._above += counts[::-1].cumsum()[::-1] / inside.sum()
                self._slices += 1

    def area(self, threshold: float) -> float:
        """Return the mean fraction at or above `threshold`."""
        return float(self._above[min(_BINS, int(np.ceil(threshold * _BINS)))] / max(1, self._slices))

    def threshold(self, prevalence: float) -> float:
        """Return the smallest threshold whose mean marked fraction is at most `prevalence`, in (0, 1)."""
        fractions = self._above / max(1, self._slices)
        index = int(np.argmax(fractions <= prevalence)) if (fractions <= prevalence).any() else _BINS
        return float(np.clip(index, 1, _BINS - 1) / _BINS)


def prevalence_thresholds(maps: dict, organ: np.ndarray, prevalence: float) -> dict:
    """Return, per name of `maps`, the threshold whose mean marked fraction of the organ is `prevalence`.

    Args:
        maps: {name: (N, H, W) float in 0..1}.
        organ: (N, H, W).
        prevalence: in 0..1.
    """
    thresholds = {}
    for name, probability in maps.items():
        histogram = AreaHistogram()
        histogram.add(probability, organ)
        thresholds[name] = histogram.threshold(prevalence)
    return thresholds
