"""The table of blocks that a node of the grid may be made of (`network.block`), one entry each.

To add a block, write build, receptive_field and cost into a module of its own in `networks`, as
plain_block.py does, and enter it below. Recipes take the name; tests/networks build, save and count every
entry.
"""

from dataclasses import dataclass

from clamnet_tf.deferred import Deferred


@dataclass(frozen=True)
class Block:
    """Holds what a node computes from its joined input; `node` is a networks.grid.Node, whose `blocks` (1 or
    2) says how often.

    Attributes:
        words: what it is, in tables and drawings.
        build: (x, node, *, down, norm, activation, l2, last) -> tensor (batch, height, width, node.filters);
            the layer that gives it is called `last`, or anything for None. Stock Keras layers of
            networks.saved.ALLOWED only.
        receptive_field: (interval, node, down) -> first and last position of the joined input that positions
            first..last of the result can see, along one axis.
        cost: (section, node, received, side) -> networks.cost.Cost of each layer: weights, and floating-point
            operations for one image; received: channels of the joined input; side: of the result, in pixels.
    """

    words: str
    build: Deferred
    receptive_field: Deferred
    cost: Deferred


def _in(place: str) -> Deferred:
    return Deferred(f"clamnet_tf.networks.{place}")


#: Value of network.block -> block.
BLOCKS: dict[str, Block] = {
    "plain": Block(
        words="two convolutions",
        build=_in("plain_block:build"),
        receptive_field=_in("plain_block:receptive_field"),
        cost=_in("plain_block:cost"),
    ),
    "residual": Block(
        words="two convolutions and a shortcut",
        build=_in("residual_block:build"),
        receptive_field=_in("residual_block:receptive_field"),
        cost=_in("residual_block:cost"),
    ),
}
