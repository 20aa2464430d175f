"""Draw box plots of Dice per patient, one row per arm, as SVG for the page and PNG for a README."""

import io
import textwrap

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from clamnet_tf.study.gather import Result

COLOURS = {
    "main": "#0072b2",
    "ceilings": "#00785a",
    "ablations": "#8a6d00",
    "controls": "#a3528a",
    "simple": "#55636f",
}
"""Colour of each group: hues in the order of Okabe and Ito, dark enough on white. The name of each arm is
next to its row as well.
"""
_OFFSETS = (-0.15, 0.05, -0.05, 0.15)
"""Vertical offsets of the dots, from the lowest score upwards, so that close dots do not cover one
another.
"""
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "clamnet-tf",
    "font.family": "sans-serif",
    "font.sans-serif": ["Segoe UI", "Roboto", "Helvetica Neue", "Liberation Sans", "Arial", "DejaVu Sans"],
    "font.size": 10,
}


def box_plot(results: list[Result], reference: str, form: str = "svg") -> bytes | None:
    """Draw all arms that have scores, in their order, from top to bottom.

    A dot is a patient (mean over seeds), the box the middle half, the line the median, the diamond the mean;
    a dashed vertical line is the mean of the reference.

    Args:
        results: Results of the arms.
        reference: Name of the reference arm.
        form: "svg" or "png".

    Returns:
        The picture, or None when no arm has scores.
    """
    scored = [(result, list(result.dice().values())) for result in results]
    scored = [(result, scores) for result, scores in scored if scores]
    if not scored:
        return None
    with rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 0.9 + 0.42 * len(scored)), layout="constrained")
        axes = figure.add_subplot()
        for row, (result, scores) in enumerate(scored):
            colour = COLOURS["simple" if result.arm.kind == "simple" else result.group.kind]
            scores = np.sort(scores)
            low, median, high = np.quantile(scores, [0.25, 0.5, 0.75])
            axes.plot([scores[0], scores[-1]], [row, row], "-", color=colour, lw=1.2, solid_capstyle="butt")
            axes.barh(row, high - low, 0.56, left=low, facecolor=colour + "30", edgecolor=colour, lw=1.2)
            axes.plot(
                [median, median],
                [row - 0.28, row + 0.28],
                "-",
                color=colour,
                lw=2.4,
                solid_capstyle="butt",
            )
            offsets = np.resize(_OFFSETS, len(scores)) if len(scores) > 1 else np.zeros(1)
            axes.plot(scores, row + offsets, "o", ms=3.8, mfc=colour, mec="white", mew=0.5, alpha=0.85)
            axes.plot([np.mean(scores)], [row], "D", ms=6, mfc="white", mec=colour, mew=1.6)
            if result.arm.name == reference:
                axes.axvline(np.mean(scores), color="#17212b", lw=1, ls=(0, (5, 4)), zorder=0)
                axes.axhspan(row - 0.5, row + 0.5, color="#e6f0f6", zorder=-1, lw=0)
        for row in range(1, len(scored)):
            if scored[row][0].group is not scored[row - 1][0].group:
                axes.axhline(row - 0.5, color="#9aa6b0", lw=0.8)
        titles = [result.arm.title.split(":")[0] for result, _ in scored]
        axes.set_yticks(
            range(len(scored)), [textwrap.shorten(title, 52, placeholder=" …") for title in titles]
        )
        axes.set_ylim(len(scored) - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xticks(np.arange(0, 1.01, 0.2))
        what = (
            "Dice per patient with a lesion"
            if results[0].column == "dice"
            else "Dice of a patient's outlined slices, mean"
        )
        axes.set_xlabel(f"{what}: 0 no overlap, 1 same outline")
        axes.xaxis.grid(True, color="#dde3e8", zorder=-2)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        stream = io.BytesIO()
        figure.savefig(stream, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
    return stream.getvalue()
