"""JSON of somebody else: bounded in nesting and digits, with one named error for whatever is wrong with
it.
"""

import json
import re
from collections.abc import Callable

from clamnet_tf.decoding import decoding
from clamnet_tf.errors import ClamnetError

DEEPEST = 40  # levels of nesting
_TEXT_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?$)|[\[{\]}]', re.DOTALL)
LONGEST_NUMBER = 40  # signs; more say nothing that a float could hold


def plain_json(text: bytes | str, refused: Callable[[str], ClamnetError]):
    """The value of a JSON text in UTF-8.

    Args:
        text: the whole text. refused: makes the error from a reason of one line.

    Raises:
        what `refused` makes: no JSON, not UTF-8, NaN or infinite numbers, more than DEEPEST levels of
        nesting, numbers of
        more than LONGEST_NUMBER signs, half of a surrogate pair in a text.
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
    """ValueError beyond DEEPEST, without recursion; brackets inside of texts do not count."""
    depth = 0
    for found in _TEXT_OR_BRACKET.finditer(text):
        sign = found.group()[0]
        depth += (sign in "[{") - (sign in "]}")
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} levels of nesting")


def _number(word: str, kind):
    if len(word) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(word)} signs")
    value = kind(word)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number beyond those of a computer")
    return value


def _no_constant(word: str):
    raise ValueError(f"the number {word}")
