"""Read plain YAML words where YAML 1.1 and 1.2 agree, and give a hint where they do not.

YAML 1.1 (PyYAML) reads `no` as False, `010` as 8, `1:30` as 90 and `1e-3` as text; YAML 1.2 reads text, 10,
text and 0.001. Only spellings that mean the same in both are taken as booleans and numbers; all others stay
text, which the schema then refuses wherever a boolean or number belongs, with the hint from here.
"""

import math
import re

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"([-+]?[0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_EXPONENT = re.compile(r"([-+]?)([0-9]*)(\.[0-9]*)?[eE]([-+]?)([0-9]+)")
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
_OTHER_BOOLEANS = {
    "yes": "true",
    "on": "true",
    "y": "true",
    "true": "true",
    "no": "false",
    "off": "false",
    "n": "false",
    "false": "false",
}
_LONGEST_NUMBER = 60


def plain_value(text: str):
    """Return the value of an unquoted word: None, bool, int, float or the text itself."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL.fullmatch(text)
    if special:
        return float("nan") if special[3] else float(f"{special[1]}inf")
    return text


def number_text(value) -> str:
    """Return a number as recipes write it: like repr, but 1.0e-05 instead of 1e-05."""
    text = repr(value)
    return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text


def boolean_hint(text: str) -> str:
    """Return "write true" for "yes", "On", "TRUE" ...; empty when the text is no spelling of a boolean."""
    word = _OTHER_BOOLEANS.get(text.strip().lower())
    return f"write {word}" if word else ""


def number_hint(text: str, whole: bool = False) -> str:
    """Return how to write the number (or whole number) that `text` seems to mean, or an empty string.

    "1e-3" -> "write 1.0e-3": YAML 1.1 takes an exponent for a number only behind a point and with a sign.
    """
    word = text.strip()
    if len(word) > _LONGEST_NUMBER:
        return ""
    if plain_value(word) != word:
        return f"write {word} without quotes"
    exponent = _EXPONENT.fullmatch(word)
    if exponent and (exponent[2] or (exponent[3] or "").strip(".")):
        return f"YAML reads {word} as text: write {_whole_text(word) if whole else _with_point(exponent)}"
    try:
        return f"write {int(word, 0)}"
    except ValueError:
        pass
    try:
        value = float(word)
    except ValueError:
        return ""
    return f"write {number_text(int(value) if value.is_integer() else value)}" if math.isfinite(value) else ""


def _with_point(exponent) -> str:
    """Rewrite an exponent so that both versions of YAML read a number: 1e-3 -> 1.0e-3, 2.5E6 -> 2.5e+6."""
    sign, digits, point, power_sign, power = exponent.groups()
    return f"{sign}{digits or '0'}{(point or '.').ljust(2, '0')}e{power_sign or '+'}{power}"


def _whole_text(word) -> str:
    """Return the whole number in digits (1e3 -> 1000); "a whole number" where it is none or has more digits
    than a float holds.
    """
    value = float(word)
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else "a whole number"
