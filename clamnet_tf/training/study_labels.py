"""Estimate which slices of an abnormal study show the lesion, from slice scores and labels of studies alone.

See docs/method.md, section "Labels of studies". No mask is read. The scores of slices of abnormal studies are
a mixture: slices that show the lesion, and slices like those of normal studies, whose scores are known. With
f the density of scores in abnormal studies, f_0 that in normal ones and a the share of slices without lesion,

    P(lesion | score) = 1 - a f_0(score) / f(score)

f / f_0 is estimated as a rising function of the score (isotonic regression), a by Storey's estimator: slices
without lesion lie below the median of normal slices half of the time, and slices with one hardly ever.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import isotonic_regression

from clamnet_tf.training.slices import TrainingSlices

CERTAIN = 0.5  # from this probability on, a slice counts as one that shows the lesion
LEAST_WEIGHT = 0.1  # of a slice that hardly shows it: it is never left out, so that it can come back
SMOOTHING = 1 / 64  # standard deviation of the Gaussian of slice scores, in sides of a slice
_BLOCK = 128  # slices whose maps are in memory at once


@dataclass(frozen=True, eq=False)
class LesionPosterior:
    """Hold P(lesion | score) of slices of abnormal studies, as a rising step function.

    Attributes:
        scores: (n,) rising scores.
        probability: (n,) its values, rising, in 0..1.
        share: estimated share of slices that show the lesion, in 0..1.
    """

    scores: np.ndarray
    probability: np.ndarray
    share: float

    @classmethod
    def fit(cls, abnormal, normal) -> "LesionPosterior":
        """Estimate it.

        Args:
            abnormal: (A,) scores of slices of abnormal studies, one or more.
            normal: (B,) scores of slices of normal studies, one or more.
        """
        abnormal, normal = np.asarray(abnormal, np.float64), np.asarray(normal, np.float64)
        # One more slice below the median, and one more normal slice above all others, as in empirical
        # p-values: few slices prove little.
        below = np.count_nonzero(abnormal <= np.median(normal))
        absent = min(1.0, 2.0 * (below + 1) / (len(abnormal) + 1))
        normal = np.append(normal, max(abnormal.max(), normal.max()))
        scores = np.concatenate([abnormal, normal])
        origin = np.repeat([1.0, 0.0], [len(abnormal), len(normal)])
        weights = np.repeat([0.5 / len(abnormal), 0.5 / len(normal)], [len(abnormal), len(normal)])
        values, inverse = np.unique(scores, return_inverse=True)  # equal scores are one point
        weight = np.bincount(inverse, weights)
        share = isotonic_regression(np.bincount(inverse, weights * origin) / weight, weights=weight).x
        inverse_ratio = (1.0 - share) / np.maximum(share, 1e-12)
        return cls(values, np.clip(1.0 - absent * inverse_ratio, 0.0, 1.0), 1.0 - absent)

    def __call__(self, scores) -> np.ndarray:
        """Return P(lesion) of scores, (N,) -> (N,) in 0..1; between two known scores that of the lower."""
        index = np.searchsorted(self.scores, np.asarray(scores, np.float64), side="right") - 1
        return np.where(index < 0, 0.0, self.probability[np.maximum(index, 0)])


def top_slices(scores, studies, share: float) -> np.ndarray:
    """Return 1 for the highest `share` of the slices of each study, at least one, and 0 for the others.

    Args:
        scores: (N,) scores.
        studies: (N,) number of each slice's study.
        share: in 0..1.
    """
    scores, studies, result = np.asarray(scores), np.asarray(studies), np.zeros(len(scores))
    for study in np.unique(studies):
        rows = np.flatnonzero(studies == study)
        count = max(1, int(np.floor(share * len(rows) + 0.5)))
        result[rows[np.argsort(-scores[rows], kind="stable")[:count]]] = 1.0
    return result


class StudyLabels:
    """Estimate for each training slice how probably it shows the classes that the label of its study names.

    Args:
        slices: TrainingSlices, some with labels of studies.
        method: "posterior": LesionPosterior; "top_slices": the highest slices of each study, as many as
            LesionPosterior estimates over all studies; "fixed": every slice of an abnormal study alike.

    Attributes:
        any: whether any training slice may show a class by the label of its study alone; if none does,
            nothing is estimated.
    """

    def __init__(self, slices: TrainingSlices, *, method: str):
        self.slices, self.method = slices, method
        rows = slices.rows
        self.unsure, self.any = slices.unsure, bool(slices.unsure.any())
        self.studies = slices.table.studies()[rows]
        self.organ = slices.prepared.organ
        self._normal = slices.table.label[rows] == 0

    def estimated(self, maps_of, trainer=None) -> TrainingSlices:
        """Return the slices with what they probably show by the maps; as they are without labels of studies.

        Args:
            maps_of: see `weights`.
            trainer: StepTrainer whose weights of slices are set accordingly, if it has any.
        """
        if not self.any:
            return self.slices
        probability = self.weights(maps_of)
        if trainer is not None and trainer.study_weights is not None:
            least = LEAST_WEIGHT * self.slices.shown[self.slices.rows]
            normal = np.where(self._normal[:, None], 1.0, 0.0)
            trainer.study_weights.assign(np.maximum(np.maximum(probability, least), normal))
        return self.slices.estimated(probability, CERTAIN)

    def weights(self, maps_of) -> np.ndarray:
        """Return P(slice shows the class), (training rows, M) float32 in 0..1.

        It is 1 where the slice itself is labelled with the class, and 0 where the label excludes it. The
        slice of a study with the highest score shows the class, since the study does. Without normal training
        slices, which training from masks allows, nothing is estimated.

        Args:
            maps_of: callable, (n,) indices of training rows -> P of each class (n, H, W, M).
        """
        weights = self.slices.shown[self.slices.rows].astype(np.float32)
        if self.method == "fixed" or not self._normal.any():
            return weights
        scores = self.scores(maps_of)
        for index in range(weights.shape[1]):
            unsure = self.unsure[:, index]
            if not unsure.any():
                continue
            own, studies = scores[unsure, index], self.studies[unsure]
            posterior = LesionPosterior.fit(own, scores[self._normal, index])
            highest = top_slices(own, studies, 0.0)
            if self.method == "top_slices":
                weights[unsure, index] = top_slices(own, studies, posterior.share)
            else:
                weights[unsure, index] = np.maximum(posterior(own), highest)
        return weights

    def scores(self, maps_of) -> np.ndarray:
        """Return the slice scores of the training rows, (rows, M) float64; 0 for slices that need none."""
        needed = np.flatnonzero(self.unsure.any(axis=1) | self._normal)
        scores = np.zeros(self.unsure.shape)
        for start in range(0, len(needed), _BLOCK):
            part = needed[start : start + _BLOCK]
            organ = np.asarray(self.organ[self.slices.rows[part]]) > 0
            scores[part] = slice_scores(maps_of(part), organ)
        return scores


def slice_scores(maps, organ) -> np.ndarray:
    """Return the highest probability of each class in the organ after smoothing.

    A lesion is broad: single bright pixels, of which every slice of an atlas has some, do not decide.

    Args:
        maps: (N, H, W, M) in 0..1.
        organ: (N, H, W) bool.

    Returns:
        (N, M) float64 in 0..1; 0 for an empty organ.
    """
    inside = np.asarray(organ, np.float32)[..., None]
    width = (0.0, SMOOTHING * inside.shape[1], SMOOTHING * inside.shape[2], 0.0)
    weight = np.maximum(gaussian_filter(inside, width), 0.05)
    smooth = gaussian_filter(np.asarray(maps, np.float32) * inside, width) / weight * inside
    return smooth.max(axis=(1, 2)).astype(np.float64)
