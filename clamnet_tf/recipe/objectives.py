"""The table of objectives that a first network may minimise on image labels (`loss.objective`), one entry
each.

To add an objective, write its build into a module of `training`, enter it below, and, if it has settings,
give it a section in `schema_loss.LossSection`. Recipes take the name, their rules ask what it needs,
reports take its label.
"""

from collections.abc import Callable
from dataclasses import dataclass

from clamnet_tf.deferred import Deferred


@dataclass(frozen=True)
class Objective:
    """Holds one objective.

    Attributes:
        build: function (network, loss, *, twin, new_twin, classes, steps) -> training.steps.StepTrainer of
            `network`, where loss is the recipe's LossSection, twin its TwinSection, new_twin a function
            that returns a second network like the first, classes the LesionClass of each map, and steps the
            planned number of optimizer steps.
        label: function (LossSection, prevalence) -> what sets a baseline apart from the method, in words
            for a report, or None when there is nothing to say.
        needs_pairs: whether it learns from positive and negative pairs, with twin, consistency and contrast.
        classifies: whether its network is a classifier of slices, whose activation map marks, instead of
            one with heads.
    """

    build: Deferred
    label: Callable[..., str | None]
    needs_pairs: bool = False
    classifies: bool = False


def _prior(loss, prevalence: float) -> str:
    return f"non-negative negative-unlabelled risk, prior {loss.non_negative.prior or prevalence:g}"


def _pooling(loss, prevalence: float) -> str:
    own = loss.multiple_instance
    if own.pooling == "probabilistic_cam":
        return "multiple-instance learning (probabilistic-CAM pooling of the pixels)"
    pooling = own.pooling.replace("_", " ").replace("log sum exp", "log-sum-exp")
    return f"multiple-instance learning ({pooling} of the pixels, sharpness {own.sharpness:g})"


#: Value of loss.objective -> objective.
OBJECTIVES: dict[str, Objective] = {
    "hybrid": Objective(
        Deferred("clamnet_tf.training.siamese:build"), lambda loss, prevalence: None, needs_pairs=True
    ),
    "non_negative": Objective(Deferred("clamnet_tf.training.objectives:build_non_negative"), _prior),
    "multiple_instance": Objective(
        Deferred("clamnet_tf.training.objectives:build_multiple_instance"), _pooling
    ),
    "classification": Objective(
        Deferred("clamnet_tf.training.objectives:build_classification"),
        lambda loss, prevalence: "classification of slices",
        classifies=True,
    ),
}
