"""CSV that no spreadsheet runs: text that begins like a formula gets an apostrophe before it, and loses it
when it is read here.

Excel, LibreOffice and Google Sheets take a cell that begins with = + - @ as a formula, which can call
programs and send
data away; names of files, patients and institutions come from strangers. A leading apostrophe is what
spreadsheets
themselves write for "this is text". Cells with separators of other countries are quoted, so that no second
cell begins
inside of them.
"""

import re

_RISKY = tuple(
    "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
)  # the last four: full width, which some versions take alike
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")
_QUOTED = frozenset(',;|"\t\r\n')
MARK = "'"


def cell(value) -> str:
    """The text of one CSV cell, quoted where needed. None is an empty cell; floats are written as `repr`
    does; numbers stay as they are.
    """
    if value is None:
        return ""
    text = str(value)
    if isinstance(value, str) and _is_risky(text):
        text = MARK + text
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if not _QUOTED.isdisjoint(text) else text


def line(values) -> str:
    """One line of a CSV file, with its line feed."""
    cells = [cell(value) for value in values]
    return (",".join(cells) if cells != [""] else '""') + "\n"


def restored(text: str) -> str:
    """What a cell held before `cell` put an apostrophe before it; any other text as it is."""
    return text[1:] if text[:1] == MARK and _is_risky(text[1:]) else text


def _is_risky(text: str) -> bool:
    plain = text.lstrip(
        f"{MARK} "
    )  # an apostrophe that was there already gets another, so that both come back
    return plain.startswith(_RISKY) and not _NUMBER.fullmatch(plain)
