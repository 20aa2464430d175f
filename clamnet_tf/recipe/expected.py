"""Put into words what a key expects (from the JSON Schema), what it received, and how to mend it."""

import math

from clamnet_tf.recipe.json_schema import alternatives
from clamnet_tf.recipe.scalars import boolean_hint, number_hint, number_text
from clamnet_tf.recipe.suggest import nearest


def expected_text(schema: dict, part: dict) -> str:
    """Return what a part of the schema allows, in words: "a whole number from 1 to 7", "a list, each entry
    ...".
    """
    candidates = sorted(alternatives(schema, part), key=lambda candidate: candidate.get("type") != "null")
    return " or ".join(_one(schema, candidate) for candidate in candidates)


def _one(schema, part):
    if "enum" in part or "const" in part:
        return either(part.get("enum", [part.get("const")]))
    kind = part.get("type")
    if kind == "object":
        return (
            f"a section with the keys {', '.join(part['properties'])}"
            if "properties" in part
            else "a section"
        )
    if kind == "array":
        entry = part["prefixItems"][0] if "prefixItems" in part else part["items"]
        count = f" of {part['maxItems']} entries" if "prefixItems" in part else ""
        return f"a list{count}, each entry {expected_text(schema, entry)}"
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _range(part)
    if kind == "string":
        length = (
            f" of {part.get('minLength', 0)} to {part['maxLength']} characters" if "maxLength" in part else ""
        )
        return f"text{length}" + (f" of the form {part['pattern']}" if "pattern" in part else "")
    return {"boolean": "true or false", "null": "null"}[kind]


def _range(part):
    low, above = part.get("minimum"), part.get("exclusiveMinimum")
    high, below = part.get("maximum"), part.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {_short(low)} to {_short(high)}"
    limits = [
        f"{word} {_short(limit)}"
        for word, limit in (("of at least", low), ("above", above), ("at most", high), ("below", below))
        if limit is not None
    ]
    return " " + " and ".join(limits) if limits else ""


def _short(number):
    return f"{number:g}" if isinstance(number, float) else str(number)


def either(values) -> str:
    """Join alternatives with commas and "or": ["a", "b", "c"] -> "a, b or c"."""
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def received_text(value) -> str:
    """Return a value as it was read, with its kind where that matters: text '3', 3, true, null, [1, 2]."""
    text = _received(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _received(value):
    if value is None:
        return "nothing (null)"
    if isinstance(value, dict):
        return (
            f"a section with the keys {', '.join(ascii(key)[1:-1] for key in value)}"
            if value
            else "an empty section"
        )
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_received(item) for item in value)}]"
    if isinstance(value, str):
        return f"text {value!r}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite"
    return number_text(value)


def advice_text(schema: dict, part: dict, value) -> str:
    """Return how `value` can become what `part` expects (a boolean or number spelt right, the nearest
    word), or an empty string.
    """
    candidates = alternatives(schema, part)
    kinds = {candidate.get("type") for candidate in candidates}
    words = [
        word
        for candidate in candidates
        for word in candidate.get("enum", [candidate.get("const")])
        if isinstance(word, str)
    ]
    if isinstance(value, str):
        near = nearest(value, words)
        if near:
            return f"nearest valid value {near}"
        if "boolean" in kinds:
            return boolean_hint(value)
        if kinds & {"integer", "number"}:
            return number_hint(value, whole="number" not in kinds)
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:
        return f"write {int(value)}"
    if value is None and "object" in kinds:
        return "leave the line out, or give it keys"
    if isinstance(value, (bool, int, float)) and kinds == {"string"} and not words:
        return "put it in quotes"
    if not isinstance(value, (list, dict)) and "array" in kinds:
        return "write a list in square brackets"
    return ""
