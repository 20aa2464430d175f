"""Turn probabilities into masks of slices: the threshold and what is done to the mask."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from clamnet_tf.inference.postprocessing.slice_masks import label_map


@dataclass(frozen=True)
class ThresholdRule:
    """Define how probabilities become masks, for the result and for its heads.

    Attributes:
        threshold: cut of the probability, in 0..1.
        rule: where the threshold comes from, in words.
        smallest_component: components under this share of the organ's area are removed, in 0..1.
        fill_holes: whether holes of the mask are filled.
        head_thresholds: thresholds of single heads; a head without one uses `threshold`.
        pooling_power: power of the slice score, see metrics.localisation.image_score.
    """

    threshold: float
    rule: str
    smallest_component: float = 0.0
    fill_holes: bool = False
    head_thresholds: Mapping[str, float] = field(default_factory=dict)
    pooling_power: float = 6.0

    def mask(self, maps: np.ndarray, organ: np.ndarray, head: str | None = None) -> np.ndarray:
        """Return the label map of a slice.

        Args:
            maps: (H, W, M) float in 0..1.
            organ: (H, W).
            head: name of a head, whose own threshold is used; None: `threshold` is used.

        Returns:
            (H, W) uint8.
        """
        threshold = self.threshold if head is None else self.head_thresholds.get(head, self.threshold)
        return label_map(maps, organ, threshold, self.smallest_component, self.fill_holes)

    def cut(self, probability: np.ndarray, organ: np.ndarray, head: str | None = None) -> np.ndarray:
        """Return what is marked in the map of one class, or of all together: (H, W) float -> (H, W) bool."""
        return self.mask(probability[..., None], organ, head) > 0
