"""Train a small classifier on shortcut features, chosen by cross-validation over patients (scikit-learn)."""

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, SplineTransformer

from clamnet_tf.evaluation.shortcut_features import GROUPS, ShortcutFeatures
from clamnet_tf.metrics.ranking import auroc

FOLDS = 3
_SEED = 0
_PENALTIES = (0.03, 1.0)  # inverse strength of the penalty of the logistic regression


class ShortcutClassifier:
    """Predict the label of a slice from its shortcut features.

    Candidates are logistic regressions on splines of each feature, with two penalties, and gradient-boosted
    trees, which see combinations. The one whose scores of left-out training patients have the highest AUROC
    is trained on all of them.

    Args:
        features: Features of the training slices.
        abnormal: (n,) bool, labels of the training slices.
        patient: (n,) names of the patients, of whom some are left out at a time; None: the first candidate is
            taken, as where too few patients have a label.

    Attributes:
        name: Which candidate was chosen, in words.
    """

    def __init__(self, features: ShortcutFeatures, abnormal: np.ndarray, patient):
        self._sites = sorted(set(features.site))
        table = self._columns(features)
        self._kept = np.array([_varies(column) for column in table.T], bool)
        self.name, self._model = "a constant, since no feature varies", None
        if not self._kept.any():
            return
        table = table[:, self._kept]
        candidates = _candidates()
        folds = [] if patient is None else _folds(abnormal, patient)
        if folds:
            scores = {
                name: _left_out_auroc(build, table, abnormal, folds) for name, build in candidates.items()
            }
            self.name = max(scores, key=lambda name: scores[name])
        else:
            self.name = next(iter(candidates))
        self._model = candidates[self.name](len(table)).fit(table, abnormal)

    def score(self, features: ShortcutFeatures) -> np.ndarray:
        """Return P(abnormal) of each slice, (n,) in 0..1; 0.5 where nothing varies."""
        if self._model is None:
            return np.full(len(features.numbers), 0.5)
        return self._model.predict_proba(self._columns(features)[:, self._kept])[:, 1]

    def _columns(self, features: ShortcutFeatures) -> np.ndarray:
        """Return the numbers and one column for each site that the training slices have, (n, columns)."""
        return np.column_stack([features.numbers, *(features.site == site for site in self._sites)])


def varying_groups(features: ShortcutFeatures) -> list[str]:
    """Return the groups of features that differ between slices."""
    found, begin = [], 0
    for group, members in GROUPS.items():
        columns = features.numbers[:, begin : begin + len(members)].T
        begin += len(members)
        if any(_varies(column) for column in columns):
            found.append(group)
    return [*found, *(["site"] if len(set(features.site)) > 1 else [])]


def strongest_group(
    training: ShortcutFeatures, abnormal, validation: ShortcutFeatures, labels, pool=np.asarray
) -> tuple[str, float]:
    """Return the group of features that alone tells validation labels best, and its AUROC.

    Args:
        training: Features of the training slices.
        abnormal: (n,) bool, their labels; of both kinds.
        validation: Features of the validation slices.
        labels: (m,) bool, their labels, or those of their patients; of both kinds.
        pool: Takes the scores of the validation slices to those of what `labels` speak of.
    """
    found = {}
    for group in varying_groups(training):
        classifier = ShortcutClassifier(training.only(group), abnormal, None)
        found[group] = auroc(pool(classifier.score(validation.only(group))), labels)
    best = max(found, key=lambda group: found[group])
    return best, found[best]


def _varies(column: np.ndarray) -> bool:
    """Return whether a feature has more than one known value."""
    return len(np.unique(column[np.isfinite(column)])) > 1


def _candidates() -> dict:
    """Return name -> function that builds an untrained model for a number of training slices."""

    def splines(penalty: float):
        return lambda count: make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            QuantileTransformer(n_quantiles=min(100, count), random_state=_SEED),
            SplineTransformer(n_knots=5, degree=2, knots="uniform", extrapolation="constant"),
            LogisticRegression(C=penalty, max_iter=2000),
        )

    models = {f"logistic regression on splines, C = {value:g}": splines(value) for value in _PENALTIES}
    models["gradient-boosted trees"] = lambda count: make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        GradientBoostingClassifier(
            n_estimators=30, learning_rate=0.2, max_depth=3, subsample=0.7, random_state=_SEED
        ),
    )
    return models


def _folds(abnormal: np.ndarray, patient: np.ndarray) -> list:
    """Return (rows to train on, rows to score) with whole patients left out; both of them with both labels in
    the rows to train on. It is empty when too few patients have a label.
    """
    most = min(FOLDS, *(len(np.unique(patient[abnormal == kind])) for kind in (False, True)))
    if most < 2:
        return []
    splits = StratifiedGroupKFold(most, shuffle=True, random_state=_SEED).split(
        np.zeros(len(abnormal)), abnormal, patient
    )
    return [(train, rest) for train, rest in splits if len(np.unique(abnormal[train])) == 2 and len(rest)]


def _left_out_auroc(build, table: np.ndarray, abnormal: np.ndarray, folds: list) -> float:
    """Return the mean AUROC over the folds whose left-out patients have both labels; 0.5 without any."""
    found = [
        auroc(
            build(len(train)).fit(table[train], abnormal[train]).predict_proba(table[rest])[:, 1],
            abnormal[rest],
        )
        for train, rest in folds
    ]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else 0.5
