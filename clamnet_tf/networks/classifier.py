"""Build an image classifier on the encoder of the grid, column X[i,0]; its activation maps are a baseline."""

import keras
from keras import layers

from clamnet_tf.networks import blocks
from clamnet_tf.networks.grid import check_channels, check_side, encoder_of, full_name, grid_of
from clamnet_tf.networks.unet_plus_plus import connect_grid
from clamnet_tf.recipe.schema import NetworkSection

#: Key of the classifier's only output.
SCORE = "classifier"


def build_classifier(
    section: NetworkSection, *, side: int, channels: int, name: str | None = None
) -> keras.Model:
    """Build the classifier of a network section with the nodes and layer names of the UNet++'s first column.

    The score is the sigmoid of layer `classifier_logits`: one weight per filter of the deepest node, averaged
    over the whole map. This is plain global average pooling (Zhou 2016) and not pooling over the organ:
    outside of the organ prepared slices are 0, the network keeps the image as its only input, and activation
    maps have their textbook form. Only stock Keras layers are used.

    Args:
        section: recipe section `network`.
        side: side of the input in pixels, divisible by 2**(depth - 1).
        channels: channels of the input.
        name: beginning of the model's name; None: classifier.

    Returns:
        A model with the input `image`, (batch, side, side, channels) float32, and the output {"classifier":
        (batch, 1) float32, P(abnormal)}.

    Raises:
        NetworkError: the section is impossible, the side cannot be halved often enough, or there is no
            channel.
    """
    grid = grid_of(section)
    check_side(side, section.depth)
    check_channels(channels)
    image = keras.Input((side, side, channels), name="image")
    tensors = connect_grid(
        image,
        encoder_of(grid),
        block=section.block,
        down=section.down,
        up=section.up,
        norm=section.norm,
        activation=section.activation,
        dropout=section.dropout,
        l2=section.l2,
    )
    pooled = layers.GlobalAveragePooling2D(dtype="float32", name="pooled")(tensors[section.depth - 1, 0])
    logits = layers.Dense(
        1, kernel_regularizer=blocks.penalty(section.l2), dtype="float32", name=f"{SCORE}_logits"
    )(pooled)
    score = layers.Activation("sigmoid", dtype="float32", name=SCORE)(logits)
    return keras.Model(image, {SCORE: score}, name=full_name(section, grid, name or "classifier"))


def is_classifier(network: keras.Model) -> bool:
    """Tell whether a built or reloaded network is a classifier and not one with heads."""
    return set(network.output) == {SCORE}


def has_heads(network: keras.Model) -> bool:
    """Tell whether a built or reloaded network marks lesions itself, by heads, and does not classify."""
    return isinstance(network.output, dict) and all(name.startswith("head_") for name in network.output)


def levels(network: keras.Model) -> int:
    """Return how many levels the encoder of a classifier has."""
    names = {layer.name for layer in network.layers}
    return next(level for level in range(len(names)) if f"x_{level}_0" not in names)
