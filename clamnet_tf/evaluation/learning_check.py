"""Tell without masks whether a run has learned anything: the content of `learning.json`.

Labels of validation patients decide. The network's slice scores are compared with chance (AUROC 0.5), with
the scores of a classifier that sees no lesion (shortcut_features.py), and the marked area of abnormal slices
with that of normal ones. All intervals resample patients. Both networks and shortcut classifier learn from
the training patients and are measured on the same validation slices, so their difference is paired.

verdict
    "learned", "shortcut", "not learned" or "too few patients", by the rules of reporting/learning_wording.py:
    the verdict on all lesion classes together, or, where that is "learned", on the class with the worst one.
sentences
    The verdict in words, then what else was measured.
outcomes
    "" for all lesion classes together, and the name of each class where there are several. Each has: verdict;
    unit: "slice", or "patient" where labels speak of whole studies: then a patient is what is told apart,
    by the highest score of the slices and the mean marked area; patients (all, abnormal, normal: with a slice
    of that kind); slices (abnormal, normal; of a patient with a finding all count as abnormal when the unit
    is the patient); auroc (mean, low, high); marked_area (abnormal, normal, difference); shortcut (auroc,
    difference: network - classifier, features, classifier, strongest, reason).
halves
    Agreement of two short trainings on halves of the training patients (training/half_trainings.py); null
    when they were not run.
definitions
    Version of these definitions, 1.
"""

from typing import Any

import numpy as np

from clamnet_tf.datasets.classes import shown_classes
from clamnet_tf.evaluation import bootstrap
from clamnet_tf.evaluation.shortcut_classifier import ShortcutClassifier, strongest_group, varying_groups
from clamnet_tf.evaluation.shortcut_features import ShortcutFeatures
from clamnet_tf.evaluation.validation_scores import ScoredSlices, spread_rows
from clamnet_tf.metrics.ranking import auroc
from clamnet_tf.recipe.classes import UNNAMED
from clamnet_tf.reporting.learning_wording import LEARNED, SEVERITY, judge, sentences

DEFINITIONS = 1
NOT_RUN = "Two trainings on halves of the training patients were not run (fit --half-agreement runs them)."
ONE_LABEL = "the training slices all have the same label"
NO_SLICES = "there are not both abnormal and normal validation slices"
NO_PATIENTS = "there are not both validation patients with a finding and without one"
_NONE = {"mean": None, "low": None, "high": None}


def check_learning(
    scored: ScoredSlices,
    prepared,
    training_rows: np.ndarray,
    classes,
    *,
    least_area: float,
    halves: dict | None = None,
    samples: int = bootstrap.SAMPLES,
    seed: int = 0,
) -> dict:
    """Return the content of learning.json.

    Args:
        scored: Scores and marks of validation slices.
        prepared: Prepared slices; the labels of its table decide.
        training_rows: Rows of the training slices, from which the shortcut classifier learns.
        classes: Names of the recipe's lesion classes.
        least_area: Validation slices with this share of organ or less are left out, as in training.
        halves: Agreement of two halves, or None.
        samples: Number of bootstrap samples.
        seed: Seed of the bootstrap.
    """
    table = prepared.table
    unit = "slice" if scored.of_studies is None else "patient"
    scored = with_studies(scored)
    kept = table.area[scored.rows] > least_area
    rows, learning_rows = scored.rows[kept], spread_rows(prepared, training_rows)
    features = {}
    for side, side_rows in (("train", learning_rows), ("val", rows)):
        features[side] = ShortcutFeatures.of(prepared, side_rows) if len(side_rows) else None

    def outcome(labels, training_labels, score, marked) -> dict:
        pooled = _Pooled(table.patient[rows], unit)
        found = _outcome(
            pooled.patient,
            pooled.largest(labels),
            pooled.largest(score),
            pooled.mean(marked),
            samples,
            seed,
        )
        found["unit"] = unit
        found["slices"] = {"abnormal": int(labels.sum()), "normal": int((~labels).sum())}
        found["shortcut"] = _shortcut(
            features,
            (training_labels, table.patient[learning_rows]),
            pooled,
            pooled.largest(labels),
            pooled.largest(score),
            samples,
            seed,
        )
        return {"verdict": judge(found), **found}

    present = {
        side: _present(table, side_rows, classes)
        for side, side_rows in (("train", learning_rows), ("val", rows))
    }
    outcomes = {
        "": outcome(
            present["val"].any(axis=1),
            present["train"].any(axis=1),
            scored.score[kept],
            scored.marked[kept],
        )
    }
    for index, name in enumerate(classes):
        if name != UNNAMED:
            outcomes[name] = outcome(
                present["val"][:, index],
                present["train"][:, index],
                scored.class_scores[kept, index],
                scored.class_marked[kept, index],
            )
    named = [name for name in outcomes if name]
    said = sentences(outcomes[""], halves)
    of_classes = {name: sentences(outcomes[name], name=name)[0] for name in named}
    decisive = ""
    if outcomes[""]["verdict"] == LEARNED:  # one class that was not learned is what a reader must know first
        decisive = min(named, key=lambda name: SEVERITY.index(outcomes[name]["verdict"]), default="")
        if outcomes[decisive]["verdict"] != LEARNED:
            said.insert(0, of_classes.pop(decisive))
    said += of_classes.values()
    return {
        "definitions": DEFINITIONS,
        "verdict": outcomes[decisive]["verdict"],
        "sentences": said if halves else [*said, NOT_RUN],
        "outcomes": outcomes,
        "halves": halves,
        "bootstrap": {
            "samples": samples,
            "seed": seed,
            "confidence": bootstrap.CONFIDENCE,
            "unit": "patient",
        },
    }


class _Pooled:
    """Bring what is known of slices to the unit whose labels are known.

    Attributes:
        unit: "slice" or "patient".
        patient: Name of the patient of each unit.
    """

    def __init__(self, patient: np.ndarray, unit: str):
        """Pool the slices of each patient when `unit` is "patient", and nothing when it is "slice"."""
        self.unit = unit
        if unit == "patient":
            self.patient, self._of = np.unique(patient, return_inverse=True)
        else:
            self.patient, self._of = patient, np.arange(len(patient))

    def largest(self, values: np.ndarray) -> np.ndarray:
        """Return the largest value of the slices of each unit."""
        found = np.zeros(len(self.patient), values.dtype)
        np.maximum.at(found, self._of, values)  # scores and labels are not negative
        return found

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Return the mean of the slices of each unit."""
        sums, counts = np.bincount(self._of, values), np.bincount(self._of)
        return sums / counts


def with_studies(scored: ScoredSlices) -> ScoredSlices:
    """Return the slices together with those of abnormal studies that are labelled as a whole."""
    if scored.of_studies is None:
        return scored
    sure, unsure = scored, scored.of_studies
    return ScoredSlices(
        np.concatenate([sure.rows, unsure.rows]),
        np.concatenate([sure.score, unsure.score]),
        np.concatenate([sure.class_scores, unsure.class_scores]),
        np.concatenate([sure.marked, unsure.marked]),
        np.concatenate([sure.class_marked, unsure.class_marked]),
    )


def _present(table, rows, classes) -> np.ndarray:
    """Return which classes the slices show, (n, M) bool."""
    return shown_classes(table.label[rows], table.markers[rows], classes)


def _outcome(patient, labels, score, marked, samples: int, seed: int) -> dict:
    """Return numbers, AUROC and marked areas of slices, or of patients.

    Args:
        patient: (n,) names of patients.
        labels: (n,) bool, abnormal.
        score: (n,) scores.
        marked: (n,) marked shares of the organ.
        samples: Number of bootstrap samples.
        seed: Seed of the bootstrap.
    """
    resamples = _Resamples(patient, samples, seed)
    return {
        "patients": {
            "all": len(resamples.names),
            "abnormal": len(np.unique(patient[labels])),
            "normal": len(np.unique(patient[~labels])),
        },
        "auroc": _auroc(score, labels, resamples)[0]._asdict() if _both(labels) else dict(_NONE),
        "marked_area": _areas(marked, labels, resamples),
    }


def _areas(marked, labels, resamples) -> dict:
    """Return mean marked area of abnormal and of normal slices, and the difference, with their intervals."""
    found = {name: dict(_NONE) for name in ("abnormal", "normal", "difference")}
    if not _both(labels):
        return found
    means, resampled = [], []
    for name, kind in (("abnormal", labels), ("normal", ~labels)):
        sums, counts = (
            np.bincount(resamples.number[kind], weights=weights, minlength=len(resamples.names))
            for weights in (marked[kind], np.ones(int(kind.sum())))
        )
        means.append(float(sums.sum() / counts.sum()))
        with np.errstate(invalid="ignore"):
            resampled.append((resamples.drawn @ sums) / (resamples.drawn @ counts))
        found[name] = bootstrap.between(means[-1], resampled[-1], int(np.count_nonzero(counts)))._asdict()
    difference = resampled[0] - resampled[1]
    found["difference"] = bootstrap.between(means[0] - means[1], difference, len(resamples.names))._asdict()
    return found


def _shortcut(features, training, pooled: _Pooled, labels, score, samples: int, seed: int) -> dict:
    """Return the AUROC of the shortcut classifier and the paired difference to that of the network.

    Args:
        features: ShortcutFeatures of "train" and of "val".
        training: (labels, patients) of the training slices.
        pooled: Takes validation slices to the units of `labels`.
        labels: (n,) bool, which slices or patients are abnormal.
        score: (n,) scores of the network.
        samples: Number of bootstrap samples.
        seed: Seed of the bootstrap.
    """
    content: dict[str, Any] = {
        "auroc": dict(_NONE),
        "difference": dict(_NONE),
        "features": [],
        "classifier": None,
        "strongest": None,
        "reason": None,
    }
    training_labels, training_patients = training
    if not _both(labels) or not _both(training_labels):
        missing = NO_SLICES if pooled.unit == "slice" else NO_PATIENTS
        return content | {"reason": ONE_LABEL if _both(labels) else missing}
    resamples = _Resamples(pooled.patient, samples, seed)
    classifier = ShortcutClassifier(features["train"], training_labels, training_patients)
    scores = pooled.largest(classifier.score(features["val"]))
    (ours, our_resamples), (theirs, their_resamples) = (
        _auroc(each, labels, resamples) for each in (score, scores)
    )
    content |= {
        "auroc": theirs._asdict(),
        "difference": bootstrap.between(
            ours.mean - theirs.mean, our_resamples - their_resamples, len(resamples.names)
        )._asdict(),
        "features": varying_groups(features["train"]),
        "classifier": classifier.name,
    }
    if theirs.low is not None and theirs.low > 0.5:
        group, value = strongest_group(
            features["train"], training_labels, features["val"], labels, pooled.largest
        )
        content["strongest"] = {"group": group, "auroc": value}
    return content


class _Resamples:
    """Hold how often each patient of some slices is drawn.

    Attributes:
        names: (patients,) their names.
        number: (n,) index of the patient of each slice.
        drawn: (samples, patients) how often each is drawn.
    """

    def __init__(self, patient, samples: int, seed: int):
        self.names, self.number = np.unique(patient, return_inverse=True)
        self.drawn = bootstrap.multiplicities(max(len(self.names), 1), samples, seed)


def _both(labels) -> bool:
    """Return whether there are labels of both kinds."""
    return bool(len(labels)) and bool(labels.any()) and not labels.all()


def _auroc(score, labels, resamples: _Resamples) -> tuple[bootstrap.Interval, np.ndarray]:
    """Return the AUROC of labels of both kinds with its interval, and its value in each resample."""
    parts = np.array_split(resamples.drawn, 20)  # so that the weights take little memory
    resampled = np.concatenate([auroc(score, labels, part[:, resamples.number]) for part in parts])
    return bootstrap.between(auroc(score, labels), resampled, len(resamples.names)), resampled
