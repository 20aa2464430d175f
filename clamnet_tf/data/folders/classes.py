"""Which word means normal, and which patient a file name belongs to."""

import re

from clamnet_tf.data.table_limits import shown_cell, shown_columns
from clamnet_tf.errors import DataError

NORMAL = frozenset(
    "normal normals healthy negative control controls clear none no false nofinding nofindings nolesion notumor notumour"
    " nodisease nonlesion nontumor unaffected 0".split()
)
_NO_SOMETHING = re.compile(r"(no|non|without)[ _-]+[a-z]", re.IGNORECASE)

# How known data sets write the patient into the file name; the first group is the patient.
PATIENT_PATTERNS = (
    re.compile(r"(person[0-9]+)_"),  # Kermany chest X-rays, pneumonia
    re.compile(r"((?:NORMAL2-)?IM-[0-9]+)-"),  # Kermany chest X-rays, normal
    re.compile(r"(TCGA[_-][A-Z0-9]{2}[_-][A-Z0-9]{4}(?:[_-][0-9]{8})?)(?![A-Z0-9])"),
    re.compile(r"((?:patient|subject|sub|pat|pid|case)[ _-]?[0-9]+)(?![0-9])", re.IGNORECASE),
)


def is_normal(name: str) -> bool:
    """Whether a folder or label of this name holds images without the marker: NORMAL, healthy, negative, no_finding ..."""
    return re.sub(r"[^a-z0-9]", "", name.lower()) in NORMAL or _NO_SOMETHING.match(name.strip()) is not None


def class_numbers(names) -> dict[str, int]:
    """{name: label}: normal words 0, all others 1, 2 .. in alphabetical order. Names that differ in case alone are one."""
    numbers = {name: 1 + place for place, name in enumerate(sorted({name.lower() for name in names if not is_normal(name)}))}
    return {name: numbers.get(name.lower(), 0) for name in names}


def patient_of_name(name: str) -> str | None:
    """The patient that a file name of a known pattern begins with, or None."""
    for pattern in PATIENT_PATTERNS:
        if match := pattern.match(name):
            return match[1]
    return None


def label_numbers(texts: dict[int, str], table) -> tuple[dict[int, int | None], str]:
    """Labels of a table's column: {line: text} -> ({line: number, None for an empty cell}, account line).

    Whole numbers (also '1.0') are taken as they are, words by `class_numbers`. DataError when both kinds are mixed.
    """
    whole = re.compile(r"([0-9]{1,9})(\.0{0,9})?")
    given = {line: text for line, text in texts.items() if text}
    numeric = {line: int(match[1]) for line, text in given.items() if (match := whole.fullmatch(text))}
    if numeric and len(numeric) < len(given):
        line = next(line for line in given if line not in numeric)
        raise DataError(f"{table}: line {line}: label: expected a whole number as in the other rows, received {shown_cell(given[line])}.")
    if numeric or not given:
        return {line: numeric.get(line) for line in texts}, "labels are numbers (0 normal, 1.. abnormal)"
    words = class_numbers(set(given.values()))
    if 0 not in words.values():
        raise DataError(
            f"{table}: no label means normal: {shown_columns(sorted(words))}; write 0 for normal and 1 for abnormal images, or a word such as 'normal'."
        )
    shown = shown_columns([f"{word} = {number}" for word, number in sorted(words.items(), key=lambda item: (item[1], item[0]))])
    return {line: words[text] if text else None for line, text in texts.items()}, f"labels: {shown}"
