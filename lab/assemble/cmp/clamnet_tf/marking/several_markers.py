"""The marking of several markers: each has its own steps and cut, and a pixel belongs to the one that lies furthest above its cut."""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.marking.slice_masks import mask_from_probability
from clamnet_tf.marking.volume_marking import VolumeMarking, VolumeSteps, log_odds

CUT = 0.5  # of every marker, in what MarkersMarking returns


@dataclass(frozen=True)
class MarkersMarking:
    """One VolumeMarking per marker, in the order of the network's classes from 1.

    Their cuts differ, so a probability of one marker does not compare with that of another; odds in units of the cut's odds do.
    """

    names: tuple[str, ...]
    parts: tuple[VolumeMarking, ...]
    threshold = CUT

    def __call__(self, probability: np.ndarray, images: np.ndarray, organ: np.ndarray) -> np.ndarray:
        """One volume, slices in order: (S, H, W, M) float 0..1, (S, H, W, C), (S, H, W) -> (S, H, W, M) float32 0..1, every cut at 0.5."""
        inside = np.asarray(organ, bool)
        maps = [part(probability[..., number], images, organ) for number, part in enumerate(self.parts)]
        shifted = [1.0 / (1.0 + np.exp(-log_odds_above(one, part.threshold))) for one, part in zip(maps, self.parts)]
        return np.stack([np.where(inside, one, 0).astype(np.float32) for one in shifted], axis=-1)

    def with_steps(self, steps: VolumeSteps) -> "MarkersMarking":
        """As VolumeMarking.with_steps, for every marker."""
        return MarkersMarking(self.names, tuple(part.with_steps(steps) for part in self.parts))

    def row(self) -> dict:
        """As JSON, name -> row; `from_row` reads it back."""
        return {name: part.row() for name, part in zip(self.names, self.parts)}

    @classmethod
    def from_row(cls, row: dict) -> "MarkersMarking":
        return cls(tuple(row), tuple(VolumeMarking.from_row(part) for part in row.values()))


def log_odds_above(probability: np.ndarray, threshold: float) -> np.ndarray:
    """log-odds of float 0..1 less those of the threshold: at or above 0 is marked; float32."""
    return log_odds(probability) - log_odds(threshold)


def class_mask(maps: np.ndarray, organ: np.ndarray | None, smallest_component: float = 0.0) -> np.ndarray:
    """Maps (H, W, M) with every cut at 0.5 -> (H, W) uint8: 0, or the number of the marker, from 1, that is highest there and marked.

    organ, smallest_component: as in `mask_from_probability`, for each marker by itself.
    """
    highest = np.asarray(maps).argmax(axis=-1)
    result = np.zeros(highest.shape, np.uint8)
    for number in range(maps.shape[-1]):
        own = np.where(highest == number, maps[..., number], 0)
        result[mask_from_probability(own, organ, CUT, smallest_component)] = number + 1
    return result
