"""Choose the slices that training and selection may use: patients, labels and the samples that are scored,
no masks.
"""

import copy
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
        shown: (N, M) bool, which lesion classes a slice of the table shows, or may show where its label is
            that of its study.
        unsure: (rows, M) bool, which classes a training slice may show by the label of its study alone.
        validation_studies: number of the study of each slice that `validation` returns, where labels of
            studies are among them; otherwise None.

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
        self.unsure = self.shown[self.rows] & self.table.by_study[self.rows, None]
        labels, self.validation_studies = self.table.label[validation], None
        self._validation = np.sort(
            np.concatenate([_sample(validation[labels > 0]), _sample(validation[labels == 0])])
        )
        if self.table.by_study[validation].any():
            self._validation = _whole_studies(validation, self.table.studies()[validation])
            self.validation_studies = self.table.studies()[self._validation]
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

    def estimated(self, probability: np.ndarray, least: float) -> "TrainingSlices":
        """Return the same slices, where a training slice shows the classes whose P(class) is `least` or more.

        Args:
            probability: (rows, M) in 0..1, as `training.study_labels.StudyLabels.weights` gives it.
            least: in 0..1.
        """
        result = copy.copy(self)
        result.shown = self.shown.copy()
        result.shown[self.rows] &= probability >= least
        result._abnormal = _sample(self.rows[result.shown[self.rows].any(axis=1)])
        return result

    def label_counts(self) -> dict:
        """Return how many training slices have a label of their own and how many that of their study."""
        by_study = int(self.table.by_study[self.rows].sum())
        return {"slice": len(self.rows) - by_study, "study": by_study}

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
    Labels of studies are permuted among the studies.
    """
    label, markers, generator = table.label.copy(), table.markers.copy(), np.random.default_rng([seed, 4])
    if table.by_study[rows].any():
        _, first, study = np.unique(table.studies()[rows], return_index=True, return_inverse=True)
        order = first[generator.permutation(len(first))][study.reshape(-1)]
    else:
        order = generator.permutation(len(rows))
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


def _whole_studies(rows: np.ndarray, studies: np.ndarray) -> np.ndarray:
    """Return the rows of whole studies, evenly spread, about 2 SAMPLE_SIZE of them or all."""
    names = np.unique(studies)
    most = max(2, round(2 * SAMPLE_SIZE * len(names) / len(rows)))
    if most < len(names):
        names = names[np.linspace(0, len(names) - 1, most).round().astype(int)]
    return rows[np.isin(studies, names)]


def _sample(rows: np.ndarray) -> np.ndarray:
    """Return at most SAMPLE_SIZE rows, evenly spread."""
    return (
        rows
        if len(rows) <= SAMPLE_SIZE
        else rows[np.linspace(0, len(rows) - 1, SAMPLE_SIZE).round().astype(int)]
    )
