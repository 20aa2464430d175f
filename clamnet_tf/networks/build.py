"""Build a Keras model from the network section of a recipe."""

import keras

from clamnet_tf.networks import blocks
from clamnet_tf.networks.grid import check_channels, check_side, full_name, grid_of
from clamnet_tf.networks.pretrained_network import build_pretrained_network
from clamnet_tf.networks.unet_plus_plus import connect_grid
from clamnet_tf.recipe.schema import NetworkSection


def build_network(
    section: NetworkSection, *, side: int, channels: int, name: str | None = None
) -> keras.Model:
    """Build the functional model of a network section from stock Keras layers.

    Args:
        section: recipe section `network`.
        side: side of the input in pixels, divisible by 2**(depth - 1).
        channels: channels of the input.
        name: beginning of the model's name; None: unet_plus_plus, or unet for plain skips. Depth and
            duplicated levels follow: unet_plus_plus_d5_dup1-3.

    Returns:
        A model with the input `image`, (batch, side, side, channels) float32, normalised as the recipe's data
        section says, and a dict of outputs "head_1", "head_2" ..: (batch, side, side, classes) float32
        softmax probabilities, class 0 the background; or (batch, side, side, 1) sigmoid P(lesion).

    Raises:
        NetworkError: the section is impossible, the side cannot be halved often enough, or there is no
            channel.

    Examples:
        >>> section = NetworkSection(depth=3, filters=[8, 16, 32], kernels=[3, 3, 5])
        >>> network = build_network(section, side=64, channels=1)
        >>> {name: output.shape for name, output in network.output.items()}
        {'head_1': (None, 64, 64, 2), 'head_2': (None, 64, 64, 2)}
    """
    if section.pretrained is not None:
        return build_pretrained_network(section, side=side, channels=channels, name=name)
    grid = grid_of(section)
    check_side(side, section.depth)
    check_channels(channels)
    image = keras.Input((side, side, channels), name="image")
    tensors = connect_grid(
        image,
        grid,
        block=section.block,
        down=section.down,
        up=section.up,
        norm=section.norm,
        activation=section.activation,
        dropout=section.dropout,
        l2=section.l2,
    )
    outputs = {
        f"head_{number}": blocks.head(
            tensors[place],
            classes=section.classes,
            output=section.output,
            l2=section.l2,
            name=f"head_{number}",
        )
        for number, place in grid.heads.items()
    }
    return keras.Model(image, outputs, name=full_name(section, grid, name))


def head_names(outputs) -> list[str]:
    """Return "head_1", "head_2" .. of a network's output dict, in the order of their numbers."""
    return sorted(outputs, key=lambda name: int(name.rsplit("_", 1)[1]))


def logits_network(network: keras.Model) -> keras.Model:
    """Return the same layers and weights, ending before softmax or sigmoid: a dict of float32 logits with the
    same keys.

    Works on a built or a reloaded network, also on a pruned one.
    """
    outputs = {key: network.get_layer(f"{key}_logits").output for key in network.output}
    return keras.Model(network.input, outputs, name=f"{network.name}_logits")


def original_section(depth: int = 5) -> NetworkSection:
    """Return the settings of the original UNet++ (Zhou 2018), first `depth` levels.

    They give the parameter and operation counts in docs/method.md, section "Idea".
    """
    return NetworkSection(
        depth=depth,
        filters=[32, 64, 128, 256, 512, 1024, 2048][:depth],
        kernels=[3] * depth,
        down="pool",
        up="transpose",
        norm="none",
        activation="relu",
        output="sigmoid",
    )


#: The original UNet++ of five levels; build it with one input channel.
ORIGINAL = original_section()
