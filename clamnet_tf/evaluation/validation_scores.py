"""Score validation slices, whose labels fit a temperature. No mask is read."""

import numpy as np

from clamnet_tf.datasets.classes import shown_classes
from clamnet_tf.evaluation.score_figures import NO_VALIDATION, SAME_PATIENTS, ValidationScores
from clamnet_tf.metrics.localisation import image_score
from clamnet_tf.preprocessing.crop import CropBox

MOST_SLICES = 2000
"""About how many validation slices are scored: of more, whole volumes are taken, evenly spread."""


def volumes_of(prepared, rows):
    """Yield the part of `rows` that belongs to each volume, in the order in which the volumes appear."""
    volumes = prepared.table.volume[rows]
    for volume in dict.fromkeys(volumes.tolist()):
        yield rows[volumes == volume]


def validation_rows(prepared, split) -> np.ndarray:
    """Return the rows of validation slices that fit a temperature for the evaluation of `split`.

    There is none when `split` includes the validation patients, or when no validation slice has a label.
    """
    table = prepared.table
    rows = np.flatnonzero(table.split == "val")
    if split is None or split == "val" or not (table.label[rows] >= 0).any():
        return rows[:0]
    share = max(1.0, len(rows) / MOST_SLICES)
    volumes = table.volumes_of(rows, max(1, round(len(np.unique(table.volume[rows])) / share)))
    return rows[np.isin(table.volume[rows], volumes)]


def validation_scores(trained, prepared, split) -> ValidationScores:
    """Predict validation slices and score them as the walk does.

    Args:
        trained: TrainedModel.
        prepared: Prepared slices.
        split: Name of the split that is evaluated; None: all cases.
    """
    table, scores, chosen = prepared.table, [], []
    rows = validation_rows(prepared, split)
    if not len(rows):
        overlap = (table.split == "val").any() and split in (None, "val")
        return ValidationScores.none(SAME_PATIENTS if overlap else NO_VALIDATION)
    present = shown_classes(table.label[rows], table.markers[rows], trained.classes).any(axis=1)
    present &= ~table.by_study[rows].astype(bool)  # which slices of an abnormal study are so is not known
    known = dict(zip(rows.tolist(), (table.label[rows] == 0) | present))
    for volume_rows in volumes_of(prepared, rows):
        images = np.asarray(prepared.images[volume_rows], np.float32)
        organs = np.asarray(prepared.organ[volume_rows])
        probability = trained.probability.combine(trained.probability.heads(images))
        for row, maps, organ in zip(volume_rows, trained.volume(probability, images, organs), organs):
            box = CropBox(*(int(value) for value in table.box[row]))
            restored, inside = box.restore_map(maps, organ)
            if known[int(row)] and inside.any():
                scores.append(image_score(restored.max(axis=-1), inside, trained.marking.pooling_power))
                chosen.append(row)
    if not chosen:
        return ValidationScores.none(NO_VALIDATION)
    return ValidationScores(np.array(scores), table.label[chosen] > 0, len(np.unique(table.patient[chosen])))
