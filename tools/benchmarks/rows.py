"""Define the rows of the bench: what was measured, against which target, and the table written from them."""

import math
from dataclasses import asdict, dataclass, field

BY = ("clock", "processor")
_SAME_CONVOLUTIONS = (
    "both sides spend their time in the same convolutions of oneDNN; the ratio stands between 1.10 and 1.18 "
    "from run to run"
)
#: Row -> why its target cannot be met on this hardware; it then reads "retired" in place of "missed".
RETIRED = {
    "step of 2: ours against plain Keras, same UNet++, batch norm": _SAME_CONVOLUTIONS,
    "step of 4: ours against plain Keras, same UNet++, batch norm": _SAME_CONVOLUTIONS,
    "step of 4: ours against MONAI BasicUNetPlusPlus": "1.5 x of MONAI's speed is more than the measured "
    "peak of the convolutions",
    "SavedModel against a tf.function": "both compute the same convolutions in float32, and no engine for "
    "this processor is faster; what is left to the peak is 1.2 x",
    "LiteRT int8 against a tf.function": "met in processor time; small pieces of work share two cores badly",
    "SavedModel of head 2 against a tf.function": "head 2 has 1/3.12 of the operations (21.4 of 66.8 GFLOP), "
    "which times the gain of the SavedModel is 3.47",
}


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
        """Return "met", "missed" or, where the target is out of reach, "retired"; "" without a target."""
        if self.at_least is None and self.at_most is None:
            return ""
        reached = self.at_least is None or self.judged >= self.at_least
        if reached and (self.at_most is None or self.judged <= self.at_most):
            return "met"
        return "retired" if self.what in RETIRED else "missed"

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
            why = f"Retired: {RETIRED[row['what']]}" if row["reading"] == "retired" else ""
            cells = [
                row["what"],
                row["target"],
                *values,
                row["reading"],
                ". ".join(part for part in (sides, row["note"], why) if part),
            ]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return lines
