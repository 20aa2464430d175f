"""Find lesions as connected components of masks that arrive slice by slice, and match marks with lesions.

Conventions:
- pixels that touch at a side or a corner belong to one component (8 neighbours in a slice, 26 in a volume),
  as in post-processing;
- a lesion is found, and a mark is right, when the intersection over union of the two is at least MATCH_IOU;
  pairs are taken greedily from the highest intersection over union down, each lesion and each mark at most
  once (as in MetricsReloaded and nnDetection, at the 0.1 of nnDetection);
- a candidate is a component of the probability map at a low cut; its score is its highest probability, and it
  hits the lesion in which the pixel of that probability lies (as in CAMELYON16).

No volume is ever in memory: of each slice only counts are kept, and the labels of the last one.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components

MATCH_IOU = 0.1
"""Least intersection over union of a lesion and the mark that finds it."""
_IN_SLICE, _IN_VOLUME = np.ones((3, 3), bool), np.ones((3, 3, 3), bool)


class StackedComponents:
    """Label the components of a mask of which one slice after the other is added.

    Attributes:
        sizes: pixels of each slice component, in the order of their numbers, which run from 1.
    """

    def __init__(self):
        self.sizes: list[int] = []
        self._links: list[np.ndarray] = []
        self._last, self._first_of_last = np.zeros((0, 0), np.int64), 1

    def add(self, mask: np.ndarray, follows: bool) -> np.ndarray:
        """Label the components of one slice.

        Args:
            mask: (H, W) bool.
            follows: whether this slice lies directly on the one that was added before.

        Returns:
            (H, W) int64, number of the slice component of each pixel, 0 outside of the mask.
        """
        labels, found = ndimage.label(mask, _IN_SLICE)
        labels, first = labels.astype(np.int64), len(self.sizes) + 1
        labels[labels > 0] += first - 1
        self.sizes += np.bincount(labels[labels > 0] - first, minlength=found).tolist() if found else []
        if follows and found and self._last.shape == labels.shape and self._last.any():
            self._link(labels)
        self._last, self._first_of_last = labels, first
        return labels

    def _link(self, labels: np.ndarray) -> None:
        """Note which components of this slice touch which of the last one."""
        both = np.stack([self._last, labels])
        joined, groups = ndimage.label(both > 0, _IN_VOLUME)
        numbers, group_of = both[both > 0], joined[both > 0]
        one_of_group = np.zeros(groups + 1, np.int64)
        one_of_group[group_of] = numbers
        partner = np.zeros(len(self.sizes) + 1, np.int64)
        partner[numbers] = one_of_group[group_of]
        touching = np.arange(self._first_of_last, len(self.sizes) + 1)
        self._links.append(np.stack([touching, partner[touching]]))

    def components(self) -> np.ndarray:
        """Return the component of each slice component: (numbers + 1,) int64 from 1; entry 0 is 0."""
        total = len(self.sizes) + 1
        rows, columns = np.concatenate([np.zeros((2, 0), np.int64), *self._links], axis=1)
        graph = sparse.coo_matrix((np.ones(rows.size, bool), (rows, columns)), shape=(total, total))
        _, groups = connected_components(graph, directed=False)
        return np.r_[0, np.unique(groups[1:], return_inverse=True)[1].ravel() + 1].astype(np.int64)


@dataclass(frozen=True, eq=False)
class VolumeLesions:
    """Hold the lesions, marks and candidates of one volume, or of one single image.

    Attributes:
        slices: slices of the volume; components reach over slices that lie on one another.
        lesion_sizes: (lesions,) pixels of each component of the truth.
        mark_sizes: (marks,) pixels of each component of the mask.
        lesion_found: (lesions,) bool, whether a mark is matched with the lesion.
        mark_right: (marks,) bool, whether a lesion is matched with the mark.
        candidate_scores: (candidates,) highest probability of each candidate, 0..1.
        candidate_lesion: (candidates,) index of the lesion that the candidate hits, or -1.
        pixel_ml: volume of one pixel in ml; None where the spacing is unknown.
    """

    slices: int
    lesion_sizes: np.ndarray
    mark_sizes: np.ndarray
    lesion_found: np.ndarray
    mark_right: np.ndarray
    candidate_scores: np.ndarray
    candidate_lesion: np.ndarray
    pixel_ml: float | None = None


class LesionCounter:
    """Count the lesions of one volume: `add` each slice in order, then call `result`.

    Args:
        candidate_cut: probability from which a pixel belongs to a candidate, in 0..1.
        pixel_ml: volume of one pixel in ml; None: unknown.
    """

    def __init__(self, candidate_cut: float, pixel_ml: float | None = None):
        self.candidate_cut, self.pixel_ml, self.slices = candidate_cut, pixel_ml, 0
        self._truth, self._marks, self._candidates = (StackedComponents() for _ in range(3))
        self._shared: list[np.ndarray] = []
        self._peaks: list[np.ndarray] = []
        self._lesion_at_peak: list[np.ndarray] = []

    def add(self, truth: np.ndarray, marked: np.ndarray, probability: np.ndarray, follows: bool) -> None:
        """Count one slice.

        Args:
            truth: (H, W) bool.
            marked: (H, W) bool.
            probability: (H, W) float in 0..1.
            follows: whether this slice lies directly on the one that was added before.
        """
        lesions, marks = self._truth.add(truth, follows), self._marks.add(marked, follows)
        both = (lesions > 0) & (marks > 0)
        if both.any():
            pairs, pixels = np.unique(np.stack([lesions[both], marks[both]]), axis=1, return_counts=True)
            self._shared.append(np.vstack([pairs, pixels]))
        # A candidate of probability 0 says nothing, whatever the cut.
        possible = (probability >= self.candidate_cut) & (probability > 0)
        candidates = self._candidates.add(possible, follows)
        numbers, scores = candidates[possible], probability[possible]
        peaks = _peaks(scores, numbers)
        self._peaks.append(scores[peaks])
        self._lesion_at_peak.append(lesions[possible][peaks])
        self.slices += 1

    def result(self) -> VolumeLesions:
        """Return the lesions of all slices that were added."""
        lesion_of, mark_of = self._truth.components(), self._marks.components()
        lesion_sizes, mark_sizes = _sizes(self._truth.sizes, lesion_of), _sizes(self._marks.sizes, mark_of)
        lesions, marks, pixels = np.concatenate([np.zeros((3, 0), np.int64), *self._shared], axis=1)
        shared = sparse.coo_matrix(
            (pixels, (lesion_of[lesions] - 1, mark_of[marks] - 1)), shape=(lesion_sizes.size, mark_sizes.size)
        )
        lesion_found, mark_right = match(lesion_sizes, mark_sizes, shared.tocsr().tocoo())
        scores, hit = self._candidate_peaks(lesion_of)
        return VolumeLesions(
            self.slices, lesion_sizes, mark_sizes, lesion_found, mark_right, scores, hit, self.pixel_ml
        )

    def _candidate_peaks(self, lesion_of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return score and hit lesion (or -1) of each candidate of the volume."""
        scores = np.concatenate([np.zeros(0, np.float32), *self._peaks])
        hit = lesion_of[np.concatenate([np.zeros(0, np.int64), *self._lesion_at_peak])] - 1
        candidate_of = self._candidates.components()[1:]
        peaks = _peaks(scores, candidate_of)
        return scores[peaks], hit[peaks]


def match(lesion_sizes, mark_sizes, shared, least: float = MATCH_IOU) -> tuple[np.ndarray, np.ndarray]:
    """Match lesions with marks, greedily from the highest intersection over union down.

    Args:
        lesion_sizes: (lesions,) pixels.
        mark_sizes: (marks,) pixels.
        shared: scipy.sparse.coo_matrix (lesions, marks), pixels that a lesion and a mark share.
        least: least intersection over union of a matched pair, above 0.

    Returns:
        (lesions,) and (marks,) bool, True where matched.

    Examples:
        >>> match([4, 4], [5], sparse.coo_matrix([[1], [4]]))
        (array([False,  True]), array([ True]))
    """
    found, right = np.zeros(len(lesion_sizes), bool), np.zeros(len(mark_sizes), bool)
    lesion_sizes, mark_sizes = np.asarray(lesion_sizes, int), np.asarray(mark_sizes, int)
    iou = shared.data / (lesion_sizes[shared.row] + mark_sizes[shared.col] - shared.data)
    for pair in np.argsort(-iou, kind="stable"):
        lesion, mark = shared.row[pair], shared.col[pair]
        if iou[pair] >= least and not found[lesion] and not right[mark]:
            found[lesion] = right[mark] = True
    return found, right


def _peaks(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the index of the highest score of each group, the first of equal ones, groups rising; no number
    between the lowest and the highest group is left out.
    """
    if not groups.size:
        return np.zeros(0, np.int64)
    first = int(groups.min())
    highest = np.full(int(groups.max()) - first + 1, -np.inf, scores.dtype)
    np.maximum.at(highest, groups - first, scores)
    at = np.flatnonzero(scores == highest[groups - first])
    peaks = np.zeros(highest.size, np.int64)
    peaks[groups[at[::-1]] - first] = at[::-1]
    return peaks


def _sizes(sizes: list[int], component_of: np.ndarray) -> np.ndarray:
    """Return the pixels of each component, (components,) int64."""
    total = np.bincount(component_of[1:], weights=sizes, minlength=1)[1:] if sizes else np.zeros(0)
    return total.astype(np.int64)
