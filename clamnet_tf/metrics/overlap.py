"""Measure the overlap of two masks: counts first, scores from counts.

Counts of several slices add up to the counts of their volume, so that a volume need not be in memory.

Conventions (docs/method.md, section "Measuring"): where truth and mask are both empty there is no overlap to
measure, so the score is None (left out of means and counted as specificity instead). A mask where the truth
is empty scores 0.
"""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.errors import DataError


@dataclass(frozen=True)
class Overlap:
    """Pixel counts of one slice or one volume; `a + b` is the overlap of both together.

    Attributes:
        true_positive: pixels in both truth and mask.
        false_negative: pixels of the truth alone.
        false_positive: pixels of the mask alone.
        true_negative: pixels in neither.
    """

    true_positive: int = 0
    false_negative: int = 0
    false_positive: int = 0
    true_negative: int = 0

    def __add__(self, other: "Overlap") -> "Overlap":
        return Overlap(
            self.true_positive + other.true_positive,
            self.false_negative + other.false_negative,
            self.false_positive + other.false_positive,
            self.true_negative + other.true_negative,
        )

    @property
    def truth(self) -> int:
        """Number of pixels of the truth."""
        return self.true_positive + self.false_negative

    @property
    def marked(self) -> int:
        """Number of pixels of the mask under test."""
        return self.true_positive + self.false_positive


def count_overlap(truth: np.ndarray, marked: np.ndarray) -> Overlap:
    """Count the pixels of two boolean masks of one shape with any number of axes.

    Raises:
        DataError: the shapes differ.

    Examples:
        >>> count_overlap(np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool))
        Overlap(true_positive=1, false_negative=1, false_positive=1, true_negative=1)
    """
    truth, marked = np.asarray(truth, bool), np.asarray(marked, bool)
    if truth.shape != marked.shape:
        raise DataError(
            f"Masks of different shapes cannot be compared: truth {truth.shape}, mask {marked.shape}."
        )
    true_positive = int(np.count_nonzero(truth & marked))
    false_negative = int(np.count_nonzero(truth)) - true_positive
    false_positive = int(np.count_nonzero(marked)) - true_positive
    return Overlap(
        true_positive,
        false_negative,
        false_positive,
        truth.size - true_positive - false_negative - false_positive,
    )


def dice(overlap: Overlap) -> float | None:
    """Return 2|A and B| / (|A| + |B|), 0..1; None when both masks are empty (Dice 1945).

    Examples:
        >>> dice(Overlap(true_positive=2, false_negative=1, false_positive=1))
        0.6666666666666666
    """
    total = overlap.truth + overlap.marked
    return 2 * overlap.true_positive / total if total else None


def iou(overlap: Overlap) -> float | None:
    """Return |A and B| / |A or B|, 0..1; None when both masks are empty (Jaccard 1912).

    Examples:
        >>> iou(Overlap(true_positive=2, false_negative=1, false_positive=1))
        0.5
    """
    union = overlap.true_positive + overlap.false_negative + overlap.false_positive
    return overlap.true_positive / union if union else None


def sensitivity(overlap: Overlap) -> float | None:
    """Return the fraction of the truth that is marked, 0..1; None without truth."""
    return overlap.true_positive / overlap.truth if overlap.truth else None


def precision(overlap: Overlap) -> float | None:
    """Return the fraction of the mask that is truth, 0..1; None when nothing is marked."""
    return overlap.true_positive / overlap.marked if overlap.marked else None
