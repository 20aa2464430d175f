"""Which checkpoint and which threshold, without a mask: image labels and the expected size alone (METHOD
section 5).
"""

from dataclasses import asdict, dataclass

import numpy as np

from clamnet_tf.inference.postprocessing.prevalence import AreaHistogram, prevalence_thresholds
from clamnet_tf.metrics.localisation import image_score
from clamnet_tf.metrics.ranking import auroc
from clamnet_tf.recipe.classes import UNNAMED


@dataclass(frozen=True)
class CheckpointScore:
    """What one mask-free look at a checkpoint saw. Areas are mean marked fractions of the organ, in 0..1."""

    step: int
    threshold: float
    auroc: float | None  # of the image score on validation slices; None when one class is missing
    normal_area: float  # validation normals, at the threshold
    abnormal_area: float  # validation abnormals, at the threshold
    abnormal_area_half: (
        float  # validation abnormals, at probability 0.5: its creep is the alarm of METHOD section 4
    )
    markers: dict | None = None  # name of a class -> row of its own look; the numbers above are the means

    def row(self) -> dict:
        return {name: value for name, value in asdict(self).items() if name != "markers" or value is not None}


def score_checkpoint(
    predictor, step: int, training, validation, section, classes, power: float = 6.0
) -> CheckpointScore:
    """Judge the present weights class by class, without a mask; the rule decides by the means.

    A slice counts as normal for a class that its label excludes, also when it shows another one: a network
    that confuses them marks there.

    Args:
        predictor: callable, images (N, H, W, C) -> P of each lesion class (N, H, W, M).
        step: number of the optimizer step.
        training: (images, organ, shown (N, M) bool) of abnormal training slices; fixes the thresholds by
            prevalence.
        validation: the same of validation slices.
        section: SelectionSection.
        classes: LesionClass of each of the M maps.
        power: of the generalised mean that makes image scores.
    """
    (images, organ, shown), (seen, region, present) = training, validation
    learned = predictor(images) if section.threshold == "prevalence" else None
    judged, looks = predictor(seen), []
    for index, one in enumerate(classes):
        threshold, own = section.threshold, shown[:, index]
        if learned is not None:
            threshold = prevalence_thresholds({"": learned[own, ..., index]}, organ[own], one.prevalence)[""]
        looks.append(_judged(step, threshold, judged[..., index], region, present[:, index], power))
    known = [look.auroc for look in looks if look.auroc is not None]
    areas = ("threshold", "normal_area", "abnormal_area", "abnormal_area_half")
    means = {name: float(np.mean([getattr(look, name) for look in looks])) for name in areas}
    rows = {one.name: look.row() for one, look in zip(classes, looks) if one.name != UNNAMED}
    return CheckpointScore(
        step=step, auroc=float(np.mean(known)) if known else None, markers=rows or None, **means
    )


def score_classifier(teacher, step: int, validation) -> CheckpointScore:
    """Judge classifiers: the areas of the Look are shares of whole slices that score above 0.5.

    Args:
        teacher: inference.attribution_map.AttributionMap. validation: (images, organ, shown (N, M) bool) of
            validation slices.
    """
    images, _, shown = validation
    scores, abnormal = teacher.probability(images), shown.any(axis=1)
    shares = [float((scores[rows] > 0.5).mean()) if rows.any() else 0.0 for rows in (~abnormal, abnormal)]
    return CheckpointScore(step, 0.5, auroc(scores, abnormal), shares[0], shares[1], shares[1])


def choose_classifier(looks: list, section) -> tuple:
    """Keep the last classifiers, whose learning rate has come down, and say their AUROC; section:
    SelectionSection.
    """
    last = looks[-1]
    text = "not known, one class only" if last.auroc is None else f"{last.auroc:.3f}"
    return last, f"the last step of the classifiers; AUROC of the validation slices {text}"


def _judged(step, threshold, probability, organ, abnormal, power) -> CheckpointScore:
    areas = {}
    for name, rows in (("normal", ~abnormal), ("abnormal", abnormal)):
        areas[name] = AreaHistogram()
        areas[name].add(probability[rows], organ[rows])
    return CheckpointScore(
        step=step,
        threshold=float(threshold),
        auroc=auroc([image_score(map_, inside, power) for map_, inside in zip(probability, organ)], abnormal),
        normal_area=areas["normal"].area(threshold),
        abnormal_area=areas["abnormal"].area(threshold),
        abnormal_area_half=areas["abnormal"].area(0.5),
    )


def choose(looks: list, section) -> tuple:
    """The look to keep and why, in words.

    Among looks whose slice AUROC is within the slack of the best and whose marked area on normals is within
    the limit (without any such look: of all within the slack), the one that marks least of the normal slices.
    The threshold has brought all looks to the same marked area on abnormal slices, so that this is the best
    contrast of areas.
    """
    if section.checkpoint == "last":
        return looks[-1], "the last step, as the recipe says"
    best = max((look.auroc for look in looks if look.auroc is not None), default=None)
    near = [
        look
        for look in looks
        if best is None or (look.auroc is not None and look.auroc >= best - section.auroc_slack)
    ]
    quiet = [look for look in near if look.normal_area <= section.normal_area_limit]
    chosen = min(quiet or near, key=lambda look: look.normal_area)
    auroc_text = (
        "no AUROC (one class only)" if best is None else f"slice AUROC {chosen.auroc:.3f}, best {best:.3f}"
    )
    limit = "" if quiet else f"; above the limit of {100 * section.normal_area_limit:.1f} %"
    return (
        chosen,
        f"it marks least of the normal validation slices ({100 * chosen.normal_area:.2f} %{limit}) at a "
        f"slice AUROC near the best ({auroc_text})",
    )
