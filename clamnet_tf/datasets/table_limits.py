"""Limit the size of a table, and how much of it a message repeats."""

from pathlib import Path

from clamnet_tf.errors import DataError

LARGEST_TABLE = 200_000_000  # bytes
MOST_COLUMNS = 10_000
MOST_CELLS = 5_000_000
LONGEST_NUMBER = 9  # digits of a label or slice
NAMED = 20  # columns that a message names


def check_table_file(path) -> None:
    """Raise DataError for a pipe, device or folder and beyond LARGEST_TABLE, OSError for a missing file."""
    path = Path(path)
    if not path.is_file() and path.exists():
        raise DataError(
            f"{path}: cannot be read: {'it is a folder' if path.is_dir() else 'it is a pipe or device'}, not "
            f"a table."
        )
    size = path.stat().st_size
    if size > LARGEST_TABLE:
        raise DataError(
            f"{path}: is too large for a table: {size:,} bytes, at most {LARGEST_TABLE:,} are read. Split "
            f"it, or leave out columns."
        )


def check_columns(path, header) -> None:
    """Raise DataError beyond MOST_COLUMNS."""
    if len(header) > MOST_COLUMNS:
        raise DataError(
            f"{path}: has {len(header):,} columns, at most {MOST_COLUMNS:,} are read. Leave out those that "
            f"are not needed."
        )


def check_cells(path, cells: int) -> None:
    """Raise DataError when a table has more than MOST_CELLS cells (rows x columns)."""
    if cells > MOST_CELLS:
        raise DataError(
            f"{path}: has {cells:,} cells, at most {MOST_CELLS:,} are read. Leave out columns that are not "
            f"needed, or split it."
        )


def shown_columns(header) -> str:
    """Return names of columns for a message: at most NAMED, each cut at 60 characters."""
    names = [name if len(name) <= 60 else name[:57] + "..." for name in header[:NAMED]]
    return ", ".join(names) + (f" and {len(header) - NAMED:,} more" if len(header) > NAMED else "")


def shown_cell(text: str) -> str:
    """Return the text of a cell for a message, in quotes, cut at 80 characters."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
