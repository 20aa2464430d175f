"""Build the plain block: two convolutions, each with norm and activation (the paper's and UNet++'s)."""

from collections.abc import Iterator

from clamnet_tf.networks.cost import Cost, convolution_cost
from clamnet_tf.networks.grid import Node
from clamnet_tf.recipe.schema import NetworkSection


def build(x, node: Node, *, down: str, norm: str, activation: str, l2: float, last: str | None):
    """Chain the convolutions of a node; see recipe.network_blocks.Block."""
    from clamnet_tf.networks import blocks  # Keras, which only building needs

    count = 2 * node.blocks
    for number in range(1, count + 1):
        x = blocks.convolution(
            x,
            filters=node.filters,
            kernel=node.kernel,
            stride=node.stride(number, down),
            norm=norm,
            activation=activation,
            l2=l2,
            prefix=node.name,
            number=number,
            last=last if number == count else None,
        )
    return x


def receptive_field(interval: tuple[int, int], node: Node, down: str) -> tuple[int, int]:
    """Follow an interval of the node's result back through its convolutions, with the padding of Keras."""
    start, end = interval
    for number in range(2 * node.blocks, 0, -1):
        if node.stride(number, down) == 2:
            before = max(node.kernel - 2, 0) // 2
            start, end = 2 * start - before, 2 * end - before + node.kernel - 1
        else:
            start, end = start - node.kernel // 2, end + node.kernel // 2
    return start, end


def cost(section: NetworkSection, node: Node, received: int, side: int) -> Iterator[Cost]:
    """Yield the cost of each convolution with its norm."""
    for number in range(1, 2 * node.blocks + 1):
        before_halving = number == 1 and node.stride(2, section.down) == 2
        yield convolution_cost(
            received, node.filters, node.kernel, 2 * side if before_halving else side, section.norm
        )
        received = node.filters
