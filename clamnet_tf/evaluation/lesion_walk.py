"""Collect lesions, marks and candidates while the walk goes through the slices; one volume at a time."""

import math

import numpy as np

from clamnet_tf.evaluation.cases import PatientCounts, SliceCase
from clamnet_tf.metrics.components import LesionCounter

CANDIDATE_SHARE = 0.5
"""Candidates of the FROC are cut at this share of the threshold."""


class LesionWalk:
    """Count lesions of a reference list that arrives slice by slice, the slices of a volume in order.

    What was counted of a volume goes to `PatientCounts.lesions` when the next volume begins, or at `close`. A
    volume in which the truth of a slice is unknown cannot be counted, and one without organ and truth has
    nothing to count; the former are counted in `PatientCounts.volumes_incomplete`.

    Args:
        threshold: Threshold of the marks, 0..1.
    """

    def __init__(self, threshold: float):
        self.candidate_cut = CANDIDATE_SHARE * threshold
        self._volume: tuple | None = None
        self._counter: LesionCounter | None = None
        self._counts: PatientCounts | None = None
        self._known, self._anything = True, False

    def add(
        self,
        case: SliceCase,
        counts: PatientCounts,
        truth: np.ndarray | None,
        mask: np.ndarray,
        probability: np.ndarray,
    ) -> None:
        """Count one slice.

        Args:
            case: The slice.
            counts: Counts of its patient.
            truth: (H, W) bool; None: unknown.
            mask: (H, W) bool, what is marked inside the organ.
            probability: (H, W) float 0..1, 0 outside the organ.
        """
        volume = (case.patient, case.volume)
        same = case.volume is not None and volume == self._volume
        if not same or self._counter is None:
            self.close()
            pixel_ml = None if case.spacing_mm is None else math.prod(case.spacing_mm) / 1000
            self._counter = LesionCounter(self.candidate_cut, pixel_ml)
            self._volume, self._counts, self._known, self._anything = volume, counts, True, False
        self._known &= truth is not None
        if truth is not None and self._known:
            self._counter.add(truth, mask, probability, same and case.follows)
            self._anything |= bool(truth.any() or np.any(case.organ))

    def close(self) -> None:
        """Give what was counted of the last volume to its patient."""
        if self._counter is not None and self._counts is not None:
            if not self._known:
                self._counts.volumes_incomplete += 1
            elif self._anything:
                self._counts.lesions.append(self._counter.result())
        self._counter = self._counts = self._volume = None
