"""The recipe's sections on the twin networks and on what they minimise."""

from typing import Annotated, Literal

from pydantic import Field, model_serializer

from clamnet_tf.recipe.objectives import OBJECTIVES
from clamnet_tf.recipe.section import Fraction, NonNegative, Positive, Probability, Section, without


class TwinSection(Section):
    """The second of the two identical models. [5]"""

    kind: Literal["shared", "separate", "ema", "none"] = Field(
        "shared",
        description="shared weights; separate weights; ema teacher; none (no second view: a baseline).",
    )
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.99, description="Momentum of the ema teacher per step."
    )


class ConsistencySection(Section):
    """Consistency of the twins on two views of one slice (positive pairs). [5, 6]"""

    weight: NonNegative = Field(0.5, description="Weight after the ramp.")
    distance: Literal["hybrid", "squared"] = Field(
        "squared", description="Hybrid loss against the other's stopped prediction, or squared distance."
    )
    ramp: Fraction = Field(0.25, description="Fraction of the steps over which the weight rises from 0.")


class ContrastSection(Section):
    """Margin between the image scores of a negative pair. [7]"""

    weight: NonNegative = Field(0.5, description="Weight of the term.")
    margin: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.7, description="Wanted difference of image scores, abnormal minus normal."
    )
    pooling_power: Annotated[float, Field(ge=1.0, le=50.0)] = Field(
        6.0, description="Exponent of the generalised mean that pools pixels."
    )


class NonNegativeSection(Section):
    """Settings of objective non_negative: negative-unlabelled learning with Kiryo's correction (nnPU with
    the classes exchanged).
    """

    prior: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        None,
        description="Share of lesion pixels in the organ of abnormal slices; null: selection.prevalence.",
    )


class MultipleInstanceSection(Section):
    """Settings of objective multiple_instance: the pooled pixels of a slice predict its label."""

    pooling: Literal["generalised_mean", "log_sum_exp", "evidence_log_sum_exp", "probabilistic_cam"] = Field(
        "generalised_mean",
        description="How the P(lesion) of the organ's pixels become one score: their generalised mean, their "
        "log-sum-exp, the log-sum-exp of their logits, or the mean of their logits weighted by their "
        "probabilities (PCAM, Ye 2020).",
    )
    sharpness: Annotated[float, Field(ge=1.0, le=50.0)] = Field(
        6.0,
        description="Exponent of the generalised mean, or r of log-sum-exp: the larger, the nearer to the "
        "maximum. probabilistic_cam does not use it.",
    )


class SoftDiceSection(Section):
    """The soft Dice loss beside the hybrid loss, where masks teach: true ones, or the marks of a teacher."""

    smoothing: Annotated[float, Field(gt=0.0, le=1000.0)] = Field(
        50.0,
        description="Pixels added to numerator and denominator; beside small lesions it should be small.",
    )
    lesions_only: bool = Field(
        False, description="Leave slices out whose mask is empty; the hybrid loss teaches them."
    )


class MixedSection(Section):
    """Weights of the two kinds of slices in a batch of training.supervision mixed."""

    mask_weight: Positive = Field(1.0, description="Weight of slices with a mask, which learn from it.")
    label_weight: Positive = Field(
        1.0,
        description="Weight of the other slices, which learn from their labels, or from a teacher's marks.",
    )


class LossSection(Section):
    """The hybrid loss and its companions, or another objective to compare with. [8, 9]"""

    objective: Literal[tuple(OBJECTIVES)] = Field(  # type: ignore[valid-type]
        "hybrid",
        description="What is minimised on image labels: hybrid (the paper's), or a baseline: non_negative "
        "(nnPU), multiple_instance, or "
        "classification (of slices, by the encoder alone; its activation map marks).",
    )
    non_negative: NonNegativeSection = Field(default_factory=NonNegativeSection)
    multiple_instance: MultipleInstanceSection = Field(default_factory=MultipleInstanceSection)
    eta: Probability = Field(
        0.7,
        description="P(the slice's region holds the lesion): weight of an abnormal slice, unless the "
        "manifest gives its own. [9]",
    )
    study_weights: Literal["posterior", "top_slices", "fixed"] = Field(
        "posterior",
        description="With labels of studies, what eta of each slice of an abnormal study is multiplied by, "
        "from slice scores at each look: posterior, P(lesion) given the scores of normal studies; "
        "top_slices, 1 for the highest slices of the study and little for the others; fixed, 1.",
    )
    k: Annotated[int, Field(ge=1, le=2)] = Field(
        1, description="Factor of the overlap term: 1 the paper, 2 the UNet++ form. [8]"
    )
    head_weights: list[NonNegative] | None = Field(
        None, description="Weight per head X[0,1].. in the loss; null weighs all alike."
    )
    consistency: ConsistencySection = Field(default_factory=ConsistencySection)
    contrast: ContrastSection = Field(default_factory=ContrastSection)
    soft_dice: SoftDiceSection = Field(default_factory=SoftDiceSection)
    mixed: MixedSection = Field(default_factory=MixedSection)

    @model_serializer(mode="wrap")
    def _without_the_usual(self, handler):
        usual = {"soft_dice": SoftDiceSection().model_dump(), "mixed": MixedSection().model_dump()}
        return without(handler(self), **usual, study_weights="posterior")
