"""Describe the node grid of UNet++ as plain data: which nodes there are, what feeds them, which heads they
carry.

Rows are levels (row 0 = full resolution, each row below halves the sides), columns are decoder steps. The
builder, the description, the receptive fields and the drawing all use this one grid (Zhou 2018; paper section
3.1). The module does not import TensorFlow.
"""

import functools
from dataclasses import dataclass, replace

from clamnet_tf.errors import NetworkError
from clamnet_tf.recipe.duplicates import draw_levels
from clamnet_tf.recipe.problems import dotted
from clamnet_tf.recipe.rules import RULES
from clamnet_tf.recipe.schema import NetworkSection

Place = tuple[int, int]


@dataclass(frozen=True)
class Node:
    """One node X[row,column]: a join of its sources, then one block (network.block), or two of them."""

    row: int
    column: int
    filters: int
    kernel: int
    blocks: int  # 2 on the backbone of a duplicated level, else 1
    above: Place | None  # source whose map is twice as large (backbone, rows 1..)
    skips: tuple[Place, ...]  # sources of the same row
    below: Place | None  # source whose map is half as large, through an up step

    @property
    def place(self) -> Place:
        return self.row, self.column

    @property
    def name(self) -> str:
        """Name of the layer that gives the node's output."""
        return f"x_{self.row}_{self.column}"

    @property
    def label(self) -> str:
        """Label of the node in the paper's notation."""
        return f"X[{self.row},{self.column}]"

    @property
    def sources(self) -> tuple[Place, ...]:
        """Every source: above, or skips and then below."""
        return tuple(place for place in (self.above, *self.skips, self.below) if place is not None)

    def stride(self, number: int, down: str) -> int:
        """Return the stride of the node's convolution `number`, counted from 1.

        It is 2 for the second one on the backbone below row 0 when `down` is stride (paper 3.1), else 1.
        """
        return 2 if down == "stride" and self.above is not None and number == 2 else 1


@dataclass(frozen=True)
class Grid:
    """Nodes by place, sources before users, and the place under each head."""

    depth: int
    nodes: dict[Place, Node]
    heads: dict[int, Place]
    duplicated: tuple[int, ...]

    def needed(self, head: int) -> tuple[Node, ...]:
        """Return the nodes that head `head` depends on, in building order.

        Raises:
            NetworkError: there is no such head.
        """
        if head not in self.heads:
            raise NetworkError(
                f"head: expected one of {sorted(self.heads)}, received {head}; choose a head of this network"
            )
        wanted, open_places = set(), [self.heads[head]]
        while open_places:
            place = open_places.pop()
            if place not in wanted:
                wanted.add(place)
                open_places.extend(self.nodes[place].sources)
        return tuple(node for place, node in self.nodes.items() if place in wanted)


def duplicated_levels(section: NetworkSection) -> tuple[int, ...]:
    """Return the levels with two subsequent blocks, sorted.

    They are drawn here when the section still says random.
    """
    duplicate = section.duplicate
    if duplicate.levels == "random":
        return tuple(draw_levels(section.depth, duplicate.count, duplicate.seed))
    return tuple(sorted(duplicate.levels))


def grid_of(section: NetworkSection) -> Grid:
    """Return the grid that a section describes.

    `skips: nested` holds X[i,j] for all i + j < depth, with heads 1..depth-1 on X[0,1].. (depth 1: head 1 on
    X[0,0]). `skips: plain` holds the backbone X[i,0] and the diagonal X[i,depth-1-i], with one head; its
    number is depth-1, the column it stands on, so that head k means the same depth in both.

    Raises:
        NetworkError: the section is impossible; the message lists everything that is wrong.
    """
    check_section(section)
    depth, plain = section.depth, section.skips == "plain"
    duplicated = duplicated_levels(section)
    nodes = {}
    for column in range(depth):
        for row in range(depth - column):
            if plain and column > 0 and row + column != depth - 1:
                continue
            backbone = column == 0
            nodes[row, column] = Node(
                row=row,
                column=column,
                filters=section.filters[row],
                kernel=section.kernels[row],
                blocks=2 if backbone and row in duplicated else 1,
                above=(row - 1, 0) if backbone and row > 0 else None,
                skips=tuple((row, left) for left in range(column) if not plain or left == 0),
                below=None if backbone else (row + 1, column - 1),
            )
    heads = {column: (0, column) for row, column in nodes if row == 0 and column > 0} or {1: (0, 0)}
    return Grid(depth=depth, nodes=nodes, heads=heads, duplicated=duplicated)


def encoder_of(grid: Grid) -> Grid:
    """Return the backbone alone, on which a classifier is built: the nodes X[i,0] of `grid`, no head."""
    return replace(grid, nodes={place: node for place, node in grid.nodes.items() if place[1] == 0}, heads={})


def check_section(section: NetworkSection) -> None:
    """Apply the recipe's rules to a section that was not read from a recipe.

    Raises:
        NetworkError: the section breaks a rule; the message lists all of them.
    """
    problems = []
    for rule in RULES:
        if any(path[0] != "network" for path in rule.inputs):
            continue
        values = [functools.reduce(getattr, path[1:], section) for path in rule.inputs]
        for finding in rule.check(*values):
            text = f"{dotted(finding.path)}: expected {finding.expected}, received {finding.received}"
            problems.append(f"{text}; {finding.advice}" if finding.advice else text)
    if problems:
        raise NetworkError("\n".join(problems))


def check_side(side: int, depth: int) -> None:
    """Check that `side`, in pixels, can be halved depth - 1 times.

    Raises:
        NetworkError: it cannot; the message names the nearest sides that can.
    """
    step = 2 ** (depth - 1)
    if side >= step and side % step == 0:
        return
    smaller = max(side, 0) // step * step
    nearest = [valid for valid in (smaller, smaller + step) if valid >= step]
    raise NetworkError(
        f"side: expected a positive multiple of {step} pixels, since a network of depth {depth} halves the "
        f"map {depth - 1} times, received {side}; nearest: {' or '.join(map(str, nearest))}"
    )


def check_channels(channels: int) -> None:
    """Raise NetworkError unless an image has at least one channel."""
    if channels < 1:
        raise NetworkError(
            f"channels: expected 1 or more, received {channels}; check the images and data.channels of the "
            f"recipe"
        )


def full_name(section: NetworkSection, grid: Grid, name: str | None = None) -> str:
    """Return the model's name: unet_plus_plus_d5_dup1-3 for depth 5 with levels 1 and 3 duplicated.

    `name` replaces its beginning (default: unet_plus_plus, or unet for plain skips).
    """
    base = name or ("unet" if section.skips == "plain" else "unet_plus_plus")
    duplicated = "_dup" + "-".join(map(str, grid.duplicated)) if grid.duplicated else ""
    return f"{base}_d{grid.depth}{duplicated}"
