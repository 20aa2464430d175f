"""A segmentation network on an encoder with ImageNet weights: one coarse map of evidence, enlarged.

For small sets of large images, where a grid from random weights learns nothing. The encoder's features are
normalised per channel, and one 1x1 convolution turns them into the logit of P(lesion) at every place. With a
comparison it also sees how the features differ from those of another image of the same anatomy, such as the
other breast: what both show is anatomy, what one shows alone may be a lesion.
"""

import keras
import numpy as np
from keras import layers

from clamnet_tf.errors import NetworkError
from clamnet_tf.networks.efficientnet_lite import connect_efficientnet_lite0, stride_after
from clamnet_tf.networks.grid import check_channels
from clamnet_tf.networks.imagenet_weights import load_imagenet_weights

#: Side of the square of places over which the other image's features are averaged before they are compared:
#: two breasts are never equal place by place.
SURROUNDINGS = 5
#: Share of training images whose comparison is left out, as it is for a patient with one image.
LEFT_OUT = 0.1
_OTHER = "other_encoder"
_PRESENT = "other_any_signal"
_STEEPNESS = 1000.0  # a highest value of 0.006 or more, in normalised units, counts as an image


def build_pretrained_network(section, *, side: int, channels: int, name: str | None = None) -> keras.Model:
    """Build the network of a NetworkSection with a section `pretrained`, its encoder with ImageNet weights.

    Args:
        section: recipe section `network`; pretrained and dropout count, the keys of the grid do not.
        side: side of the input in pixels, divisible by the encoder's stride.
        channels: channels of the input. With pretrained.comparison, the first half is the image and the
            second half the one that it is compared with, or 0 where there is none.
        name: name of the model; None: efficientnet_lite0_b followed by the number of blocks.

    Returns:
        A model with the input `image`, (batch, side, side, channels) float32 of about zero mean and unit
        deviation, and the output "head_1", (batch, side, side, 1) float32 sigmoid P(lesion), interpolated
        from a map of side / stride places.

    Raises:
        NetworkError: the side is not a multiple of the stride, there is no channel, a comparison has an odd
            number of channels or blocks that are trained, or the ImageNet weights are not installed.

    Examples:
        >>> from clamnet_tf.recipe.schema_network import NetworkSection
        >>> section = NetworkSection(pretrained={"blocks": 11}, output="sigmoid")
        >>> build_pretrained_network(section, side=96, channels=1).output_shape
        {'head_1': (None, 96, 96, 1)}
    """
    own = section.pretrained
    check_channels(channels)
    image = keras.Input((side, side, channels), name="image")
    features = connect_efficientnet_lite0(image, blocks=own.blocks, frozen=own.frozen_blocks)
    x = layers.BatchNormalization(scale=False, center=False, name="features_norm")(features)
    if own.comparison:
        _check_comparison(own, channels)
        x = layers.Concatenate(name="features_joined")([x, _difference(image, features, own)])
    if section.dropout:
        x = layers.SpatialDropout2D(section.dropout, name="features_dropout")(x)
    evidence = layers.Conv2D(1, 1, dtype="float32", kernel_initializer="zeros", name="evidence")(x)
    logits = layers.UpSampling2D(
        stride_after(own.blocks), interpolation="bilinear", dtype="float32", name="head_1_logits"
    )(evidence)
    probability = layers.Activation("sigmoid", dtype="float32", name="head_1")(logits)
    default_name = f"efficientnet_lite0_b{own.blocks}" + ("_comparison" if own.comparison else "")
    network = keras.Model(image, {"head_1": probability}, name=name or default_name)
    if not own.comparison:
        load_imagenet_weights(network)
        return network
    half = channels // 2
    load_imagenet_weights(network, sees=(0, half))
    load_imagenet_weights(network, prefix=_OTHER, sees=(half, channels))
    kernel = np.zeros((1, 1, channels, 1), np.float32)
    kernel[:, :, half:] = _STEEPNESS
    network.get_layer(_PRESENT).set_weights([kernel])
    return network


def _difference(image, features, own):
    """Return how features differ from the other image's around the same place, normalised per channel; 0
    where there is no other image.

    The encoder stands twice in the graph with the same weights, both frozen: each layer has one input and one
    output, as folding and ONNX need it. Which half of the channels it sees is a matter of its first kernels.
    """
    other = connect_efficientnet_lite0(image, blocks=own.blocks, frozen=own.blocks, prefix=_OTHER)
    around = layers.AveragePooling2D(SURROUNDINGS, strides=1, padding="same", name="other_average")(other)
    x = layers.Subtract(name="difference")([features, around])
    x = layers.BatchNormalization(scale=False, center=False, name="difference_norm")(x)
    highest = layers.GlobalMaxPooling2D(keepdims=True, name="other_highest")(image)
    signal = layers.Conv2D(1, 1, use_bias=False, trainable=False, name=_PRESENT)(highest)
    limited = layers.Activation("relu6", name="other_limited")(signal)
    present = layers.Rescaling(1 / 6, name="other_present")(limited)
    x = layers.Multiply(name="difference_present")([x, present])
    return layers.Dropout(LEFT_OUT, noise_shape=(None, 1, 1, 1), name="difference_left_out")(x)


def _check_comparison(own, channels: int) -> None:
    if channels % 2:
        raise NetworkError(
            "network.pretrained.comparison: expected an even number of channels, those of the image and as "
            f"many of the image that it is compared with; received {channels}."
        )
    if own.frozen_blocks != own.blocks:
        raise NetworkError(
            "network.pretrained.comparison: expected frozen_blocks to be equal to blocks, since the same "
            f"weights see both images; received {own.frozen_blocks} of {own.blocks}."
        )
