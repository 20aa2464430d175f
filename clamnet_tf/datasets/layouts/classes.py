"""The labels of a table's column, and which patient a file name belongs to."""

import collections
import re

from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelWords, class_numbers, is_unknown, plain
from clamnet_tf.datasets.table_limits import shown_cell, shown_columns
from clamnet_tf.errors import DataError

# How known data sets write the patient into the file name; the first group is the patient.
PATIENT_PATTERNS = (
    re.compile(r"(person[0-9]+)_"),  # Kermany chest X-rays, pneumonia
    re.compile(r"((?:NORMAL2-)?IM-[0-9]+)-"),  # Kermany chest X-rays, normal
    re.compile(r"(TCGA[_-][A-Z0-9]{2}[_-][A-Z0-9]{4}(?:[_-][0-9]{8})?)(?![A-Z0-9])"),
    re.compile(r"((?:patient|subject|sub|pat|pid|case)[ _-]?[0-9]+)(?![0-9])", re.IGNORECASE),
)


def patient_of_name(name: str) -> str | None:
    """The patient that a file name of a known pattern begins with, or None."""
    for pattern in PATIENT_PATTERNS:
        if match := pattern.match(name):
            return match[1]
    return None


def label_numbers(
    texts: dict[int, str], table, said: LabelWords = NOTHING_SAID
) -> tuple[dict[int, int | None], list[str]]:
    """Labels of a table's column: {line: text} -> ({line: number, None for one that is not known}, account
    lines).

    Whole numbers (also '1.0') are taken as they are, words by `class_numbers`; an empty cell and words such
    as n/a or unknown are labels that are not known. said: what the user said of words, numbers included.
    DataError when numbers and words are mixed, or when words do not say whether they mean normal.
    """
    known = {line: text for line, text in texts.items() if text}
    signs = "+" in known.values()  # a minus beside a plus is no empty cell
    unknown = {
        line: text
        for line, text in known.items()
        if is_unknown(text) and said.said(text) is None and not (signs and plain(text) in ("-", "--"))
    }
    given = {line: text for line, text in known.items() if line not in unknown}
    counts = collections.Counter(given.values())
    notes = []
    if unknown:
        words = ", ".join(
            f"{word!r} {count}" for word, count in collections.Counter(unknown.values()).most_common(10)
        )
        notes.append(f"Labels that are not known, as in an empty cell: {words} rows.")
    said.check([*given.values(), *unknown.values()], table)
    whole = re.compile(r"([0-9]{1,9})(\.0{0,9})?")
    numeric = {line: int(match[1]) for line, text in given.items() if (match := whole.fullmatch(text))}
    if said and numeric:
        numeric = {}  # then numbers are words of which the user knows the meaning
    elif numeric and len(numeric) < len(given):
        line = next(line for line in given if line not in numeric)
        raise DataError(
            f"{table}: line {line}: label: expected a whole number as in the other rows, received"
            f" {shown_cell(given[line])}."
        )
    if numeric or not given:
        notes += _codes(set(numeric.values()))
        return {line: numeric.get(line) for line in texts}, [
            "Labels are numbers (0 normal, 1.. abnormal).",
            *notes,
        ]
    words = class_numbers(counts, said, table, {word: f"{count} rows" for word, count in counts.items()})
    if 0 not in words.values():
        raise DataError(
            f"{table}: no label means normal: {shown_columns(sorted(words))}; say which one does with"
            " --normal WORD, or write 0 for normal and 1 for abnormal images, or a word such as 'normal'."
        )
    shown = shown_columns(
        [f"{word} = {number}" for word, number in sorted(words.items(), key=lambda item: (item[1], item[0]))]
    )
    return {line: words.get(texts[line]) if line in given else None for line in texts}, [
        f"Labels: {shown}.",
        *notes,
    ]


def _codes(numbers: set[int]) -> list[str]:
    """A line on a number such as 9 or 99 beside 0 and 1, which in many tables stands for `not known`."""
    odd = sorted(number for number in numbers if number > len(numbers) + 1)
    if not odd or numbers <= {0}:
        return []
    shown = ", ".join(map(str, odd[:5]))
    return [
        f"ATTENTION: the label {shown} is taken as a finding of its own. If it is a code for 'not known',"
        " leave those cells empty."
    ]
