"""Compute receptive fields by exact interval propagation over the node grid, without TensorFlow.

An interval (first, last) of output positions along one axis needs an interval of every source; following a
head back to the image gives all pixels that can change one output pixel. Padding conventions are those of
Keras, so that the intervals equal what the built network does (tested against its gradients):
convolution, stride 1: kernel // 2 to both sides; stride 2 on an even map: (kernel - 2) // 2 before, the rest
after; max-pool: 2m, 2m+1; 2 x 2 transposed convolution: o // 2; bilinear: (o - 1) // 2 .. (o + 1) // 2.
Norms that take statistics over the map (group, instance; batch in training) depend on the whole image
besides; this is not counted.
"""

from typing import NamedTuple

from clamnet_tf.networks.grid import Grid
from clamnet_tf.recipe.network_blocks import BLOCKS

Interval = tuple[int, int]


class ReceptiveField(NamedTuple):
    """Side in pixels of the square of the image that one output pixel depends on.

    It differs between positions.
    """

    mean: float
    smallest: int
    largest: int


def receptive_field(grid: Grid, head: int, *, down: str, up: str, block: str = "plain") -> ReceptiveField:
    """Return the receptive field of a head: mean, smallest and largest over pixel positions.

    docs/method.md, section "Idea", lists the means for stride down and bilinear up: 15, 35, 75, 155 for heads
    1-4 with kernels of 3.
    """
    sides = [end - start + 1 for start, end in pixel_intervals(grid, head, down=down, up=up, block=block)]
    return ReceptiveField(sum(sides) / len(sides), min(sides), max(sides))


def pixel_intervals(grid: Grid, head: int, *, down: str, up: str, block: str = "plain") -> list[Interval]:
    """Return the first and last input position that each output position of a head depends on.

    Output positions are 0, 1 .. 2**(depth-1) - 1; then the pattern repeats. Input positions are relative to
    an unbounded image: they may be negative.
    """
    nodes = grid.needed(head)
    intervals = []
    for position in range(2 ** (grid.depth - 1)):
        wanted = {grid.heads[head]: (position, position)}
        for node in reversed(nodes):
            inside = BLOCKS[block].receptive_field(wanted[node.place], node, down)
            if node.above is not None:
                _widen(wanted, node.above, (2 * inside[0], 2 * inside[1] + 1) if down == "pool" else inside)
            for place in node.skips:
                _widen(wanted, place, inside)
            if node.below is not None:
                reach = 1 if up == "bilinear" else 0
                _widen(wanted, node.below, ((inside[0] - reach) // 2, (inside[1] + reach) // 2))
            if not node.sources:
                intervals.append(inside)
    return intervals


def _widen(wanted: dict, place, interval: Interval) -> None:
    """Grow the wanted interval of a node so that it also holds the interval of another user."""
    start, end = wanted.get(place, interval)
    wanted[place] = min(start, interval[0]), max(end, interval[1])
