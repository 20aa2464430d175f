"""Score validation slices, whose labels fit a temperature and tell whether anything was learned. No mask is
read.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from clamnet_tf.datasets.classes import shown_classes
from clamnet_tf.evaluation.score_figures import NO_VALIDATION, SAME_PATIENTS, ValidationScores
from clamnet_tf.metrics.localisation import image_score
from clamnet_tf.preprocessing.crop import CropBox

MOST_SLICES = 2000
"""About how many validation slices are scored: of more, whole volumes are taken, evenly spread."""


@dataclass(frozen=True, eq=False)
class ScoredSlices:
    """Hold what a trained network says of n labelled slices with an organ.

    Attributes:
        rows: (n,) rows of the prepared slices.
        score: (n,) score of the slice, 0..1, from the highest probability of all lesion classes.
        class_scores: (n, M) score of each lesion class, 0..1.
        marked: (n,) marked share of the organ, 0..1.
        class_marked: (n, M) share of the organ that is marked as each lesion class, 0..1.
        of_studies: The slices of abnormal studies whose labels speak of the whole study, so that no slice of
            them has a label of its own; None: there are none.
    """

    rows: np.ndarray
    score: np.ndarray
    class_scores: np.ndarray
    marked: np.ndarray
    class_marked: np.ndarray
    of_studies: "ScoredSlices | None" = None


def volumes_of(prepared, rows):
    """Yield the part of `rows` that belongs to each volume, in the order in which the volumes appear."""
    volumes = prepared.table.volume[rows]
    for volume in dict.fromkeys(volumes.tolist()):
        yield rows[volumes == volume]


def spread_rows(prepared, rows, most: int = 0) -> np.ndarray:
    """Return `rows`, or of many the rows of whole volumes, evenly spread, about `most` (MOST_SLICES) of
    them.
    """
    table = prepared.table
    share = max(1.0, len(rows) / (most or MOST_SLICES))
    volumes = table.volumes_of(rows, max(1, round(len(np.unique(table.volume[rows])) / share)))
    return rows[np.isin(table.volume[rows], volumes)]


def validation_rows(prepared, split) -> np.ndarray:
    """Return the rows of validation slices that fit a temperature for the evaluation of `split`.

    There is none when `split` includes the validation patients, or when no validation slice has a label.
    """
    table = prepared.table
    rows = np.flatnonzero(table.split == "val")
    if split is None or split == "val" or not (table.label[rows] >= 0).any():
        return rows[:0]
    return spread_rows(prepared, rows)


def score_slices(trained, prepared, rows) -> ScoredSlices:
    """Predict slices and score and mark them as the walk of an evaluation does.

    Args:
        trained: TrainedModel.
        prepared: Prepared slices.
        rows: Row indices of whole volumes; slices without a label of the model's classes, or without an
            organ, are predicted and left out of the result. Slices of studies that are labelled as a whole
            are in its `of_studies`.
    """
    table, found = prepared.table, []
    present = shown_classes(table.label[rows], table.markers[rows], trained.classes).any(axis=1)
    labelled = dict(zip(rows.tolist(), (table.label[rows] == 0) | present))
    # which slices of an abnormal study are so is not known
    unsure = dict(zip(rows.tolist(), present & table.by_study[rows].astype(bool)))
    power, numbers = trained.marking.pooling_power, np.arange(1, len(trained.classes) + 1)
    for volume_rows in volumes_of(prepared, rows):
        images = np.asarray(prepared.images[volume_rows], np.float32)
        organs = np.asarray(prepared.organ[volume_rows])
        probability = trained.probability.combine(trained.probability.heads(images))
        for row, maps, organ in zip(volume_rows, trained.volume(probability, images, organs), organs):
            box = CropBox(*(int(value) for value in table.box[row]))
            restored, inside = box.restore_map(maps, organ)
            if labelled[int(row)] and inside.any():
                scores = [image_score(each, inside, power) for each in np.moveaxis(restored, -1, 0)]
                marks = trained.marking.mask(restored, inside)[inside]
                shares = (marks[:, None] == numbers).mean(axis=0)
                found.append((row, image_score(restored.max(axis=-1), inside, power), scores, shares))
    known, of_studies = (
        _scored([each for each in found if unsure[int(each[0])] == kind], len(trained.classes))
        for kind in (False, True)
    )
    return dataclasses.replace(known, of_studies=of_studies if len(of_studies.rows) else None)


def _scored(found: list, classes: int) -> ScoredSlices:
    """Return (row, score, scores of the classes, marked shares of the classes) of slices as arrays."""
    of_rows, score, of_classes, marked = zip(*found) if found else ((), (), (), ())
    shape, class_marked = (-1, classes), np.array(marked, float)
    class_marked = class_marked.reshape(shape)
    return ScoredSlices(
        np.array(of_rows, int),
        np.array(score, float),
        np.array(of_classes, float).reshape(shape),
        class_marked.sum(axis=1),
        class_marked,
    )


def validation_scores(trained, prepared, split, scored: ScoredSlices | None = None) -> ValidationScores:
    """Return the scores of validation slices, which fit a temperature for the evaluation of `split`.

    Args:
        trained: TrainedModel.
        prepared: Prepared slices.
        split: Name of the split that is evaluated; None: all cases.
        scored: The result of `score_slices` for `validation_rows`, if it is known already; None: the slices
            are predicted.
    """
    table = prepared.table
    rows = validation_rows(prepared, split)
    if not len(rows):
        overlap = (table.split == "val").any() and split in (None, "val")
        return ValidationScores.none(SAME_PATIENTS if overlap else NO_VALIDATION)
    scored = scored or score_slices(trained, prepared, rows)
    if not scored.rows.size:
        return ValidationScores.none(NO_VALIDATION)
    return ValidationScores(
        scored.score, table.label[scored.rows] > 0, len(np.unique(table.patient[scored.rows]))
    )
