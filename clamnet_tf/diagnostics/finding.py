"""The result of one check of this machine."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One fact about this machine.

    Attributes:
        section: heading under which it is printed.
        name: what was checked.
        state: ok; missing when a part of clamnet-tf cannot work; broken when clamnet-tf cannot work at all.
        value: the result of the check, such as a version.
        advice: what to do, empty when nothing is needed.
    """

    section: str
    name: str
    state: Literal["ok", "missing", "broken"]
    value: str
    advice: str = ""
