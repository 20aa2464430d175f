"""A segmentation network on an encoder with ImageNet weights: one coarse map of evidence, enlarged.

For small sets of large images, where a grid from random weights learns nothing. The encoder's features are
normalised per channel, and one 1x1 convolution turns them into the logit of P(lesion) at every place.
"""

import keras
from keras import layers

from clamnet_tf.networks.efficientnet_lite import connect_efficientnet_lite0, stride_after
from clamnet_tf.networks.grid import check_channels
from clamnet_tf.networks.imagenet_weights import load_imagenet_weights


def build_pretrained_network(section, *, side: int, channels: int, name: str | None = None) -> keras.Model:
    """Build the network of a NetworkSection with a section `pretrained`, its encoder with ImageNet weights.

    Args:
        section: recipe section `network`; pretrained and dropout count, the keys of the grid do not.
        side: side of the input in pixels, divisible by the encoder's stride.
        channels: channels of the input.
        name: name of the model; None: efficientnet_lite0_b followed by the number of blocks.

    Returns:
        A model with the input `image`, (batch, side, side, channels) float32 of about zero mean and unit
        deviation, and the output "head_1", (batch, side, side, 1) float32 sigmoid P(lesion), interpolated
        from a map of side / stride places.

    Raises:
        NetworkError: the side is not a multiple of the stride, there is no channel, or the ImageNet weights
            are not installed.

    Examples:
        >>> from clamnet_tf.recipe.schema_network import NetworkSection
        >>> section = NetworkSection(pretrained={"blocks": 11}, output="sigmoid")
        >>> build_pretrained_network(section, side=96, channels=1).output_shape
        {'head_1': (None, 96, 96, 1)}
    """
    own = section.pretrained
    check_channels(channels)
    image = keras.Input((side, side, channels), name="image")
    x = connect_efficientnet_lite0(image, blocks=own.blocks, frozen=own.frozen_blocks)
    x = layers.BatchNormalization(scale=False, center=False, name="features_norm")(x)
    if section.dropout:
        x = layers.SpatialDropout2D(section.dropout, name="features_dropout")(x)
    evidence = layers.Conv2D(1, 1, dtype="float32", kernel_initializer="zeros", name="evidence")(x)
    logits = layers.UpSampling2D(
        stride_after(own.blocks), interpolation="bilinear", dtype="float32", name="head_1_logits"
    )(evidence)
    probability = layers.Activation("sigmoid", dtype="float32", name="head_1")(logits)
    network = keras.Model(image, {"head_1": probability}, name=name or f"efficientnet_lite0_b{own.blocks}")
    load_imagenet_weights(network)
    return network
