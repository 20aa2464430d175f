"""Overlap of two masks: counts first, scores from counts.

Counts of several slices add up to the counts of their volume, so that a volume never has to be in memory.

Conventions (METHOD section 6): where truth and mask are both empty there is no overlap to measure, so the
score is None (left out of means and counted as specificity instead). A mask where the truth is empty scores
0.
"""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.errors import DataError


@dataclass(frozen=True)
class Overlap:
    """Pixel counts of one slice or one volume; `a + b` is the overlap of both together."""

    both: int = 0
    truth_only: int = 0
    marked_only: int = 0
    neither: int = 0

    def __add__(self, other: "Overlap") -> "Overlap":
        return Overlap(
            self.both + other.both,
            self.truth_only + other.truth_only,
            self.marked_only + other.marked_only,
            self.neither + other.neither,
        )

    @property
    def truth(self) -> int:
        """Pixels of the truth."""
        return self.both + self.truth_only

    @property
    def marked(self) -> int:
        """Pixels of the mask under test."""
        return self.both + self.marked_only


def count_overlap(truth: np.ndarray, marked: np.ndarray) -> Overlap:
    """Counts of two boolean masks of one shape, any number of axes."""
    truth, marked = np.asarray(truth, bool), np.asarray(marked, bool)
    if truth.shape != marked.shape:
        raise DataError(
            f"Masks of different shapes cannot be compared: truth {truth.shape}, mask {marked.shape}."
        )
    both = int(np.count_nonzero(truth & marked))
    truth_only = int(np.count_nonzero(truth)) - both
    marked_only = int(np.count_nonzero(marked)) - both
    return Overlap(both, truth_only, marked_only, truth.size - both - truth_only - marked_only)


def dice(overlap: Overlap) -> float | None:
    """2|A and B| / (|A| + |B|), 0..1; None when both masks are empty (Dice 1945)."""
    total = overlap.truth + overlap.marked
    return 2 * overlap.both / total if total else None


def iou(overlap: Overlap) -> float | None:
    """|A and B| / |A or B|, 0..1; None when both masks are empty (Jaccard 1912)."""
    union = overlap.both + overlap.truth_only + overlap.marked_only
    return overlap.both / union if union else None


def sensitivity(overlap: Overlap) -> float | None:
    """Fraction of the truth that is marked, 0..1; None without truth."""
    return overlap.both / overlap.truth if overlap.truth else None


def precision(overlap: Overlap) -> float | None:
    """Fraction of the mask that is truth, 0..1; None when nothing is marked."""
    return overlap.both / overlap.marked if overlap.marked else None
