"""Read tables as rows of text: CSV of any usual delimiter and encoding, and Excel workbooks.

The content decides, not the suffix. UTF-8, UTF-16 and UTF-32 are recognised with certainty. Other text is
taken for Windows-1252 only where it looks like words of a western language, and a note says so. Everything
else is refused with a message that names what it is.
"""

import collections
import csv
import io
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from clamnet_tf.datasets.problems import listed
from clamnet_tf.datasets.table_limits import check_cells, check_columns, check_table_file, shown_cell
from clamnet_tf.datasets.workbooks import read_workbook
from clamnet_tf.errors import DataError
from clamnet_tf.spreadsheet import restored

SUFFIXES = (".csv", ".tsv", ".xlsx", ".xlsm")  # of the files in a data folder that may be tables
_DELIMITERS = ",;\t|"
_MARKS = (  # byte order marks, the longer ones first
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_NOT_TABLES = (  # first bytes -> what the file is, and what to do
    (
        b"\xd0\xcf\x11\xe0",
        (
            "an Excel workbook of the old kind (.xls), or one with a password; save it as .xlsx without a"
            " password, or as CSV"
        ),
    ),
    (b"%PDF", "a PDF document; export the table as CSV"),
    (b"{\\rtf", "a text document (RTF); export the table as CSV"),
)
_WEB_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml|table|meta)", re.IGNORECASE)
_OF_ANOTHER_CODE_PAGE = re.compile(
    "[\u00c0-\u00ff]{4}"  # four accented letters in a row: Cyrillic, Greek, Chinese ...
    "|[A-Za-z][\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u2039\u2018\u201c\u201d\u2022\u02dc\u2122"
    "\u203a\u00a1-\u00af\u00b4\u00b6-\u00b8\u00bb-\u00bf][a-z]"
    "|[A-Za-z][\u0160\u017d\u0152\u0178][a-z]"  # signs or capitals inside a word: DOS and old Macintosh pages
)
_ACCENTED = re.compile(r"\w*[^\x00-\x7f]\w*")
_INVISIBLE = "\ufeff\u200b\u200e\u200f"


@dataclass(frozen=True)
class TableFile:
    """A table with a header.

    Attributes:
        path: the file.
        header: column names as written.
        rows: (line, {column: stripped text}) per row that is not empty.
        notes: facts that the user should know, such as an encoding that was concluded.
    """

    path: Path
    header: list[str]
    rows: list[tuple[int, dict[str, str]]]
    notes: tuple[str, ...] = ()


def open_table(path) -> TableFile:
    """Read a CSV (comma, semicolon, tab or bar; also with Excel's line sep=) or an Excel workbook with a
    header.

    Raises:
        DataError: the file is missing, not a table, of an unknown encoding or without header, repeats a
            column or has rows of another length.
    """
    path = Path(path)
    try:
        check_table_file(path)
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{ascii(str(path))[1:-1]}: cannot be read: {reason}.") from error
    if data.startswith(b"PK\x03\x04"):
        numbered, notes = read_workbook(path)
    else:
        text, notes = _decoded(path, data)
        numbered = _rows_of_text(path, text)
    numbered = [(line, cells) for line, cells in numbered if any(cells)]
    if not numbered:
        raise DataError(f"{path}: is empty; its first line must name the columns.")
    header, rows = _checked(path, numbered)
    return TableFile(path, header, rows, notes)


def read_table(path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Read the header and the rows of a table, as `open_table` does."""
    table = open_table(path)
    return table.header, table.rows


def _checked(path, numbered):
    """Return (header, rows) after checking columns and lengths of rows."""
    header = numbered[0][1]
    check_columns(path, header)
    check_cells(path, sum(len(cells) for _, cells in numbered))
    header = header[: _filled(header)]  # without the columns that a spreadsheet adds at the right
    counts = collections.Counter(name for name in header if name)
    problems = [
        f"column {shown_cell(name)} appears twice" for name, count in sorted(counts.items()) if count > 1
    ]
    rows = []
    for line, cells in numbered[1:]:
        cells = cells[: max(_filled(cells), min(len(cells), len(header)))]
        if len(cells) != len(header):
            problems.append(f"line {line}: {len(cells)} cells, the header has {len(header)}")
        rows.append((line, dict(zip(header, cells))))
    if problems:
        raise DataError(f"{path}: {len(problems)} problem(s):\n{listed(problems)}")
    return header, rows


def _filled(cells) -> int:
    """Return the number of cells up to the last one that is not empty."""
    return next((count for count in range(len(cells), 0, -1) if cells[count - 1]), 0)


def _decoded(path, data: bytes) -> tuple[str, tuple[str, ...]]:
    """Return (text, notes); raise DataError when the bytes are not text or their encoding is not certain."""
    for magic, description in _NOT_TABLES:
        if data.startswith(magic):
            raise DataError(f"{path}: is not a CSV table but {description}.")
    if _WEB_PAGE.match(data[:200]):
        raise DataError(
            f"{path}: is not a CSV table but a web page or XML, as some programs export under the name of"
            " Excel; save it as .xlsx or CSV."
        )
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _without_mark(data)
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            raise DataError(
                f"{path}: begins as {encoding.upper()} text, but byte {error.start} cannot be; save the table"
                " as CSV in UTF-8."
            ) from error
        return _western(path, data, error.start)
    if "\0" in text:
        raise DataError(
            f"{path}: is not a CSV table: it holds binary zeros. Save the table as CSV in UTF-8, or as .xlsx."
        )
    return text, ()


def _without_mark(data: bytes) -> str | None:
    """Return UTF-16 without its byte order mark: there every other byte of western text is zero."""
    head = data[:400]
    zeros = [head[start::2].count(0) for start in (0, 1)]
    if len(head) >= 4 and len(data) % 2 == 0 and max(zeros) > 0.4 * (len(head) // 2) and min(zeros) == 0:
        return "utf-16-be" if zeros[0] else "utf-16-le"
    return None


def _western(path, data: bytes, position: int) -> tuple[str, tuple[str, ...]]:
    """Return (text, notes) of bytes as Windows-1252; raise DataError where they do not look western."""
    line = data.count(b"\n", 0, position) + 1
    refusal = (
        f"{path}: is not UTF-8 (first in line {line}), nor UTF-16, and does not look like western text in"
        " Windows-1252 either: its letters may be those of another code page (Cyrillic, Greek, Asian, DOS,"
        " Macintosh). Save the table as CSV in UTF-8, or as .xlsx."
    )
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise DataError(refusal) from error
    if "\0" in text or _OF_ANOTHER_CODE_PAGE.search(text):
        raise DataError(refusal)
    example = _ACCENTED.search(text).group()
    return text, (
        (
            f"ATTENTION: {path.name} is not UTF-8 and was read as Windows-1252: check that {example!r} in"
            f" line {line} is right."
        ),
    )


def _rows_of_text(path, text: str) -> list[tuple[int, list[str]]]:
    """Return (line, cells) of every row of a CSV text."""
    first_line, _, rest = text.partition("\n")
    hint = re.fullmatch(r'"?sep=(.|\\t)"?', first_line.strip("\r"), re.IGNORECASE)  # Excel's own hint
    text, before = (rest, 1) if hint else (text, 0)
    delimiter = hint[1].replace("\\t", "\t") if hint else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    numbered, cells = [], 0
    try:
        for row in reader:
            cells += len(row)
            check_cells(path, cells)
            if not numbered:
                check_columns(path, row)
            numbered.append(
                (reader.line_num + before, [restored(cell.strip().strip(_INVISIBLE)) for cell in row])
            )
        return numbered
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num + before}: is not a CSV table: {error}.") from error


def _delimiter(text: str) -> str:
    """Return the delimiter that gives the first rows the most cells, all rows having equally many."""

    def cells(delimiter):
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            counts = [len(row) for row in itertools.islice((row for row in reader if any(row)), 20)]
        except csv.Error:
            return False, 0
        return len(set(counts)) == 1 and counts[0] > 1, counts[0] if counts else 0

    return max(_DELIMITERS, key=cells)
