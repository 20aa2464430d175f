"""Read rows of an array in a file by graph ops alone, so that any process that sees the file can run the
graph.
"""

import hashlib
import math
import mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from clamnet_tf.files import atomic_path

_BLOCK = 256  # rows


class FileRows(NamedTuple):
    """An array (N, ...) in C order that begins `offset` bytes into `path`.

    A graph maps it into memory when it asks for rows.

    Attributes:
        path: the file.
        dtype: NumPy's type of the values.
        offset: bytes before the array.
        shape: (N, ...) of the array in the file.
        taken: rows of the file that are the rows 0.. of this array, or None for all.
    """

    path: str
    dtype: np.dtype
    offset: int
    shape: tuple
    taken: np.ndarray | None = None

    def numbers(self, rows: np.ndarray) -> np.ndarray:
        """Turn rows of this array into rows of the file, int64."""
        return np.asarray(rows if self.taken is None else self.taken[rows], np.int64)

    def gather(self, rows):
        """Read rows of the file: (B,) int64 tensor -> (B, ...) tensor of the file's type.

        Only the pages of those rows are read.
        """
        item, before = math.prod(self.shape[1:]), self.offset // self.dtype.itemsize
        block = math.gcd(item, before) if before else item  # so that header and rows are whole blocks
        content = tf.raw_ops.ImmutableConst(
            dtype=tf.as_dtype(self.dtype),
            shape=[(before + self.shape[0] * item) // block, block],
            memory_region_name=self.path,
        )
        blocks = before // block + rows[:, None] * (item // block) + tf.range(item // block, dtype=tf.int64)
        return tf.reshape(tf.gather(content, blocks), [-1, *self.shape[1:]])


def file_rows(array, folder: Path) -> FileRows:
    """Return `array` as rows of its memory-mapped file, or of a new file in `folder`.

    Args:
        array: an array (N, ...); it may have `array` and `rows` like a RowView.
        folder: where the array is written when it is not a memory-mapped file.

    Raises:
        EnvironmentFailure: the folder cannot be written.
    """
    mapped, taken = (array.array, array.rows) if hasattr(array, "rows") else (array, None)
    if (
        isinstance(mapped, np.memmap)
        and isinstance(mapped.base, mmap.mmap)
        and mapped.flags.c_contiguous
        and mapped.offset % mapped.dtype.itemsize == 0
    ):
        return FileRows(
            str(Path(mapped.filename).resolve()), mapped.dtype, mapped.offset, mapped.shape, taken
        )
    dtype, digest = np.asarray(array[:1]).dtype, hashlib.sha256(str(array.shape).encode())
    digest.update(str(dtype).encode())
    for block in _blocks(array):
        digest.update(block.data)
    path = Path(folder) / f"{digest.hexdigest()[:20]}.raw"
    if not path.exists():
        with atomic_path(path) as temporary, open(temporary, "wb") as stream:
            for block in _blocks(array):
                stream.write(block.data)
    return FileRows(str(path.resolve()), dtype, 0, tuple(array.shape))


def _blocks(array):
    """Yield the rows in blocks, in C order: an array may be larger than the memory."""
    return (np.ascontiguousarray(array[start : start + _BLOCK]) for start in range(0, len(array), _BLOCK))
