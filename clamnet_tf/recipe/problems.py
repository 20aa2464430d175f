"""One problem of a recipe with its place, and all problems together as one RecipeError."""

from dataclasses import dataclass

from clamnet_tf.errors import RecipeError

MOST_SHOWN = 200  # problems of one file


@dataclass(frozen=True)
class Place:
    """Says where a value was written: a line of a file, or an override.

    Attributes:
        source: the file as the user named it, or "--set network.depth".
        line: line number from 1; None for an override.
        rank: order in the report: 0 for the file, then 1, 2 .. for the overrides.
    """

    source: str
    line: "int | None" = None
    rank: int = 0

    def __str__(self):
        return self.source if self.line is None else f"{self.source}:{self.line}"


def dotted(path) -> str:
    """Return a path as text: ("network", "filters", 1) -> "network.filters[1]"; control characters are
    escaped.
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            part = part if part.isprintable() else ascii(part)[1:-1]
            part = part if len(part) <= 60 else part[:57] + "..."
            text += f".{part}" if text else part
    return text


@dataclass(frozen=True)
class Problem:
    """Holds what is wrong at `path` (keys and list indices): what was expected, what was received, and what
    to do.
    """

    place: Place
    path: tuple
    expected: str
    received: str
    advice: str = ""

    def __str__(self):
        place, path = str(self.place), dotted(self.path)
        head = place if not path or place == f"--set {path}" else f"{place}: {path}"
        text = f"{head}: expected {self.expected}, received {self.received}"
        return f"{text}; {self.advice}" if self.advice else text


def recipe_error(problems) -> RecipeError:
    """Return one RecipeError with all problems, written as `in_order` does."""
    return RecipeError(in_order(problems))


def in_order(problems) -> str:
    """Return one line per problem, in the order of the file and then of the overrides."""
    ordered = sorted(problems, key=lambda problem: (problem.place.rank, problem.place.line or 0))
    lines = list(dict.fromkeys(str(problem) for problem in ordered))
    more = [f"... and {len(lines) - MOST_SHOWN} more"] if len(lines) > MOST_SHOWN else []
    return "\n".join([*lines[:MOST_SHOWN], *more])
