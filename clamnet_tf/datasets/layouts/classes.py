"""Read the labels of a table's column, and the patient that a file name belongs to."""

import collections
import re

from clamnet_tf.datasets.layouts.label_words import NOTHING_SAID, LabelWords, class_numbers, is_unknown, plain
from clamnet_tf.datasets.table_limits import shown_cell, shown_columns
from clamnet_tf.errors import DataError

# Patterns by which known data sets write the patient into the file name; the first group is the patient.
PATIENT_PATTERNS = (
    re.compile(r"(person[0-9]+)_"),  # Kermany chest X-rays, pneumonia
    re.compile(r"((?:NORMAL2-)?IM-[0-9]+)-"),  # Kermany chest X-rays, normal
    re.compile(r"(TCGA[_-][A-Z0-9]{2}[_-][A-Z0-9]{4}(?:[_-][0-9]{8})?)(?![A-Z0-9])"),
    re.compile(r"((?:patient|subject|sub|pat|pid|case)[ _-]?[0-9]+)(?![0-9])", re.IGNORECASE),
)


def patient_of_name(name: str) -> str | None:
    """Return the patient with which a file name of a known pattern begins, or None."""
    for pattern in PATIENT_PATTERNS:
        if match := pattern.match(name):
            return match[1]
    return None


def label_numbers(
    texts: dict[int, str], table, label_words: LabelWords = NOTHING_SAID
) -> tuple[dict[int, int | None], list[str]]:
    """Return the labels of a table's column as numbers, with account lines.

    Whole numbers (also '1.0') are used unchanged, words are numbered by `class_numbers`. An empty cell and
    words such as n/a or unknown mean that the label is not known.

    Args:
        texts: {line: text of the cell}.
        table: the file, for messages.
        label_words: meanings of words that the user gave; they also apply to numbers.

    Returns:
        ({line: number, or None when it is not known}, account lines).

    Raises:
        DataError: numbers and words are mixed, or words do not say whether they mean normal.
    """
    known = {line: text for line, text in texts.items() if text}
    signs = "+" in known.values()  # beside a plus, a minus is a label and not an empty cell
    unknown = {
        line: text
        for line, text in known.items()
        if is_unknown(text)
        and label_words.says_normal(text) is None
        and not (signs and plain(text) in ("-", "--"))
    }
    given = {line: text for line, text in known.items() if line not in unknown}
    counts = collections.Counter(given.values())
    notes = []
    if unknown:
        words = ", ".join(
            f"{word!r} {count}" for word, count in collections.Counter(unknown.values()).most_common(10)
        )
        notes.append(f"Labels that are not known, as in an empty cell: {words} rows.")
    label_words.check([*given.values(), *unknown.values()], table)
    whole_number = re.compile(r"([0-9]{1,9})(\.0{0,9})?")
    numeric = {line: int(match[1]) for line, text in given.items() if (match := whole_number.fullmatch(text))}
    if label_words and numeric:
        numeric = {}  # the user has given the meaning of these numbers, as of words
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
    words = class_numbers(
        counts, label_words, table, {word: f"{count} rows" for word, count in counts.items()}
    )
    if 0 not in words.values():
        raise DataError(
            f"{table}: no label means normal: {shown_columns(sorted(words))}; say which one does with"
            " --normal WORD, or write 0 for normal and 1 for abnormal images, or a word such as 'normal'."
        )
    meanings = shown_columns(
        [f"{word} = {number}" for word, number in sorted(words.items(), key=lambda item: (item[1], item[0]))]
    )
    return {line: words.get(texts[line]) if line in given else None for line in texts}, [
        f"Labels: {meanings}.",
        *notes,
    ]


def _codes(numbers: set[int]) -> list[str]:
    """Return a line on a number such as 9 or 99 beside 0 and 1, which often stands for `not known`."""
    odd = sorted(number for number in numbers if number > len(numbers) + 1)
    if not odd or numbers <= {0}:
        return []
    examples = ", ".join(map(str, odd[:5]))
    return [
        f"ATTENTION: the label {examples} is taken as a finding of its own. If it is a code for 'not known',"
        " leave those cells empty."
    ]
