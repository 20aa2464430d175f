"""Describe a network section in numbers: maps, kernels, parameters, operations and receptive fields,
without TensorFlow.
"""

import textwrap
from dataclasses import dataclass

from clamnet_tf.networks.cost import Cost, network_cost, node_cost
from clamnet_tf.networks.grid import Grid, check_channels, check_side, encoder_of, full_name, grid_of
from clamnet_tf.networks.receptive_field import ReceptiveField, receptive_field
from clamnet_tf.recipe.network_blocks import BLOCKS
from clamnet_tf.recipe.schema import NetworkSection

WIDTH = 80  # columns of the printed table


@dataclass(frozen=True)
class LevelRow:
    """One row of the grid: the side of its maps in pixels, and the cost of all its nodes for one image."""

    level: int
    side: int
    kernel: int
    filters: int
    nodes: int
    duplicated: bool
    cost: Cost


@dataclass(frozen=True)
class HeadRow:
    """One head, as a pruned network: the nodes it needs, its receptive field, and its cost for one image."""

    head: int
    node: str
    nodes: int
    field: ReceptiveField
    cost: Cost


@dataclass(frozen=True)
class Description:
    """Everything that `clamnet-tf describe` prints or draws."""

    name: str
    section: NetworkSection
    grid: Grid
    side: int
    channels: int
    levels: tuple[LevelRow, ...]
    heads: tuple[HeadRow, ...]
    total: Cost

    def table(self) -> str:
        """Return the description as text, at most WIDTH columns wide."""
        return "\n".join(
            [*self._settings(), "", *self._level_lines(), "", *self._head_lines(), "", *self._notes()]
        )

    def _settings(self):
        section = self.section
        kind = "plain skips (U-Net)" if section.skips == "plain" else "nested skips (UNet++)"
        lines = [
            f"{self.name}: {kind}, input {self.side} x {self.side} x {self.channels}",
            f"down {section.down}, up {section.up}, norm {section.norm}, activation {section.activation}, "
            f"dropout {section.dropout:g}, l2 {section.l2:g}",
        ]
        if section.block != "plain":
            lines.append(f"block {section.block}: {BLOCKS[section.block].words}")
        if self.grid.duplicated:
            drawn = (
                f" (drawn with seed {section.duplicate.seed})" if section.duplicate.levels == "random" else ""
            )
            lines.append(
                f"two subsequent blocks on levels {', '.join(map(str, self.grid.duplicated))}{drawn}"
            )
        return [part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent="    ")]

    def _level_lines(self):
        yield (
            f"{'Level':>5}  {'Map':<11}  {'Kernel':<6}  {'Filters':>7}  {'Nodes':>5}  {'Blocks':>6}  "
            f"{'Parameters':>11}  {'GFLOP':>8}"
        )
        for row in self.levels:
            size, kernel = f"{row.side} x {row.side}", f"{row.kernel} x {row.kernel}"
            blocks = "2" if row.duplicated else "1"
            yield (
                f"{row.level:>5}  {size:<11}  {kernel:<6}  {row.filters:>7}  {row.nodes:>5}  {blocks:>6}  "
                f"{_cost_columns(row.cost)}"
            )
        outputs = Cost(
            self.total.parameters - sum(row.cost.parameters for row in self.levels),
            self.total.operations - sum(row.cost.operations for row in self.levels),
        )
        yield f"{'heads':<50}  {_cost_columns(outputs)}"
        yield f"{'total':<50}  {_cost_columns(self.total)}"

    def _head_lines(self):
        yield (
            f"{'Head':>5}  {'On':<6}  {'Nodes':>5}  {'Receptive field, px':<28}  {'Parameters':>11}  "
            f"{'GFLOP':>8}"
        )
        for row in self.heads:
            field = field_text(row.field, self.side)
            yield f"{row.head:>5}  {row.node:<6}  {row.nodes:>5}  {field:<28}  {_cost_columns(row.cost)}"

    def _notes(self):
        yield "Parameters and GFLOP of a head: of the pruned network that holds it alone."
        yield "GFLOP: one image, forward; a multiply-add is 2, a bias addition 1."
        yield "Receptive field: mean over positions (smallest-largest), convolutions only."
        if self.section.norm != "none":
            extent = "the batch in training" if self.section.norm == "batch" else "the whole map"
            yield f"Besides, pixels see means and deviations of {extent} (norm {self.section.norm})."


def _cost_columns(cost: Cost) -> str:
    gflop = f"{cost.gflop:.3f}" if cost.gflop < 10_000 else f"{cost.gflop:.0f}"
    return f"{cost.parameters:>11,}  {gflop:>8}"


def field_text(field: ReceptiveField, side: int) -> str:
    """Return `35 (33-37)`, with a remark when the field exceeds the image of `side` pixels."""
    text = f"{field.mean:g}"
    if field.smallest != field.largest:
        text += f" ({field.smallest}-{field.largest})"
    return f"{text}: whole image" if field.largest >= side else text


def describe(section: NetworkSection, *, side: int, channels: int) -> Description:
    """Describe the network of a section for images of side x side pixels with `channels` channels.

    Raises:
        NetworkError: the network cannot be built.
    """
    grid = grid_of(section)
    check_side(side, section.depth)
    check_channels(channels)
    levels = []
    for level in range(section.depth):
        nodes = [node for node in grid.nodes.values() if node.row == level]
        cost = sum((node_cost(section, grid, node, side=side, channels=channels) for node in nodes), Cost())
        levels.append(
            LevelRow(
                level,
                side >> level,
                section.kernels[level],
                section.filters[level],
                len(nodes),
                level in grid.duplicated,
                cost,
            )
        )
    heads = []
    for head, place in grid.heads.items():
        field = receptive_field(grid, head, down=section.down, up=section.up, block=section.block)
        cost = network_cost(section, grid, [head], side=side, channels=channels)
        heads.append(HeadRow(head, grid.nodes[place].label, len(grid.needed(head)), field, cost))
    return Description(
        name=full_name(section, grid),
        section=section,
        grid=grid,
        side=side,
        channels=channels,
        levels=tuple(levels),
        heads=tuple(heads),
        total=network_cost(section, grid, list(grid.heads), side=side, channels=channels),
    )


def classifier_cost(section: NetworkSection, *, side: int, channels: int) -> Cost:
    """Return the cost of the classifier of a section for one image: the encoder X[i,0] and one logit,
    without the pooling.
    """
    grid = grid_of(section)
    encoder = encoder_of(grid)
    logit = Cost(section.filters[-1] + 1, 2 * section.filters[-1] + 1)
    return sum(
        (node_cost(section, grid, node, side=side, channels=channels) for node in encoder.nodes.values()),
        logit,
    )
