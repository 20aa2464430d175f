"""What a rule between several keys of a recipe is; rules.py states them.

A rule names the keys that it reads and gets their values; it yields one Finding per problem. A rule is left
out when
one of its keys is wrong already: what it would say, would only follow from that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What a rule has against the value at `path` (keys and list indices); `advice` says what to do."""

    path: tuple
    expected: str
    received: str
    advice: str = ""


@dataclass(frozen=True)
class Rule:
    """A check of the values at `inputs` (dotted keys), given in this order."""

    inputs: tuple
    check: Callable[..., Iterator[Finding]]


RULES: "list[Rule]" = []


def rule(*inputs):
    """Add the function below to RULES."""

    def add(check):
        RULES.append(Rule(tuple(tuple(key.split(".")) for key in inputs), check))
        return check

    return add
