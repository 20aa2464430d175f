"""How probabilities become masks of slices: the threshold and what is done to the mask."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from clamnet_tf.inference.postprocessing.slice_masks import label_map


@dataclass(frozen=True)
class ThresholdRule:
    """How probabilities become masks; the same for our result and its heads."""

    threshold: float
    rule: str
    """Where the threshold comes from, in words."""
    smallest_component: float = 0.0
    fill_holes: bool = False
    head_thresholds: Mapping[str, float] = field(default_factory=dict)
    """Own thresholds of heads; a head without one uses `threshold`."""
    pooling_power: float = 6.0
    """Of the slice score, see metrics.localisation.image_score."""

    def mask(self, maps: np.ndarray, organ: np.ndarray, head: str | None = None) -> np.ndarray:
        """Return the label map (H, W) uint8 of maps (H, W, M) float, all cut at `threshold`, or where `head`
        is cut.
        """
        threshold = self.head_thresholds.get(head, self.threshold)
        return label_map(maps, organ, threshold, self.smallest_component, self.fill_holes)

    def cut(self, probability: np.ndarray, organ: np.ndarray, head: str | None = None) -> np.ndarray:
        """Return what is marked in the map of one class, or of all together: (H, W) float -> (H, W) bool."""
        return self.mask(probability[..., None], organ, head) > 0
