"""Build the node grid from Keras tensors, by loops over `grid.Grid`; nodes are named x_{row}_{column}."""

from keras import layers

from clamnet_tf.networks import blocks
from clamnet_tf.networks.grid import Grid, Node
from clamnet_tf.recipe.network_blocks import BLOCKS


def connect_grid(
    image,
    grid: Grid,
    *,
    block: str,
    down: str,
    up: str,
    norm: str,
    activation: str,
    dropout: float,
    l2: float,
) -> dict:
    """Connect every node of `grid` to an image.

    Args:
        image: (batch, side, side, channels) tensor.
        grid: the nodes.
        block, down, up, norm, activation, dropout, l2: settings of the recipe's section `network`.

    Returns:
        {(row, column): tensor (batch, side / 2**row, side / 2**row, filters of the row)}. The layer that
        gives the tensor of a node bears the node's name, x_{row}_{column}.
    """
    tensors = {}
    for place, node in grid.nodes.items():
        x = _join(image, node, tensors, down=down, up=up, l2=l2)
        last = None if dropout else node.name
        x = BLOCKS[block].build(x, node, down=down, norm=norm, activation=activation, l2=l2, last=last)
        if dropout:
            x = layers.SpatialDropout2D(dropout, name=node.name)(x)
        tensors[place] = x
    return tensors


def _join(image, node: Node, tensors: dict, *, down: str, up: str, l2: float):
    """Return the input of a node's first convolution: the image, the level above, or skips and the level
    below.
    """
    if node.below is not None:
        raised = blocks.UPS[up](tensors[node.below], filters=node.filters, l2=l2, name=f"{node.name}_up")
        return layers.Concatenate(name=f"{node.name}_join")(
            [*(tensors[place] for place in node.skips), raised]
        )
    if node.above is None:
        return image
    above = tensors[node.above]
    return blocks.max_pool(above, name=f"{node.name}_down") if down == "pool" else above
