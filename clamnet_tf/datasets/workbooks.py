"""Read Excel workbooks (.xlsx) as rows of text, as a person sees them; refuse ambiguous content."""

import datetime
import re
import warnings
import zipfile
from pathlib import Path

from clamnet_tf.datasets.problems import listed
from clamnet_tf.errors import DataError

LARGEST = 256 * 2**20  # bytes of a workbook, unpacked
_DIGITS = 10**15  # Excel keeps 15 digits of a number
_ZEROS = re.compile(r"0+")  # a number format such as 000: 7 is shown as 007


def read_workbook(path: Path) -> tuple[list[tuple[int, list[str]]], tuple[str, ...]]:
    """Return the rows of the first sheet that is not empty: ([(row number, texts), ...], notes).

    Whole numbers lose their .0 and keep leading zeros that their format shows; dates become year-month-day.

    Raises:
        DataError: the file is not a workbook, or has merged cells, formulas without a value, errors in cells,
            numbers that Excel has rounded, or several sheets with the same columns.
    """
    path = Path(path)
    _check_archive(path)
    values, formulas = _sheets(path, data_only=True), _sheets(path, data_only=False)
    filled = [
        name
        for name, sheet in values.items()
        if any(cell is not None for row in sheet.iter_rows(values_only=True) for cell in row)
    ]
    if not filled:
        return [], ()
    sheet = values[filled[0]]
    problems = [f"cells {merged.coord} are merged" for merged in sheet.merged_cells.ranges]
    rows = []
    for cells, formula_cells in zip(sheet.iter_rows(), formulas[filled[0]].iter_rows()):
        texts = []
        for cell, formula in zip(cells, formula_cells):
            text, problem = _text(cell, formula)
            texts.append(text)
            problems += [f"cell {cell.coordinate}: {problem}"] if problem else []
        rows.append((cells[0].row, texts))
    if problems:
        raise DataError(f"{path}: sheet {filled[0]!r}: {len(problems)} problem(s):\n{listed(problems)}")
    _check_alike(path, values, filled)
    return rows, tuple(_notes(path, sheet, filled))


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names, unpacked = set(archive.namelist()), sum(info.file_size for info in archive.infolist())
            kind = archive.read("mimetype")[:100].decode("ascii", "replace") if "mimetype" in names else ""
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise DataError(
            f"{path}: a damaged or cut off Excel workbook (or zip archive): {error}. Copy or save it again."
        ) from error
    if "opendocument" in kind:
        raise DataError(f"{path}: is an OpenDocument table (.ods); save it as .xlsx or CSV.")
    if not any(name.lower() == "xl/workbook.xml" for name in names):
        kind_found = (
            "a binary Excel workbook (.xlsb)"
            if any(name.lower() == "xl/workbook.bin" for name in names)
            else "a zip archive"
        )
        raise DataError(
            f"{path}: is {kind_found}, not a table that can be read; save the table as .xlsx or CSV."
        )
    if unpacked > LARGEST:
        raise DataError(
            f"{path}: is too large: {unpacked:,} bytes unpacked, {LARGEST:,} are read; save the table as CSV."
        )


def _sheets(path: Path, *, data_only: bool) -> dict:
    """Return {name: sheet} of the worksheets that are not hidden."""
    import openpyxl

    try:
        with warnings.catch_warnings(), open(path, "rb") as stream:
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(stream, data_only=data_only)
            return {sheet.title: sheet for sheet in book.worksheets if sheet.sheet_state == "visible"}
    except Exception as error:  # openpyxl raises many kinds of errors on damaged XML
        raise DataError(
            f"{path}: a damaged Excel workbook: {type(error).__name__}: {error}. Open and save it again, or"
            " save it as CSV."
        ) from error


def _text(cell, formula) -> tuple[str, str | None]:
    """Return (text that a cell shows, its problem or None)."""
    value = cell.value
    if value is None:
        return "", (
            f"the formula {formula.value!r} has no stored value; open and save the workbook in Excel"
            if formula.data_type == "f"
            else None
        )
    if cell.data_type == "e":
        return "", None if value == "#N/A" else f"holds the error {value}"
    if isinstance(value, bool):
        return str(value).lower(), None
    if isinstance(value, float) and value.is_integer() and abs(value) < _DIGITS:
        value = int(value)
    if isinstance(value, (int, float)):
        if abs(value) >= _DIGITS:
            return "", "a number of more than 15 digits, which Excel has rounded; write it as text"
        padded = isinstance(value, int) and value >= 0 and _ZEROS.fullmatch(cell.number_format or "")
        return (str(value).zfill(len(cell.number_format)) if padded else repr(value)), None
    if isinstance(value, datetime.datetime):
        return (
            value.date().isoformat() if value.time() == datetime.time() else value.isoformat(sep=" ")
        ), None
    return str(value).strip(), None


def _check_alike(path: Path, values: dict, filled: list[str]) -> None:
    headers = {
        name: tuple(
            str(cell or "").strip().lower() for cell in next(values[name].iter_rows(values_only=True))
        )
        for name in filled
    }
    alike = [name for name in filled[1:] if headers[name] == headers[filled[0]]]
    if alike:
        names = ", ".join(repr(name) for name in (filled[0], *alike))
        raise DataError(
            f"{path}: the sheets {names} have the same columns, and one table is needed; save the right one"
            " as CSV."
        )


def _notes(path: Path, sheet, filled: list[str]):
    if len(filled) > 1:
        others = ", ".join(repr(name) for name in filled[1:])
        yield f"ATTENTION: {path.name} has several sheets; {sheet.title!r} is read, not {others}."
    hidden = sum(1 for row in sheet.row_dimensions.values() if row.hidden)
    if hidden:
        yield (
            f"ATTENTION: {hidden} rows of {path.name} are hidden (by a filter?); they count like all others."
        )
