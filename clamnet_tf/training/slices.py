"""Choose the slices that training and selection may use: patients, labels and the samples that are scored,
no masks.
"""

import dataclasses

import numpy as np

from clamnet_tf.datasets.classes import shown_classes
from clamnet_tf.datasets.stratify import draw_patients
from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing.trainable import lacking_slices
from clamnet_tf.recipe.classes import UNNAMED, class_names

SAMPLE_SIZE = 256  # slices per class that score a checkpoint; a fixed, evenly spread sample


class TrainingSlices:
    """Hold the usable slices of the training and validation patients.

    Args:
        prepared: Prepared slices whose table holds every slice's split.
        minimum_organ_fraction: slices with less organ are left out, like those without a label; in 0..1.
        classes: names of the recipe's lesion classes; abnormal slices that show none of them are left out.
        patients: how many training patients are used, None for all.
        shuffle_labels: whether the labels are permuted as a negative control, see `shuffled`.
        seed: of both draws.

    Attributes:
        rows: training rows of the prepared slices, rising.
        table: SliceTable with the labels to be learned from; the labels of validation slices are always the
            true ones.
        shown: (N, M) bool, which lesion classes a slice of the table shows.

    Raises:
        DataError: no usable slices on a side, none that shows one of the classes, or fewer training patients
            than asked for.
    """

    def __init__(
        self,
        prepared,
        *,
        minimum_organ_fraction: float,
        classes=(UNNAMED,),
        patients: int | None = None,
        shuffle_labels: bool = False,
        seed: int = 0,
    ):
        table = prepared.table
        usable = (table.area > minimum_organ_fraction) & (table.label >= 0)
        usable &= (table.label == 0) | shown_classes(table.label, table.markers, classes).any(axis=1)
        self.prepared = prepared
        self.rows, validation = (np.flatnonzero(usable & (table.split == side)) for side in ("train", "val"))
        if patients is not None:
            self.rows = _of_patients(table, self.rows, patients, seed)
        self.table = shuffled(table, self.rows, seed) if shuffle_labels else table
        self.shown = shown_classes(self.table.label, self.table.markers, classes)
        self._abnormal = _sample(self.rows[self.table.label[self.rows] > 0])
        labels = self.table.label[validation]
        self._validation = np.sort(
            np.concatenate([_sample(validation[labels > 0]), _sample(validation[labels == 0])])
        )
        trained = np.zeros(len(table.label), bool)
        trained[self.rows] = True
        advice = "" if patients is None else f", and training.patients, which keeps {patients}"
        lacking = lacking_slices(
            self.table.label,
            table.split,
            usable & (trained | (table.split != "train")),
            shown=self.shown,
            names=classes,
            advice=advice,
        )
        if lacking:
            raise DataError("\n".join(lacking))

    @classmethod
    def of(cls, recipe, prepared) -> "TrainingSlices":
        """Return the slices that the recipe's sections data and training describe."""
        section = recipe.training
        return cls(
            prepared,
            minimum_organ_fraction=recipe.data.minimum_organ_fraction,
            classes=class_names(recipe),
            patients=section.patients,
            shuffle_labels=section.shuffle_labels,
            seed=section.seed,
        )

    def training_abnormal(self):
        """Return (images, organ, shown) of abnormal training slices, to fix the threshold by prevalence."""
        return self._of(self._abnormal)

    def validation(self):
        """Return (images, organ, shown) of validation slices; a normal one shows no class."""
        return self._of(self._validation)

    def _of(self, rows):
        return self.prepared.images[rows], self.prepared.organ[rows], self.shown[rows]

    @property
    def validation_rows(self) -> np.ndarray:
        """Rows of the prepared slices that `validation` returns, rising."""
        return self._validation


def shuffled(table, rows: np.ndarray, seed: int):
    """Return `table` with the labels and lesion classes of `rows` permuted among them, so that nothing can be
    learned.

    This is the negative control. The number of slices of each class stays; every other row keeps its label.
    """
    label, markers, order = (
        table.label.copy(),
        table.markers.copy(),
        np.random.default_rng([seed, 4]).permutation(len(rows)),
    )
    label[rows], markers[rows] = label[rows][order], markers[rows][order]
    return dataclasses.replace(table, label=label, markers=markers)


def _of_patients(table, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the part of `rows` that belongs to `count` drawn patients."""
    patients = {}
    for row in rows:
        labels, _ = patients.setdefault(str(table.patient[row]), (set(), str(table.site[row])))
        labels.add(int(table.label[row]))
    if count > len(patients):
        raise DataError(
            f"training.patients: expected at most the {len(patients)} patients of the training side, "
            f"received {count}; null takes all."
        )
    return rows[np.isin(table.patient[rows], draw_patients(patients, count, seed))]


def _sample(rows: np.ndarray) -> np.ndarray:
    """Return at most SAMPLE_SIZE rows, evenly spread."""
    return (
        rows
        if len(rows) <= SAMPLE_SIZE
        else rows[np.linspace(0, len(rows) - 1, SAMPLE_SIZE).round().astype(int)]
    )
