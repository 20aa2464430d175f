"""Build the residual block: two convolutions whose result is added to their input before the last activation.

See He 2016. Where the block changes the number of channels or halves the map, a 1 x 1 convolution with the
block's norm adapts the shortcut; it halves by taking every other pixel, the first one of each square.
"""

from collections.abc import Iterator
from typing import Any

from clamnet_tf.networks import plain_block
from clamnet_tf.networks.cost import Cost, convolution_cost
from clamnet_tf.networks.grid import Node
from clamnet_tf.recipe.schema import NetworkSection


def build(x, node: Node, *, down: str, norm: str, activation: str, l2: float, last: str | None):
    """Chain the residual blocks of a node; see recipe.network_blocks.Block."""
    from keras import layers  # only building needs Keras

    from clamnet_tf.networks import blocks

    settings: dict[str, Any] = {"norm": norm, "l2": l2, "filters": node.filters}
    for block in range(1, node.blocks + 1):
        number, second = 2 * block - 1, 2 * block
        y = blocks.convolution(
            x,
            **settings,
            kernel=node.kernel,
            stride=node.stride(number, down),
            activation=activation,
            prefix=node.name,
            number=number,
        )
        stride = node.stride(second, down)
        y = blocks.normalised(
            y, **settings, kernel=node.kernel, stride=stride, prefix=node.name, number=second
        )
        if stride != 1 or x.shape[-1] != node.filters:
            x = blocks.normalised(
                x, **settings, kernel=1, stride=stride, prefix=f"{node.name}_shortcut", number=block
            )
        x = layers.Add(name=f"{node.name}_add_{block}")([x, y])
        name = last if block == node.blocks else None
        x = layers.Activation(
            blocks.ACTIVATIONS[activation], name=name or f"{node.name}_activation_{second}"
        )(x)
    return x


def receptive_field(interval: tuple[int, int], node: Node, down: str) -> tuple[int, int]:
    """Return the receptive field of the convolutions, which contains the one pixel of the shortcut."""
    return plain_block.receptive_field(interval, node, down)


def cost(section: NetworkSection, node: Node, received: int, side: int) -> Iterator[Cost]:
    """Yield the cost of each convolution with its norm, shortcuts included.

    Additions of maps are left out.
    """
    yield from plain_block.cost(section, node, received, side)
    if received != node.filters or node.stride(2, section.down) == 2:
        yield convolution_cost(received, node.filters, 1, side, section.norm)
