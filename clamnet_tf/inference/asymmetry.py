"""Compare the score of a mammogram with that of the same patient's other breast.

Radiologists compare the two breasts of a patient: what both show is anatomy, what one shows alone may be a
lesion. So half of the other breast's score is taken off (recipes/EXPERIMENTS.md, M2 and M7); masks stay.
Headers and manifest say which image shows the other breast (datasets.contralateral); where they do not state
the sides, two images count as left and right only when the breasts face opposite ways.
"""

from collections.abc import Sequence

import numpy as np

from clamnet_tf.datasets.contralateral import SAME_WAY, pair_breasts
from clamnet_tf.datasets.manifest import Case
from clamnet_tf.preprocessing.organs.breast import chest_wall_is_left

WEIGHT = 0.5  # of the other breast's score; chosen by cross-fitting on training patients (M2)
NOT_SCORED = "the image of the other breast could not be used"
NO_BREAST = "no breast was found in it"


def is_compared(recipe) -> bool:
    """Return whether the model of a recipe marks mammograms, whose two sides can be compared."""
    return recipe.modality == "xray" and recipe.organ.method == "breast"


def facing(organ: np.ndarray) -> str | None:
    """Return the side of the image at which the chest wall lies, "left" or "right"; None without a breast.

    Args:
        organ: (rows, columns), above 0 inside the breast.
    """
    region = np.asarray(organ) > 0
    if not region.any():
        return None
    return "left" if chest_wall_is_left(region) else "right"


def compare(
    cases: Sequence[Case], scores: Sequence[float | None], faces: Sequence[str | None]
) -> tuple[list[float | None], list[int | None], list[str]]:
    """Return the asymmetry of each image.

    Args:
        cases: One image per file.
        scores: Slice score of each, in 0..1; None where it has none.
        faces: What `facing` said of each.

    Returns:
        Per image: its score less WEIGHT times that of the other breast, in -0.5..1, None where they are not
        compared; the index of the other breast's image, or None; why it is not compared, or "".
    """
    pairing = pair_breasts(cases)
    values: list[float | None] = []
    others: list[int | None] = []
    reasons: list[str] = []
    for index, own in enumerate(scores):
        other: int | None
        other, reason = pairing.partners[index], pairing.reasons[index]
        if other is not None:
            faced = {faces[index], faces[other]}
            if own is None or faces[index] is None:
                other, reason = None, NO_BREAST
            elif scores[other] is None or faces[other] is None:
                other, reason = None, NOT_SCORED
            elif not pairing.stated[index] and faced != {"left", "right"}:
                other, reason = None, SAME_WAY
        its_score = None if other is None else scores[other]
        values.append(None if own is None or its_score is None else own - WEIGHT * its_score)
        others.append(other)
        reasons.append(reason)
    return values, others, reasons
