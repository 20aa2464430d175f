"""One fact about this machine."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """broken: clamnet-tf cannot work; missing: a part of it cannot; advice: what to do, empty when
    nothing.
    """

    section: str
    name: str
    state: Literal["ok", "missing", "broken"]
    value: str
    advice: str = ""
