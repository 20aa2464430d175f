"""Write CSV cells that no spreadsheet program runs as formulas.

Excel, LibreOffice and Google Sheets take a cell that begins with = + - @ as a formula, which can call
programs and send data away, and the names of files, patients and institutions come from strangers. Text that
begins like a formula gets an apostrophe before it, which spreadsheets themselves write for "this is text",
and loses it when it is read here. Cells that contain a separator of any country are quoted, so that no second
cell begins inside them.
"""

import re

# The last four are full-width forms, which some versions treat in the same way.
_RISKY = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?")
_QUOTED = frozenset(',;|"\t\r\n')
MARK = "'"


def cell(value) -> str:
    """Return the text of one CSV cell, quoted where needed.

    None gives an empty cell; floats are written as `repr` does; numbers stay unchanged.
    """
    if value is None:
        return ""
    text = str(value)
    if isinstance(value, str) and _is_risky(text):
        text = MARK + text
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if not _QUOTED.isdisjoint(text) else text


def line(values) -> str:
    """Return one line of a CSV file, with its line feed."""
    cells = [cell(value) for value in values]
    return (",".join(cells) if cells != [""] else '""') + "\n"


def restored(text: str) -> str:
    """Return the text of a cell before `cell` put an apostrophe in front; other text is unchanged."""
    return text[1:] if text[:1] == MARK and _is_risky(text[1:]) else text


def _is_risky(text: str) -> bool:
    # Text that already begins with an apostrophe gets another one, so that the original can be restored.
    plain = text.lstrip(f"{MARK} ")
    return plain.startswith(_RISKY) and not _NUMBER.fullmatch(plain)
