"""Count parameters and floating-point operations of the grid, layer by layer, without TensorFlow.

The convention is that of the counts in docs/method.md, section "Idea": a multiply-add is 2 operations and
adding a bias is 1; activations, norms, pooling, interpolation and softmax are left out. One GFLOP is 1e9
operations.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from clamnet_tf.networks.grid import Grid, Node
from clamnet_tf.recipe.network_blocks import BLOCKS
from clamnet_tf.recipe.schema import NetworkSection

#: Weights per channel of each norm, moving statistics of the batch norm included, as Keras counts them.
NORM_WEIGHTS = {"group": 2, "instance": 2, "batch": 4, "none": 0}


@dataclass(frozen=True)
class Cost:
    """Weights (trainable or not) and operations of a forward pass of one image."""

    parameters: int = 0
    operations: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.operations + other.operations)

    @property
    def gflop(self) -> float:
        return self.operations / 1e9


def network_cost(section: NetworkSection, grid: Grid, heads, *, side: int, channels: int) -> Cost:
    """Return the cost of the network that holds these heads and the nodes they need.

    For all heads it is the full network.
    """
    places = {node.place for head in heads for node in grid.needed(head)}
    costs = [
        node_cost(section, grid, grid.nodes[place], side=side, channels=channels) for place in sorted(places)
    ]
    outputs = 1 if section.output == "sigmoid" else section.classes
    costs += [_layer(section.filters[0], outputs, 1, side, bias=True) for _ in heads]
    return sum(costs, Cost())


def node_cost(section: NetworkSection, grid: Grid, node: Node, *, side: int, channels: int) -> Cost:
    """Return the cost of one node: its up step, convolutions and norms. `side` and `channels` are the
    image's.
    """
    return sum(_node_layers(section, grid, node, side, channels), Cost())


def _node_layers(section: NetworkSection, grid: Grid, node: Node, side: int, channels: int) -> Iterator[Cost]:
    size = side >> node.row
    received = sum(grid.nodes[place].filters for place in node.sources) if node.sources else channels
    if node.below is not None and section.up == "transpose":
        below = grid.nodes[node.below].filters
        received += node.filters - below
        # Each output pixel of a 2 x 2 transposed convolution of stride 2 comes from one input pixel.
        yield Cost(4 * below * node.filters + node.filters, size**2 * (2 * below + 1) * node.filters)
    yield from BLOCKS[section.block].cost(section, node, received, size)


def convolution_cost(received: int, filters: int, kernel: int, size: int, norm: str) -> Cost:
    """Return the cost of a convolution and of the norm after it.

    Args:
        received: channels of the input.
        filters: channels of the result.
        kernel: side of the kernel, in pixels.
        size: side of the result, in pixels.
        norm: key of NORM_WEIGHTS.
    """
    return _layer(received, filters, kernel, size, bias=norm == "none") + Cost(
        parameters=NORM_WEIGHTS[norm] * filters
    )


def _layer(received: int, filters: int, kernel: int, size: int, *, bias: bool) -> Cost:
    """Return the cost of a convolution that writes `filters` channels of size x size pixels."""
    weights = kernel**2 * received * filters
    return Cost(weights + bias * filters, size**2 * (2 * weights + bias * filters))
