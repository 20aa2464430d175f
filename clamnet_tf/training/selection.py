"""Choose the checkpoint and the threshold without a mask, by image labels and the expected size alone.

See docs/method.md, section "Thresholds without masks".
"""

from dataclasses import asdict, dataclass

import numpy as np

from clamnet_tf.inference.postprocessing.prevalence import AreaHistogram, prevalence_thresholds
from clamnet_tf.metrics.localisation import image_score
from clamnet_tf.metrics.ranking import auroc
from clamnet_tf.recipe.classes import UNNAMED

INTERIM_SLICES = 64  # of each label, that score a checkpoint which cannot be chosen


@dataclass(frozen=True)
class CheckpointScore:
    """The mask-free score of a checkpoint; areas are mean marked fractions of the organ, in 0..1.

    Attributes:
        step: number of the optimizer step.
        threshold: cut of the probability, in 0..1.
        auroc: of the image score on validation slices, or of the highest one of each validation study where
            labels of studies are among them; None when one class is missing.
        normal_area: of validation normals, at the threshold.
        abnormal_area: of validation abnormals, at the threshold.
        abnormal_area_half: of validation abnormals, at probability 0.5; its slow rise is an alarm.
        markers: name of a lesion class -> row of its own score; the numbers above are the means. None for a
            single class.
    """

    step: int
    threshold: float
    auroc: float | None
    normal_area: float
    abnormal_area: float
    abnormal_area_half: float
    markers: dict | None = None

    def row(self) -> dict:
        """Return the score as a dict for JSON; `markers` is left out when it is None."""
        return {name: value for name, value in asdict(self).items() if name != "markers" or value is not None}


def score_checkpoint(
    predictor, step: int, training, validation, section, classes, power: float = 6.0, studies=None
) -> CheckpointScore:
    """Score the present weights class by class, without a mask; the rule decides by the means.

    A slice counts as normal for a class that its label excludes, also when it shows another one: a network
    that confuses them marks there.

    Args:
        predictor: callable, images (N, H, W, C) -> P of each lesion class (N, H, W, M).
        step: number of the optimizer step.
        training: (images, organ, shown (N, M) bool) of abnormal training slices; fixes the thresholds by
            prevalence.
        validation: (images, organ, shown) of validation slices.
        section: SelectionSection.
        classes: LesionClass of each of the M maps.
        power: of the generalised mean that makes image scores.
        studies: (N,) number of each validation slice's study, which is what its label speaks of; the area of
            abnormals is then that of all slices of abnormal studies. None: labels of slices.
    """
    (images, organ, shown), (validation_images, validation_organ, present) = training, validation
    training_maps = predictor(images) if section.threshold == "prevalence" else None
    maps, scores = predictor(validation_images), []
    for index, lesion_class in enumerate(classes):
        threshold, in_class = section.threshold, shown[:, index]
        if training_maps is not None:
            threshold = prevalence_thresholds(
                {"": training_maps[in_class, ..., index]}, organ[in_class], lesion_class.prevalence
            )[""]
        scores.append(
            _class_score(
                step, threshold, maps[..., index], validation_organ, present[:, index], power, studies
            )
        )
    known = [score.auroc for score in scores if score.auroc is not None]
    areas = ("threshold", "normal_area", "abnormal_area", "abnormal_area_half")
    means = {name: float(np.mean([getattr(score, name) for score in scores])) for name in areas}
    rows = {
        lesion_class.name: score.row()
        for lesion_class, score in zip(classes, scores)
        if lesion_class.name != UNNAMED
    }
    return CheckpointScore(
        step=step, auroc=float(np.mean(known)) if known else None, markers=rows or None, **means
    )


def thinned(*samples: tuple) -> tuple:
    """Return at most INTERIM_SLICES evenly spaced slices of each label of each (images, organ, shown).

    Every label that is there stays, so that AUROC and areas of rare ones are measured too.
    """
    return tuple(tuple(part[_spaced(sample[-1])] for part in sample) for sample in samples)


def _spaced(shown: np.ndarray) -> np.ndarray:
    """Return the rising numbers of the slices that `thinned` keeps, for `shown` (N, M) bool."""
    labels, label = np.unique(shown, axis=0, return_inverse=True)
    kept = [np.zeros(0, int)]
    for number in range(len(labels)):
        rows = np.flatnonzero(label.reshape(-1) == number)
        kept.append(rows[np.linspace(0, len(rows) - 1, min(len(rows), INTERIM_SLICES)).round().astype(int)])
    return np.sort(np.concatenate(kept))


def score_classifier(teacher, step: int, validation) -> CheckpointScore:
    """Score classifiers: the areas of the score are shares of slices with P(abnormal) above 0.5.

    Args:
        teacher: inference.attribution_map.AttributionMap.
        step: number of the optimizer step.
        validation: (images, organ, shown (N, M) bool) of validation slices.
    """
    images, _, shown = validation
    scores, abnormal = teacher.probability(images), shown.any(axis=1)
    shares = [float((scores[rows] > 0.5).mean()) if rows.any() else 0.0 for rows in (~abnormal, abnormal)]
    return CheckpointScore(step, 0.5, auroc(scores, abnormal), shares[0], shares[1], shares[1])


def choose_classifier(scores: list, section) -> tuple:
    """Return the last classifiers, whose learning rate has come down, and a text with their AUROC.

    Args:
        looks: CheckpointScore of each evaluation.
        section: SelectionSection.
    """
    last = scores[-1]
    text = "not known, one class only" if last.auroc is None else f"{last.auroc:.3f}"
    return last, f"the last step of the classifiers; AUROC of the validation slices {text}"


def _class_score(step, threshold, probability, organ, abnormal, power, studies=None) -> CheckpointScore:
    """Return the score of one class."""
    areas = {}
    scores = np.array([image_score(map_, inside, power) for map_, inside in zip(probability, organ)])
    labels = abnormal
    if studies is not None:
        scores, labels = of_studies(scores, abnormal, studies)
    for name, rows in (("normal", ~abnormal), ("abnormal", abnormal)):
        areas[name] = AreaHistogram()
        areas[name].add(probability[rows], organ[rows])
    return CheckpointScore(
        step=step,
        threshold=float(threshold),
        auroc=auroc(scores, labels),
        normal_area=areas["normal"].area(threshold),
        abnormal_area=areas["abnormal"].area(threshold),
        abnormal_area_half=areas["abnormal"].area(0.5),
    )


def of_studies(scores, labels, studies) -> tuple[np.ndarray, np.ndarray]:
    """Return the highest score of each study and whether one of its slices is labelled, (studies,) each."""
    _, number = np.unique(studies, return_inverse=True)
    highest, abnormal = np.full(number.max() + 1, -np.inf), np.zeros(number.max() + 1, bool)
    np.maximum.at(highest, number.reshape(-1), np.asarray(scores, float))
    np.logical_or.at(abnormal, number.reshape(-1), np.asarray(labels, bool))
    return highest, abnormal


def choose(scores: list, section, unit: str = "slice") -> tuple:
    """Return the score to keep and the reason in words.

    Among scores whose slice AUROC is within the slack of the best and whose marked area on normals is within
    the limit (without any such score: among all within the slack), it is the one that marks least of the
    normal slices. The threshold has brought all scores to the same marked area on abnormal slices, so that
    this is the best contrast of areas.

    Args:
        scores: CheckpointScore of each evaluation.
        section: SelectionSection.
        unit: "slice" or "study", what the AUROC tells apart.
    """
    if section.checkpoint == "last":
        return scores[-1], "the last step, as the recipe says"
    best = max((score.auroc for score in scores if score.auroc is not None), default=None)
    near = [
        score
        for score in scores
        if best is None or (score.auroc is not None and score.auroc >= best - section.auroc_slack)
    ]
    quiet = [score for score in near if score.normal_area <= section.normal_area_limit]
    chosen = min(quiet or near, key=lambda score: score.normal_area)
    auroc_text = (
        "no AUROC (one class only)" if best is None else f"{unit} AUROC {chosen.auroc:.3f}, best {best:.3f}"
    )
    limit = "" if quiet else f"; above the limit of {100 * section.normal_area_limit:.1f} %"
    return (
        chosen,
        f"it marks least of the normal validation slices ({100 * chosen.normal_area:.2f} %{limit}) at a "
        f"{unit} AUROC near the best ({auroc_text})",
    )
