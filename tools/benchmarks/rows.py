"""Define the rows of the bench: what was measured, against which target, and the table written from them."""

import math
from dataclasses import asdict, dataclass, field

BY = ("clock", "processor")


@dataclass
class Row:
    """Hold one line of the table.

    Attributes:
        value: Value by the clock.
        processor: The same by processor time; None where that says nothing (memory, a start).
        unit: "x" for a ratio, else printed after the value.
        target: Target, with `at_least` or `at_most`; None: measured only.
        sides: Name -> absolute number in words.
        note: What a reader must know.
    """

    group: str
    what: str
    value: float
    unit: str
    processor: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    sides: dict = field(default_factory=dict)
    note: str = ""
    by: str = "clock"

    @property
    def judged(self) -> float:
        """Return the number that is compared with the target."""
        return self.value if self.by == "clock" or self.processor is None else self.processor

    @property
    def reading(self) -> str:
        """Return "met" or "missed"; "" without a target."""
        if self.at_least is not None:
            return "met" if self.judged >= self.at_least else "missed"
        if self.at_most is not None:
            return "met" if self.judged <= self.at_most else "missed"
        return ""

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f"at least {self.at_least:g} {self.unit}"
        return f"at most {self.at_most:g} {self.unit}" if self.at_most is not None else ""

    def stored(self) -> dict:
        return {**asdict(self), "target": self.target, "reading": self.reading}


def ratio(group: str, what: str, slow, fast, **more) -> Row:
    """Return a row that says how many times as fast `fast` is as `slow` (both rounds.Taken)."""
    return Row(group, what, slow.clock / fast.clock, "x", processor=slow.processor / fast.processor, **more)


def figure(value: float) -> str:
    """Format a number with three significant digits: 0.0123, 1.23, 12.3, 123."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def milliseconds(taken) -> str:
    """Format clock time, with processor time in brackets."""
    return f"{figure(1000 * taken.clock)} ms ({figure(1000 * taken.processor)} ms)"


def table(rows: list) -> list:
    """Return the Markdown lines, grouped, from what `Row.stored` gives and the JSON holds."""
    lines = []
    for group in dict.fromkeys(row["group"] for row in rows):
        lines += [
            f"## {group}",
            "",
            "| What | Target | Clock | Processor time | Reading | Figures |",
            "|---|---|---|---|---|---|",
        ]
        for row in (row for row in rows if row["group"] == group):
            sides = "; ".join(f"{name} {text}" for name, text in row["sides"].items())
            values = [
                "" if value is None else f"{figure(value)} {row['unit']}"
                for value in (row["value"], row["processor"])
            ]
            cells = [
                row["what"],
                row["target"],
                *values,
                row["reading"],
                ". ".join(part for part in (sides, row["note"]) if part),
            ]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return lines
