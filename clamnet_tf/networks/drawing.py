"""Draw the node grid as SVG or PNG: which nodes there are, what feeds them, and their sizes."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from clamnet_tf.errors import NetworkError
from clamnet_tf.files import atomic_path
from clamnet_tf.networks.describe import Description
from clamnet_tf.networks.grid import Node
from clamnet_tf.recipe.network_blocks import BLOCKS

SUFFIXES = (".svg", ".png")
# per unit of the drawing; the right neighbour is 2 units away, the level below 1 to the right and 1.35 down
INCHES = 0.78
DROP = 1.35
WIDTH, HEIGHT = 1.36, 0.66
DOTS_PER_INCH = 200

INK, MUTED = "#1c2733", "#6b7785"
BACKBONE, DECODER, HEAD, IMAGE = "#d6e6f7", "#ffffff", "#fde7c8", "#eceff2"
DOWN, UP, SKIP, OUT = "#1f6fb5", "#c2491d", "#8a95a1", "#a86a00"


def draw(description: Description, path) -> Path:
    """Draw the grid of `description` into `path`, which ends with .svg or .png; return the path.

    Raises:
        NetworkError: the path has another ending.
        EnvironmentFailure: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise NetworkError(
            f"{path}: expected a picture ending with {' or '.join(SUFFIXES)}, received "
            f"{path.suffix or 'no ending'}; rename it"
        )
    figure = grid_figure(description)
    with matplotlib.rc_context({"svg.hashsalt": description.name}), atomic_path(path) as temporary:
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(temporary, dpi=DOTS_PER_INCH, facecolor="white", metadata=metadata)
    return path


def grid_figure(description: Description) -> Figure:
    """Return the drawing as a matplotlib figure, white background, about 8 inches wide for five levels."""
    depth = description.section.depth
    left, right = -3.6, max(2 * (depth - 1) + 1.0, 5.6)
    bottom, top = -DROP * (depth - 1) - 2.05, 3.0
    figure = Figure(figsize=((right - left) * INCHES, (top - bottom) * INCHES))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_axis_off()
    _title(axes, description, left + 0.2, top - 0.38)
    _levels(axes, description, left + 0.2)
    for node in description.grid.nodes.values():
        _sources(axes, description, node)
        _node(axes, description, node)
    _heads(axes, description)
    _legend(axes, description, left + 0.2, bottom + 0.95)
    return figure


def _center(place):
    """Return the middle of a node.

    Rows go down and to the right, columns to the right, so that all arrows between levels are diagonals.
    """
    row, column = place
    return row + 2.0 * column, -DROP * row


def _title(axes, description, x, y):
    axes.text(x, y, description.name, size=12, weight="bold", color=INK, va="center")
    kind = "U-Net" if description.section.skips == "plain" else "UNet++"
    total = description.total
    axes.text(
        x,
        y - 0.36,
        f"{kind} · {_count(total.parameters)} parameters · {_count(total.operations)}FLOP per image"
        f" · norm {description.section.norm}",
        size=8.5,
        color=MUTED,
        va="center",
    )


def _levels(axes, description, x):
    for row in description.levels:
        y = -DROP * row.level
        axes.axhline(y, color="#e8ebee", linewidth=0.8, zorder=0)
        axes.text(
            x, y + 0.16, f"level {row.level}", size=8.5, weight="bold", color=INK, va="center", bbox=_white()
        )
        size = f"{row.side} × {row.side} px"
        axes.text(x, y - 0.16, size, size=8, color=MUTED, va="center", bbox=_white())


def _white():
    return {"facecolor": "white", "edgecolor": "none", "pad": 1.2}


def _box(axes, x, y, width, height, color, edge=INK, zorder=3):
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=color,
            edgecolor=edge,
            linewidth=1.0,
            zorder=zorder,
        )
    )


def _node(axes, description, node: Node):
    x, y = _center(node.place)
    color = BACKBONE if node.column == 0 else DECODER
    if node.blocks == 2:
        _box(axes, x + 0.09, y - 0.09, WIDTH, HEIGHT, color, zorder=2.5)
    _box(axes, x, y, WIDTH, HEIGHT, color)
    axes.text(x, y + 0.14, node.label, size=9, weight="bold", color=INK, ha="center", va="center", zorder=4)
    content = f"{node.kernel}×{node.kernel}, {node.filters}"
    axes.text(
        x,
        y - 0.15,
        f"2·({content})" if node.blocks == 2 else content,
        size=7.6,
        color=INK,
        ha="center",
        va="center",
        zorder=4,
    )


def _sources(axes, description, node: Node):
    x, y = _center(node.place)
    if node.above is not None:
        above_x, above_y = _center(node.above)
        _arrow(axes, (above_x + 0.3, above_y - HEIGHT / 2), (x - 0.3, y + HEIGHT / 2), DOWN, 1.5)
    if node.below is not None:
        below_x, below_y = _center(node.below)
        _arrow(axes, (below_x + 0.3, below_y + HEIGHT / 2), (x - 0.3, y - HEIGHT / 2), UP, 1.5)
    for place in node.skips:
        skip_x, _ = _center(place)
        if node.column - place[1] == 1:
            _arrow(axes, (skip_x + WIDTH / 2, y), (x - WIDTH / 2, y), SKIP, 1.1, dashed=True)
        else:
            _arrow(
                axes,
                (skip_x + 0.45, y + HEIGHT / 2),
                (x - 0.2, y + HEIGHT / 2),
                SKIP,
                1.0,
                "arc3,rad=-0.16",
                dashed=True,
            )
    if not node.sources:
        _box(axes, x - 1.65, y, 0.95, HEIGHT, IMAGE)
        axes.text(
            x - 1.65,
            y,
            f"image\n{description.channels} ch.",
            size=7.6,
            color=INK,
            ha="center",
            va="center",
            zorder=4,
        )
        _arrow(axes, (x - 1.65 + 0.475, y), (x - WIDTH / 2, y), SKIP, 1.1)


def _arrow(axes, start, end, color, width, connection="arc3", dashed=False):
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>,head_length=3.2,head_width=1.8",
            mutation_scale=1.3,
            connectionstyle=connection,
            color=color,
            linewidth=width,
            linestyle=(0, (3, 2)) if dashed else "solid",
            shrinkA=0,
            shrinkB=0,
            zorder=2,
        )
    )


def _heads(axes, description):
    for row in description.heads:
        x, y = _center(description.grid.heads[row.head])
        _box(axes, x, y + 1.42, WIDTH + 0.3, 0.8, HEAD)
        axes.text(
            x,
            y + 1.64,
            f"head {row.head}",
            size=8.8,
            weight="bold",
            color=INK,
            ha="center",
            va="center",
            zorder=4,
        )
        axes.text(
            x,
            y + 1.29,
            f"sees {row.field.mean:g} px\n{_count(row.cost.parameters)} parameters",
            size=7,
            color=INK,
            ha="center",
            va="center",
            zorder=4,
            linespacing=1.15,
        )
        _arrow(axes, (x, y + HEIGHT / 2), (x, y + 1.02), OUT, 1.3)


def _legend(axes, description, x, y):
    section, nodes = description.section, description.grid.nodes.values()
    arrows = []
    if any(node.above for node in nodes):
        arrows.append(
            (
                DOWN,
                "down: 2×2 max-pool"
                if section.down == "pool"
                else "down: stride 2 in the lower node's 2nd convolution",
                False,
            )
        )
    if any(node.below for node in nodes):
        arrows.append(
            (UP, "up: bilinear" if section.up == "bilinear" else "up: 2×2 transposed convolution", False)
        )
        arrows.append((SKIP, "skip, concatenated", True))
    for index, (color, text, dashed) in enumerate(arrows):
        line = y - 0.32 * index
        _arrow(axes, (x, line), (x + 0.6, line), color, 1.5, dashed=dashed)
        axes.text(x + 0.75, line, text, size=7.8, color=INK, va="center")
    notes = [
        f"node: kernel, filters of {BLOCKS[section.block].words}",
        f"head: 1×1 convolution and {section.output}",
    ]
    if description.grid.duplicated:
        notes.append("2·( ): two subsequent blocks of that size")
    for index, text in enumerate(notes):
        axes.text(x + (5.3 if arrows else 0), y - 0.32 * index, text, size=7.8, color=INK, va="center")


def _count(value: int) -> str:
    """Format a number with three digits and a unit, 12,345,678 -> 12.3 M (more digits beyond 999 G)."""
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        scaled = value / factor
        if scaled >= 0.9995:
            return f"{scaled:.3g}{unit}" if scaled < 999.5 else f"{scaled:,.0f}{unit}"
    return str(value)
