"""Say how unsure the networks are of a study: how far heads and folds differ, and how near the cut it is.

Every head of every network is an opinion: a map with a cut of its own, fixed without masks.

disagreement
    1 less the mean Dice of the masks of all pairs of opinions in the volume, 0..1; two empty masks agree
    (structure-wise uncertainty of Roy et al. 2019, with heads and folds in place of dropout samples).
score_distance
    Distance of the highest probability in the volume, after post-processing, to the cut of the mask: 0 at the
    cut, 1 at probability 0 below it or 1 above it. Near 0, the study is only just marked or not marked.
uncertainty
    Mean of disagreement and 1 - score_distance, 0..1; studies are ranked by it.
map
    Per pixel twice the standard deviation of the opinions, each moved in log-odds so that its cut lies at
    0.5: 0 all the same, 1 half of them sure of a lesion and half of them sure of none. Of several lesion
    classes the largest.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np

from clamnet_tf.errors import UserInputError
from clamnet_tf.inference.head_predictor import HeadPredictor
from clamnet_tf.inference.postprocessing.one_class import log_odds_above


class StudyUncertainty(NamedTuple):
    """Hold the numbers of one volume, all in 0..1."""

    disagreement: float
    score_distance: float
    uncertainty: float


class Opinions:
    """Compute the maps of all heads of all networks of a trained model, together with its result.

    Args:
        trained: inference.trained_model.TrainedModel.

    Attributes:
        names: Names of the opinions, such as head_2, or fold_1_head_2 of an average.
        cuts: (J, M) float, the cut of each opinion and lesion class.

    Raises:
        UserInputError: The model has a single opinion, which cannot disagree.
    """

    def __init__(self, trained):
        predictor = trained.probability
        if not isinstance(predictor, HeadPredictor):
            raise UserInputError(
                "--rank and --uncertainty compare the single heads of the networks; a model server gives "
                "their mean alone. Omit --server."
            )
        self._predictor, self.folds = predictor, predictor.folds
        heads = predictor.head_names
        if predictor.part == "attribution":
            raise UserInputError(
                "--rank and --uncertainty compare the heads of networks that mark lesions; this model marks "
                "by the attribution of classifiers, which have none. Sort by the score in volumes.csv."
            )
        if len(heads) * self.folds < 2:
            raise UserInputError(
                "--rank and --uncertainty need a model with several heads (network.skips nested), or the "
                "average of several folds (clamnet-tf folds); this one has a single head, which has nothing "
                "to disagree with."
            )
        self._all = predictor.members()
        self.names = tuple(self._all.head_names)
        if self.folds == 1:
            own = [trained.head_thresholds]
        else:
            own = list(trained.member_thresholds)
            if len(own) != self.folds:
                raise UserInputError(
                    f"the model averages {self.folds} networks, its selection.json describes {len(own)}; "
                    f"make it again with clamnet-tf folds."
                )
        threshold = trained.marking.threshold
        self.cuts = np.array(
            [
                [thresholds[name].get(head, threshold) for name in trained.classes]
                for thresholds in own
                for head in heads
            ],
            float,
        )

    def __call__(self, images) -> tuple[np.ndarray, np.ndarray]:
        """Return the result and the opinions.

        Args:
            images: (N, H, W, C) normalised float.

        Returns:
            (N, H, W, M) float32, as the model's predictor gives it; (J, N, H, W, M) float32.
        """
        maps = self._all.heads(images)
        heads = maps.reshape(self.folds, -1, *maps.shape[1:]).mean(axis=0)
        return self._predictor.combine(heads), maps

    def study(self, maps, organ, result, cut: float) -> StudyUncertainty:
        """Return the numbers of one volume.

        Args:
            maps: (J, S, H, W, M), the opinions.
            organ: (S, H, W), inside where not 0.
            result: (S, H, W, M), the maps after post-processing.
            cut: Their cut.
        """
        inside = np.asarray(organ, bool)
        disagreement = self._disagreement(maps, inside)
        highest = float(result[inside].max()) if inside.any() else 0.0
        distance = score_distance(highest, cut)
        return StudyUncertainty(disagreement, distance, (disagreement + 1 - distance) / 2)

    def _disagreement(self, maps, inside) -> float:
        """Return 1 less the mean Dice of all pairs of masks."""
        masks = [np.asarray(opinion >= cut, bool)[inside] for opinion, cut in zip(maps, self.cuts)]
        sizes = [np.count_nonzero(mask) for mask in masks]
        dice = [
            2 * np.count_nonzero(masks[first] & masks[second]) / total
            if (total := sizes[first] + sizes[second])
            else 1.0
            for first, second in combinations(range(len(masks)), 2)
        ]
        return float(1 - np.mean(dice))

    def pixel_map(self, maps, organ) -> np.ndarray:
        """Return the uncertainty of each pixel, (J, S, H, W, M), (S, H, W) -> (S, H, W) float32 in 0..1."""
        total, squares = np.zeros(maps.shape[1:]), np.zeros(maps.shape[1:])
        for opinion, cut in zip(maps, self.cuts):  # one after the other: the maps are large
            moved = np.stack(
                [
                    1.0 / (1.0 + np.exp(-log_odds_above(opinion[..., index], class_cut).astype(float)))
                    for index, class_cut in enumerate(cut)
                ],
                axis=-1,
            )
            total += moved
            squares += moved**2
        variance = np.maximum(squares / len(maps) - (total / len(maps)) ** 2, 0)
        spread = np.minimum(2 * np.sqrt(variance), 1).max(axis=-1)
        return np.where(np.asarray(organ, bool), spread, 0).astype(np.float32)


def score_distance(score: float, cut: float) -> float:
    """Return the distance of a score to a cut: 0 at the cut, 1 at the end of 0..1 on its side.

    Examples:
        >>> [score_distance(score, 0.5) for score in (0.0, 0.25, 0.5, 1.0)]
        [1.0, 0.5, 0.0, 1.0]
    """
    room = 1 - cut if score >= cut else cut
    return abs(score - cut) / room if room > 0 else 0.0
