"""Draw the FROC curve and the reliability diagram as inline SVG, like the other charts of the report."""

import math
from html import escape

import numpy as np
from markupsafe import Markup

from clamnet_tf.reporting.charts import svg

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 430, 300, 52, 48, 14


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * share


def _frame(label_x: str, label_y: str) -> list[str]:
    """Return horizontal grid lines from 0 to 1 and the labels of both axes."""
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        height = _y(share)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 12}" y1="{height:.1f}" y2="{height:.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{share:g}</text>'
        )
    middle = (_HEIGHT - _BOTTOM + _TOP) / 2
    return [
        *parts,
        f'<text class="label" x="{(_LEFT + _WIDTH - 12) / 2:.0f}" y="{_HEIGHT - 8}" '
        f'text-anchor="middle">{escape(label_x)}</text>'
        f'<text class="label" x="13" y="{middle:.0f}" text-anchor="middle" '
        f'transform="rotate(-90 13 {middle:.0f})">{escape(label_y)}</text>',
    ]


def froc_chart(curve: list, points: list[dict]) -> Markup:
    """Draw the sensitivity against the false positives per image, which have a logarithmic axis.

    Args:
        curve: [false positives per image, sensitivity] of the cuts, rising.
        points: false_per_image, mean, low and high of the sensitivity at the numbers of the table.
    """
    limits = [point["false_per_image"] for point in points]
    low, high = math.log2(limits[0]) - 0.3, math.log2(limits[-1]) + 0.3

    def x(false):
        place = (math.log2(max(false, 2**low)) - low) / (high - low)
        return _LEFT + (_WIDTH - 12 - _LEFT) * min(place, 1)

    parts = _frame("False marks per image", "Share of lesions found")
    for limit in limits:
        name = f"1/{1 / limit:g}" if limit < 1 else f"{limit:g}"
        parts.append(
            f'<line class="grid" x1="{x(limit):.1f}" x2="{x(limit):.1f}" y1="{_TOP}" '
            f'y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text x="{x(limit):.1f}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">{name}</text>'
        )
    left = [share for false, share in curve if false <= 2**low]
    path = f"M{x(0):.1f} {_y(left[-1] if left else 0):.1f}"
    for false, share in curve:
        if 2**low < false <= 2**high:
            path += f"H{x(false):.1f}V{_y(share):.1f}"
    path += f"H{_WIDTH - 12}"
    parts.append(f'<path class="line s0" d="{path}"/>')
    for point in points:
        place = x(point["false_per_image"])
        if point["low"] is not None:
            parts.append(
                f'<line class="whisker" x1="{place:.1f}" x2="{place:.1f}" y1="{_y(point["low"]):.1f}" '
                f'y2="{_y(point["high"]):.1f}"/>'
            )
        parts.append(
            f'<circle class="point s0" cx="{place:.1f}" cy="{_y(point["mean"]):.1f}" r="4">'
            f"<title>{point['false_per_image']:g} false marks per image: {100 * point['mean']:.0f} % of the "
            f"lesions found</title></circle>"
        )
    described = "; ".join(f"{100 * point['mean']:.0f} % at {point['false_per_image']:g}" for point in points)
    return svg(_WIDTH, _HEIGHT, parts, f"Share of lesions found against false marks per image: {described}")


def reliability_chart(bins: list[dict]) -> Markup:
    """Draw the share of abnormal slices against the mean score, a dot per bin; on the diagonal the two agree.

    Args:
        bins: above, up_to, slices, and score and share, which are None where the bin has no slice.
    """

    def x(score):
        return _LEFT + (_WIDTH - 12 - _LEFT) * score

    parts = _frame("Slice score", "Share of abnormal slices")
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{_TOP}" '
            f'y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text x="{x(tick):.1f}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">{tick:g}</text>'
        )
    parts.append(f'<line class="chosen" x1="{x(0)}" x2="{x(1)}" y1="{_y(0):.1f}" y2="{_y(1):.1f}"/>')
    filled = [row for row in bins if row["slices"]]
    most = max((row["slices"] for row in filled), default=1)
    for row in filled:
        radius = 3 + 8 * float(np.sqrt(row["slices"] / most))
        parts.append(
            f'<line class="whisker" x1="{x(row["score"]):.1f}" x2="{x(row["score"]):.1f}" '
            f'y1="{_y(row["score"]):.1f}" y2="{_y(row["share"]):.1f}"/>'
            f'<circle class="dot" cx="{x(row["score"]):.1f}" cy="{_y(row["share"]):.1f}" r="{radius:.1f}">'
            f"<title>{row['slices']} slices with a score above {row['above']:g} up to {row['up_to']:g}: mean "
            f"score {row['score']:.2f}, {100 * row['share']:.0f} % abnormal</title></circle>"
        )
    described = "; ".join(
        f"score {row['score']:.2f}: {100 * row['share']:.0f} % of {row['slices']}" for row in filled
    )
    return svg(_WIDTH, _HEIGHT, parts, f"Share of abnormal slices against their mean score: {described}")
