"""Limit the memory for reading one file; files that announce more are refused before anything is decoded.

A few kilobytes can announce terabytes of pixels. Readers therefore compute from the header alone how much
they will need (stored values, copies, float32 result) and ask here. The limit is LARGEST_MB megabytes, or
LARGEST_RATIO times the size of the file where that is more; the variable CLAMNET_TF_READ_MEMORY_MB sets
another one.
"""

import io
import os
from pathlib import Path

from clamnet_tf.errors import ImageError, UserInputError

MEMORY_VARIABLE = "CLAMNET_TF_READ_MEMORY_MB"
LARGEST_MB = 800
LARGEST_RATIO = (
    20  # of memory to file size, so that genuinely large files, such as 600 CT slices, are readable
)
MOST_SLICES = 20_000  # in one file or series; each slice takes a record


def memory_limit(file_bytes: int) -> int:
    """Return the bytes that reading a file of `file_bytes` bytes may take.

    Raises:
        UserInputError: the variable does not hold a number.
    """
    text = os.environ.get(MEMORY_VARIABLE, "").strip()
    if not text:
        return max(LARGEST_MB * 10**6, LARGEST_RATIO * file_bytes)
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9 and int(text)):
        raise UserInputError(
            f"{MEMORY_VARIABLE}: expected a whole number of megabytes from 1, received {text[:40]!r}."
        )
    return int(text) * 10**6


def require_memory(path, needed: int, what: str, *, file_bytes: int | None = None) -> None:
    """Refuse a file whose reading would need more than `memory_limit`.

    Args:
        path: file or folder, named in the message.
        needed: bytes that reading needs.
        what: what the header announces, in words.
        file_bytes: size of the file, or of all files of a series together; None: that of `path`.

    Raises:
        ImageError: reading needs more.
    """
    limit = memory_limit(Path(path).stat().st_size if file_bytes is None else file_bytes)
    if needed > limit:
        raise ImageError(
            f"{path}: too large: it announces {what}; reading them would take {_megabytes(needed)} of "
            f"memory, at most "
            f"{_megabytes(limit)} are used for a file of its size. A damaged or hostile file does that; if "
            f"it is genuine, "
            f"set the variable {MEMORY_VARIABLE} to the megabytes that may be used, or split or shrink it."
        )


def require_slices(path, count: int) -> None:
    """Refuse a file or series of more than MOST_SLICES slices with ImageError."""
    if count > MOST_SLICES:
        raise ImageError(
            f"{path}: too large: it announces {shown(count)} slices, at most {MOST_SLICES:,} are read. A "
            f"damaged or hostile "
            "file does that; if it is genuine, split it."
        )


def shown(count: int) -> str:
    """Return a count as text for a message; a count of very many digits by its order of magnitude."""
    return str(count) if abs(count) < 10**6 else f"{count:,}" if abs(count) < 10**30 else "more than 10^30"


class BoundedFile(io.BufferedReader):
    """A file whose `read` requests no more bytes than are left, whatever length a damaged header announces.

    Python allocates memory for the requested number of bytes before it reads.
    """

    def __init__(self, path):
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size=-1, /) -> bytes:
        return super().read(size if size is None or size < 0 else min(size, max(0, self._size - self.tell())))


def _megabytes(count: int) -> str:
    return f"{max(1, count // 10**6):,} MB" if count < 10**30 else "more than 10^24 MB"
