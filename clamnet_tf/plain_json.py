"""Read JSON from other people with limits on nesting and digits, and with one named error for every fault."""

import json
import re
from collections.abc import Callable

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ClamnetError

DEEPEST = 40  # levels of nesting
_TEXT_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?$)|[\[{\]}]', re.DOTALL)
LONGEST_NUMBER = 40  # characters; a float cannot hold more digits


def plain_json(text: bytes | str, refused: Callable[[str], ClamnetError]):
    """Return the value of a JSON text in UTF-8.

    Args:
        text: the complete text.
        refused: makes the error to raise from a reason of one line.

    Raises:
        ClamnetError: the error that `refused` makes, when the text is not JSON or not UTF-8, holds NaN or
            infinite numbers, more than DEEPEST levels of nesting, a number of more than LONGEST_NUMBER
            characters, or half of a surrogate pair.
    """
    with decoding(refused):
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        _refuse_nesting(text)
        value = json.loads(
            text,
            parse_int=lambda word: _number(word, int),
            parse_float=lambda word: _number(word, float),
            parse_constant=_no_constant,
        )
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # UnicodeEncodeError for half of a pair
        return value


def _refuse_nesting(text: str) -> None:
    """Raise ValueError beyond DEEPEST levels, without recursion; brackets inside strings do not count."""
    depth = 0
    for match in _TEXT_OR_BRACKET.finditer(text):
        bracket = match.group()[0]
        depth += (bracket in "[{") - (bracket in "]}")
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} levels of nesting")


def _number(word: str, kind):
    if len(word) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(word)} characters")
    value = kind(word)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number beyond the range of a 64-bit float")
    return value


def _no_constant(word: str):
    raise ValueError(f"the number {word}")
