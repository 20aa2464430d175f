"""The recipe's sections on the network grid."""

from typing import Annotated, Literal

from pydantic import Field, model_serializer

from clamnet_tf.recipe.network_blocks import BLOCKS
from clamnet_tf.recipe.section import NonNegative, PositiveCount, Section, Seed, without


class DuplicateSection(Section):
    """Levels that get two subsequent blocks of equal size. [2]"""

    levels: Literal["random"] | list[Annotated[int, Field(ge=0)]] = Field(
        default_factory=list,
        description="Level numbers (0 = full resolution), or random; the drawn levels are written into the "
        "resolved recipe.",
    )
    count: Annotated[int, Field(ge=0, le=7)] = Field(1, description="How many levels to draw when random.")
    seed: Seed = Field(0, description="Seed of the draw.")


class PretrainedSection(Section):
    """An encoder with ImageNet weights in place of the grid; its evidence map is enlarged to the slice."""

    encoder: Literal["efficientnet_lite0"] = Field(
        "efficientnet_lite0",
        description="EfficientNet-Lite0 (Tan 2019); it expects images of about zero mean and unit deviation.",
    )
    blocks: Annotated[int, Field(ge=1, le=16)] = Field(
        11,
        description="How many of its 16 blocks are used. Pixels per place of the map: 2 after block 1, 4 "
        "after 3, 8 after 5, 16 after 11, 32 after 16.",
    )
    frozen_blocks: Annotated[int, Field(ge=0, le=16)] = Field(
        11,
        description="The stem and this many blocks keep their ImageNet weights; 0 trains everything.",
    )
    comparison: bool = Field(
        False,
        description="Whether the evidence is also read from the features' difference from those of the "
        "other image that data.contralateral adds, averaged over 5 x 5 places; needs all blocks frozen.",
    )

    @model_serializer(mode="wrap")
    def _without_a_comparison(self, handler):
        return without(handler(self), comparison=False)


class NetworkSection(Section):
    """The UNet++ grid. [1, 2, 3]"""

    depth: Annotated[int, Field(ge=1, le=7)] = Field(
        5,
        description="Rows of the grid: depth d has heads on X[0,1]..X[0,d-1] (d = 1: one head on X[0,0]). "
        "The paper has 5.",
    )
    filters: list[PositiveCount] = Field(
        default_factory=lambda: [16, 32, 64, 128, 256], description="Filters per level."
    )
    kernels: list[PositiveCount] = Field(
        default_factory=lambda: [3, 3, 5, 5, 7], description="Odd kernel side per level."
    )
    down: Literal["stride", "pool"] = Field(
        "stride",
        description="Halve by stride 2 in the second convolution (paper) or by max-pooling (original).",
    )
    up: Literal["transpose", "bilinear"] = Field(
        "transpose", description="2x2 stride-2 transposed convolution, or bilinear upsampling."
    )
    block: Literal[tuple(BLOCKS)] = Field(  # type: ignore[valid-type]
        "plain",
        description="What a node is made of: plain (two convolutions), or residual (He 2016: what goes in "
        "is added, by a 1x1 convolution where it must).",
    )
    norm: Literal["group", "batch", "instance", "none"] = Field(
        "group", description="Normalisation after each convolution."
    )
    activation: Literal["relu", "leaky_relu", "gelu", "silu"] = Field(
        "relu", description="Activation after each normalisation."
    )
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="Spatial dropout after each node."
    )
    l2: NonNegative = Field(0.0, description="L2 penalty on convolution kernels.")
    skips: Literal["nested", "plain"] = Field(
        "nested", description="nested = UNet++; plain = U-Net (one head)."
    )
    duplicate: DuplicateSection = Field(default_factory=DuplicateSection)
    classes: Annotated[int, Field(ge=2, le=64)] = Field(
        2, description="Background and the lesion classes. [8]"
    )
    output: Literal["softmax", "sigmoid"] = Field(
        "softmax",
        description="softmax over all classes, or one sigmoid channel (2 classes; the original UNet++).",
    )

    pretrained: PretrainedSection | None = Field(
        None,
        description="An encoder with ImageNet weights in place of the grid, whose keys are left out then: "
        "for small sets of large images. null: the grid.",
    )

    @model_serializer(mode="wrap")
    def _without_the_usual_block(self, handler):
        return without(handler(self), block="plain", pretrained=None)
