"""The recipe's section `attribution`: an image classifier, its attribution, and how that becomes marks that
teach.
"""

from typing import Annotated, Literal

from pydantic import Field, model_serializer

from clamnet_tf.recipe.schema_pairs import AugmentationSection, MatchingSection, OptimizerSection
from clamnet_tf.recipe.section import Fraction, NonNegative, PositiveCount, Probability, Section, without


class ErasureSection(Section):
    """Negative pairs of the classifier: an abnormal slice beside the same slice with the found region
    removed.
    """

    weight: NonNegative = Field(
        0.0, description="Weight of the term that asks the erased slice to score as normal; 0 for none."
    )
    share: Probability = Field(
        0.06, description="Share of the organ that is erased, highest attribution first."
    )
    start: Fraction = Field(0.5, description="Fraction of the steps after which the term begins.")


class ClassifierSection(Section):
    """Image classifiers whose score pools an evidence map."""

    networks: Annotated[int, Field(ge=1, le=4)] = Field(
        2,
        description="Classifiers of different initial weights, each trained on its own view; their "
        "attributions are combined.",
    )
    backbone: Literal["residual", "efficientnet_lite0"] = Field(
        "residual",
        description="residual: blocks of the keys below, trained from random weights; efficientnet_lite0: "
        "EfficientNet-Lite0 (Tan 2019) "
        "that begins with ImageNet weights, for small sets of large images.",
    )
    frozen_blocks: Annotated[int, Field(ge=0, le=16)] = Field(
        3,
        description="Of efficientnet_lite0: the stem and this many of its 16 blocks keep their ImageNet "
        "weights; 0 trains everything.",
    )
    filters: list[PositiveCount] = Field(
        default_factory=lambda: [32, 64, 128], description="Filters per level; each level halves the sides."
    )
    blocks: list[PositiveCount] = Field(
        default_factory=lambda: [1, 2, 2], description="Residual blocks per level."
    )
    norm: Literal["batch", "group", "none"] = Field(
        "batch",
        description="Normalisation. Group norm lets one place speak for all others: its attribution is "
        'misplaced (docs/method.md, "When the lesion is a shape").',
    )
    stem_stride: Literal[1, 2] = Field(1, description="Stride of the first convolution; 2 for large slices.")
    sharpness: Annotated[float, Field(ge=0.1, le=50.0)] = Field(
        4.0, description="r of the log-sum-exp that pools the evidence map."
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="Spatial dropout before the evidence map."
    )
    erasure: ErasureSection = Field(default_factory=ErasureSection)
    steps: PositiveCount = Field(400, description="Optimizer steps.")
    batch_size: Annotated[int, Field(ge=2)] = Field(
        32, description="Slices per step, half abnormal, half normal."
    )
    optimizer: OptimizerSection = Field(
        default_factory=lambda: OptimizerSection(name="adamw", learning_rate=2e-3, weight_decay=1e-4),
        description="Optimizer and schedule.",
    )
    augmentation: AugmentationSection = Field(
        default_factory=AugmentationSection, description="Random views, as in pairs.augmentation."
    )
    matching: MatchingSection = Field(
        default_factory=lambda: MatchingSection(on="none", same_site=False),
        description="How a normal slice is drawn for each abnormal one.",
    )

    @model_serializer(mode="wrap")
    def _without_the_usual_backbone(self, handler):
        content = handler(self)
        if self.backbone != "residual":
            return content
        return without(content, backbone="residual", frozen_blocks=3)


Outline = Literal["none", "halfway", "border_contrast", "random_walker", "geodesic"]


def _outlines() -> list[Outline]:
    return ["halfway", "geodesic"]


class RefinementSection(Section):
    """How the image's own intensities turn the blobs of an attribution into outlines."""

    methods: list[Outline] = Field(
        default_factory=_outlines,
        description="Each outlines the lesion in its own way; what most of them agree on is taught, what "
        "they dispute is ignored. "
        "none: the marked share itself.",
    )
    channel: Annotated[int, Field(ge=0)] = Field(
        0, description="Channel whose intensities outline the lesion, after data.channels."
    )
    reach: NonNegative = Field(
        5.0,
        description="How far an outline may extend beyond the marked share, in pixels of a prepared slice.",
    )
    smoothing: NonNegative = Field(
        0.5, description="Deviation of a Gaussian on the intensities before, in pixels of a prepared slice."
    )
    doubtful: Annotated[float, Field(ge=0.0, lt=0.5)] = Field(
        0.25,
        description="A pixel is ignored when the share of methods that include it lies strictly between "
        "this and 1 less this.",
    )
    volume: bool = Field(
        False, description="Outline in three dimensions, over neighbouring abnormal slices of a volume."
    )
    parts: Annotated[int, Field(ge=1, le=8)] = Field(
        1, description="Most separate parts of a lesion that are outlined in one slice or volume."
    )


class AttributionSection(Section):
    """The attribution of an image classifier as a teacher (docs/method.md, "When the lesion is a shape")."""

    classifier: ClassifierSection = Field(default_factory=ClassifierSection)
    method: Literal["gradient_input", "occlusion", "integrated_gradients", "grad_cam", "layer_cam"] = Field(
        "gradient_input",
        description="gradient_input: positive part of gradient x (input - baseline), averaged over noisy "
        "copies (Shrikumar 2017, Smilkov 2017); "
        "occlusion (Zeiler 2014); integrated_gradients (Sundararajan 2017); grad_cam (Selvaraju 2017); "
        "layer_cam (Jiang 2021).",
    )
    baseline: Literal["black", "mean", "surroundings"] = Field(
        "black",
        description="What an absent lesion looks like: black, the darkest value of the slice's organ; mean, "
        "the organ's mean; surroundings, the slice "
        "heavily smoothed. Lungs: black.",
    )
    copies: Annotated[int, Field(ge=1, le=64)] = Field(
        16, description="Noisy copies per slice, or steps of integrated gradients."
    )
    noise: NonNegative = Field(0.3, description="Deviation of the copies' noise, in normalised units.")
    windows: list[PositiveCount] = Field(
        default_factory=lambda: [7, 11, 15], description="Sides of the windows of occlusion, in pixels."
    )
    smoothing: NonNegative = Field(
        2.5, description="Deviation of a Gaussian on the attribution, in pixels of a prepared slice."
    )
    share: Probability | None = Field(
        None,
        description="Share of the organ in an abnormal training slice, highest attribution first, that is "
        "marked; null: selection.prevalence.",
    )
    least_score: Fraction = Field(
        0.5,
        description="Abnormal training slices whose P(abnormal) by the classifier is lower are ignored: it "
        "does not see their lesion.",
    )
    refinement: RefinementSection = Field(default_factory=RefinementSection)
