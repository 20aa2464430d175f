"""Define what a rule between several keys of a recipe is; rules.py and its neighbours state the rules.

A rule names the keys that it reads and gets their values; it yields one Finding per problem. A rule is left
out when one of its keys is already wrong, since its finding would only follow from that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Holds what a rule has against the value at `path` (keys and list indices); `advice` says what to do."""

    path: tuple
    expected: str
    received: str
    advice: str = ""


@dataclass(frozen=True)
class Rule:
    """Holds a check of the values at `inputs` (dotted keys), which it gets in this order."""

    inputs: tuple
    check: Callable[..., Iterator[Finding]]


RULES: "list[Rule]" = []


def rule(*inputs):
    """Return a decorator that adds a function to RULES as a check of the keys `inputs`."""

    def add(check):
        RULES.append(Rule(tuple(tuple(key.split(".")) for key in inputs), check))
        return check

    return add
