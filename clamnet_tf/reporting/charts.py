"""Draw the report's charts as inline SVG: no files, no script, sharp at any size.

Colours and fonts come from the page's style sheet.
"""

import math
from html import escape

import numpy as np
from markupsafe import Markup

_DEEPEST = 280
"""Maximum height in pixels of the stacked dots of a strip chart."""
SERIES = 7
"""Number of line colours in the style sheet, s0..s6."""


def interval_bar(
    mean: float | None,
    low: float | None,
    high: float | None,
    kind: str = "ours",
    span: tuple[float, float] = (0.0, 1.0),
) -> Markup:
    """Draw a dot at `mean` and a line from `low` to `high` on a scale; an empty scale when `mean` is None.

    Args:
        mean: Value of the dot, or None.
        low: Lower end of the interval, or None.
        high: Upper end of the interval, or None.
        kind: CSS class of the bar: "ours" or "other".
        span: Ends of the scale.
    """
    width, height = 220, 22

    def x(value):
        return 6 + (width - 12) * (min(max(value, span[0]), span[1]) - span[0]) / (span[1] - span[0])

    ticks = [span[0] + (span[1] - span[0]) * part / 4 for part in range(5)]
    parts = [
        f'<line class="grid{" zero" if tick == 0 else ""}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="2" '
        f'y2="{height - 2}"/>'
        for tick in ticks
    ]
    if mean is not None and low is not None:
        parts.append(f'<line class="whisker" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="11" y2="11"/>')
    if mean is not None:
        parts.append(f'<circle class="dot" cx="{x(mean):.1f}" cy="11" r="5"/>')
    return Markup(
        f'<svg class="bar {kind}" viewBox="0 0 {width} {height}" aria-hidden="true" '
        f'focusable="false">{"".join(parts)}</svg>'
    )


def patient_strip(scores: list[tuple[str, float]], label: str = "Dice per patient") -> Markup:
    """Draw a box plot of the patients' Dice with one dot per patient.

    Dots carry data-patient for the page's script.

    Args:
        scores: (patient, Dice 0..1) of each patient.
        label: Label of the axis.
    """
    width, top, radius = 860, 74, 6
    values = np.array([score for _, score in scores])
    rows = _stack([_x(score, width) for _, score in scores], 2 * radius + 1)
    step = min(2 * radius + 2, _DEEPEST / (max(rows) + 1))  # of many patients with one score the dots overlap
    height = top + 34 + math.ceil((max(rows) + 1) * step)
    parts = _axis(width, height - 26, 16, [(tick / 5, f"{tick / 5:.1f}") for tick in range(6)], label)
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    parts.append(
        f'<line class="whisker" x1="{_x(values.min(), width):.1f}" x2="{_x(values.max(), width):.1f}" '
        f'y1="38" y2="38"/>'
    )
    parts.append(
        f'<rect class="box" x="{_x(low, width):.1f}" y="24" '
        f'width="{max(1, _x(high, width) - _x(low, width)):.1f}" height="28" rx="3"/>'
    )
    parts.append(
        f'<line class="median" x1="{_x(median, width):.1f}" x2="{_x(median, width):.1f}" y1="24" y2="52"/>'
    )
    anchor = "start" if median < 0.05 else "end" if median > 0.95 else "middle"
    parts.append(
        f'<text class="note" x="{_x(median, width):.1f}" y="16" text-anchor="{anchor}">median '
        f"{median:.2f}</text>"
    )
    for (patient, score), row in zip(scores, rows):
        parts.append(
            f'<circle class="dot patient" data-patient="{escape(patient)}" cx="{_x(score, width):.1f}" '
            f'cy="{top + row * step:.1f}" '
            f'r="{radius}"><title>{escape(patient)}: Dice {score:.2f}</title></circle>'
        )
    description = (
        f"Dice of {len(scores)} patients from {values.min():.2f} to {values.max():.2f}, half of them "
        f"between {low:.2f} and {high:.2f}"
    )
    return svg(width, height, parts, description)


def size_scatter(points: list[tuple[float, float, str]], unit: str) -> Markup:
    """Draw the Dice of slices against lesion size on a logarithmic axis.

    Args:
        points: (size above 0, Dice 0..1, description of the slice) of each slice.
        unit: Unit of the sizes.
    """
    width, height, left, bottom = 860, 280, 44, 44
    logs = np.log10([size for size, _, _ in points])
    lowest, highest = (
        math.floor(logs.min() * 2) / 2,
        max(math.ceil(logs.max() * 2) / 2, math.floor(logs.min() * 2) / 2 + 0.5),
    )

    def x(log):
        return left + 8 + (width - left - 24) * (log - lowest) / (highest - lowest)

    def y(score):
        return height - bottom - (height - bottom - 14) * score

    parts = []
    for score in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - 8}" y1="{y(score):.1f}" y2="{y(score):.1f}"/>'
        )
        parts.append(f'<text x="{left - 8}" y="{y(score) + 4:.1f}" text-anchor="end">{score:g}</text>')
    for decade in range(math.floor(lowest), math.ceil(highest) + 1):
        for digit in (1, 3):
            log = decade + math.log10(digit)
            if lowest - 1e-9 <= log <= highest + 1e-9:
                parts.append(
                    f'<line class="grid" x1="{x(log):.1f}" x2="{x(log):.1f}" y1="14" y2="{height - bottom}"/>'
                )
                parts.append(
                    f'<text x="{x(log):.1f}" y="{height - bottom + 17}" '
                    f'text-anchor="middle">{_plain(digit * 10.0**decade)}</text>'
                )
    parts.append(
        f'<text class="label" x="{(left + width) / 2:.0f}" y="{height - 6}" text-anchor="middle">Lesion '
        f"size in the slice, {escape(unit)}</text>"
    )
    for (_, score, name), log in zip(points, logs):
        parts.append(
            f'<circle class="dot faint" cx="{x(log):.1f}" cy="{y(score):.1f}" '
            f'r="4"><title>{escape(name)}</title></circle>'
        )
    return svg(width, height, parts, f"Dice of {len(points)} slices with a lesion against the lesion's size")


def lines(series: list[tuple[str, list[tuple[float, float]]]], chosen: float | None, share: bool) -> Markup:
    """Draw curves over training steps.

    Args:
        series: (name, [(step, value), ...]) of each curve.
        chosen: Step of the chosen checkpoint, which is marked; None: not marked.
        share: Whether the values are shares, so that the scale runs from 0 to at most 1.
    """
    width, height, left, bottom = 330, 230, 46, 42
    steps = [step for _, points in series for step, _ in points]
    values = np.array([value for _, points in series for _, value in points])
    last_step, first_step = max(max(steps), 1), min(min(steps), 0)
    low, high = (
        (min(0.0, values.min()), values.max()) if not share else (0.0, min(1.0, values.max() * 1.1) or 1.0)
    )
    high = high if high > low else low + 1
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])

    def x(step):
        return left + (width - left - 14) * (step - first_step) / (last_step - first_step)

    def y(value):
        return height - bottom - (height - bottom - 12) * (value - low) / (high - low)

    parts = []
    for tick in ticks:
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - 14}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        )
        parts.append(f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{_plain(tick)}</text>')
    for tick in _ticks(first_step, last_step):
        if tick <= last_step:
            parts.append(
                f'<text x="{x(tick):.1f}" y="{height - bottom + 17}" '
                f'text-anchor="middle">{_plain(tick)}</text>'
            )
    parts.append(
        f'<text class="label" x="{(left + width) / 2:.0f}" y="{height - 6}" text-anchor="middle">Training '
        f"step</text>"
    )
    if chosen is not None and first_step <= chosen <= last_step:
        parts.append(
            f'<line class="chosen" x1="{x(chosen):.1f}" x2="{x(chosen):.1f}" y1="12" '
            f'y2="{height - bottom}"><title>Chosen checkpoint: step {chosen:g}</title></line>'
        )
    for index, (name, points) in enumerate(series):
        path = "L".join(f"{x(step):.1f} {y(value):.1f}" for step, value in _thin(points, 400))
        parts.append(f'<path class="line s{index % SERIES}" d="M{path}"><title>{escape(name)}</title></path>')
        if len(points) <= 25:
            parts += [
                f'<circle class="point s{index % SERIES}" cx="{x(step):.1f}" cy="{y(value):.1f}" '
                f'r="3"><title>{escape(name)}: {value:.3g} at step {step:g}</title></circle>'
                for step, value in points
            ]
    ends = "; ".join(f"{name} ends at {points[-1][1]:.3g}" for name, points in series)
    return svg(width, height, parts, f"Curves over {last_step:g} training steps: {ends}")


def svg(width: int, height: float, parts: list[str], description: str) -> Markup:
    """Wrap drawn parts in an <svg> element with a description for screen readers."""
    body = "".join(parts)
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width} {height:.0f}" role="img" '
        f'aria-label="{escape(description)}">{body}</svg>'
    )


def _axis(width: int, bottom: float, top: float, ticks: list[tuple[float, str]], label: str) -> list[str]:
    """Draw a horizontal axis with ticks (value, text) and a label."""
    parts = [
        f'<text class="label" x="{width / 2:.0f}" y="{bottom + 24:.0f}" '
        f'text-anchor="middle">{escape(label)}</text>'
    ]
    for value, text in ticks:
        parts.append(
            f'<line class="grid" x1="{_x(value, width):.1f}" x2="{_x(value, width):.1f}" y1="{top + 6}" '
            f'y2="{bottom - 8:.0f}"/>'
        )
        parts.append(
            f'<text x="{_x(value, width):.1f}" y="{bottom + 6:.0f}" text-anchor="middle">{text}</text>'
        )
    return parts


def _x(score: float, width: int) -> float:
    """Return the horizontal position of a score 0..1."""
    return 20 + (width - 40) * score


def _stack(positions: list[float], gap: float) -> list[int]:
    """Assign each dot a row so that no two dots of a row are closer than `gap`."""
    rows, ends = [0] * len(positions), []
    for dot in np.argsort(positions):
        row = next((row for row, end in enumerate(ends) if positions[dot] - end >= gap), len(ends))
        ends[row : row + 1] = [positions[dot]]
        rows[dot] = row
    return rows


def _ticks(low: float, high: float) -> list[float]:
    """Return three to seven round numbers that span low..high."""
    step = (high - low) / 4 or 1.0
    power = 10.0 ** math.floor(math.log10(step))
    step = next(power * digit for digit in (1, 2, 2.5, 5, 10) if power * digit >= step * 0.999)
    return [
        multiple * step
        for multiple in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)
    ]


def _plain(value: float) -> str:
    """Format a number briefly, without exponent for the usual ranges."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _thin(points: list, count: int) -> list:
    """Return at most `count` of the points, evenly spaced."""
    return (
        points
        if len(points) <= count
        else [points[index] for index in np.linspace(0, len(points) - 1, count).astype(int)]
    )
