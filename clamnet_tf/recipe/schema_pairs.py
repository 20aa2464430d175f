"""The recipe's sections on how slices are drawn, paired and augmented, and how weights are updated."""

from typing import Annotated, Literal

from pydantic import Field, model_serializer

from clamnet_tf.recipe.section import (
    Fraction,
    FractionRange,
    NonNegative,
    Positive,
    PositiveRange,
    Section,
    without,
)


class AugmentationSection(Section):
    """Random views of one slice, drawn from the same distribution for both classes. [6]"""

    blur: FractionRange = Field(
        (0.9, 1.0), description="Range of the resolution kept, relative to the original."
    )
    stretch: FractionRange = Field(
        (0.8, 1.0), description="Range of the compressed height and width, relative."
    )
    restore: Literal["resize", "pad", "random"] = Field(
        "random", description="After compression: resize back, pad back, or either at random."
    )
    flip: bool = Field(True, description="Random left-right flips.")
    rotate_degrees: Annotated[float, Field(ge=0.0, le=180.0)] = Field(
        0.0, description="Random rotation up to this angle, in degrees."
    )
    zoom: PositiveRange = Field((1.0, 1.0), description="Range of a random isotropic zoom.")
    intensity: NonNegative = Field(
        0.1, description="Scale of random brightness and contrast changes, per channel; 0 for none."
    )
    noise: NonNegative = Field(0.0, description="Deviation of added Gaussian noise, in normalised units.")
    channel_loss: Fraction = Field(
        0.0,
        description="Probability that one channel is replaced by another: the missing sequence of real "
        "archives.",
    )
    main_channel: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Channel that fills the place of a lost one, or of all others; null: any one by any "
        "other. kaggle_3m: 1, FLAIR.",
    )
    rand_augment: Fraction = Field(
        0.0,
        description="Strength of keras-cv's RandAugment on intensities; 0 for none. Its draws do not repeat: "
        "a resumed run is then not identical.",
    )
    quarter_turns: bool = Field(
        False, description="Random quarter turns and upside-down flips: for images without an up and down."
    )
    shift: Annotated[float, Field(ge=0.0, le=0.5)] = Field(
        0.0, description="Largest random shift along rows and columns, as a fraction of the side."
    )

    @model_serializer(mode="wrap")
    def _without_absent_turns(self, handler):
        return without(handler(self), quarter_turns=False, shift=0.0)


class MatchingSection(Section):
    """How a normal slice is drawn for each abnormal one. [7]"""

    on: Literal["position", "area", "none"] = Field(
        "area", description="Match on slice position in the volume, on organ area, or not at all."
    )
    tolerance: Positive = Field(
        0.1,
        description="Deviation of the Gaussian weight on the difference, in units of the matched quantity "
        "(0..1).",
    )
    same_site: bool = Field(True, description="Prefer normals of the same site (institution, scanner).")


class PairsSection(Section):
    """How slices are paired."""

    augmentation: AugmentationSection = Field(default_factory=AugmentationSection)
    matching: MatchingSection = Field(default_factory=MatchingSection)


class OptimizerSection(Section):
    """Optimizer and schedule."""

    name: Literal["adam", "adamw", "sgd", "lion"] = Field(
        "adam", description="Optimizer; weight decay needs adamw, lion or sgd."
    )
    learning_rate: Positive = Field(1e-3, description="Peak learning rate.")
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="Constant, or cosine to 1 % of the peak."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(0, description="Linear warm-up, in steps.")
    weight_decay: NonNegative = Field(0.0, description="Decoupled weight decay (adamw, lion, sgd).")
    clip_norm: NonNegative = Field(
        1.0, description="Clip the global gradient norm to this; 0 for no clipping."
    )
