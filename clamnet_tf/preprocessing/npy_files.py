"""Write arrays to .npy files block by block, and read the rows of several files as one array."""

import functools
from pathlib import Path

import numpy as np

from clamnet_tf.errors import DataError

_KEPT_OPEN = 128  # files per array: an archive has more shards than a process may have open files


class GrowingArray:
    """Write an .npy file block by block; the header gets the length at the end.

    Plain writes are used, so that a full disk raises OSError (a memory map would be killed by SIGBUS).

    Args:
        path: the file to write.
        item_shape: shape of one row.
        dtype: type of the values.
    """

    def __init__(self, path: Path, item_shape: tuple, dtype):
        self.item_shape, self.dtype, self.count = item_shape, np.dtype(dtype), 0
        self.stream = open(path, "wb")
        self._header()

    def _header(self) -> None:
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.count, *self.item_shape)}
        np.lib.format.write_array_header_1_0(self.stream, header)

    def append(self, block: np.ndarray) -> None:
        """Write the rows of `block` after those already written."""
        self.stream.write(np.ascontiguousarray(block, dtype=self.dtype).data)
        self.count += len(block)

    def __enter__(self) -> "GrowingArray":
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                start = self.stream.tell() - self.count * self.dtype.itemsize * int(np.prod(self.item_shape))
                self.stream.seek(0)
                self._header()
                if self.stream.tell() != start:
                    raise DataError("the header of a prepared array changed its length; please report this.")
        finally:
            self.stream.close()


class ShardedArray:
    """Present the rows of several .npy files as one read-only array (N, ...), read when they are asked for.

    Index it by rows alone: an integer, a slice, an array of integers or of N booleans; the result is a copy
    in memory, like that of a NumPy array. `np.asarray` reads everything. Threads may read at the same time.

    Args:
        paths: files of equal type and item shape, in order. Only the first is opened at once.
        counts: number of rows of each file.
    """

    def __init__(self, paths, counts):

        self._paths, self._ends = [str(path) for path in paths], np.cumsum(counts)
        self._part = functools.lru_cache(_KEPT_OPEN)(self._open)
        first_file = self._part(0)
        self.shape, self.dtype = (int(self._ends[-1]), *first_file.shape[1:]), first_file.dtype

    def _open(self, index: int) -> np.ndarray:
        return np.load(self._paths[index], mmap_mode="r")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index) -> np.ndarray:
        rows = self._rows(index)
        if rows.ndim == 0:
            return self._gather(rows[None])[0]
        return self._gather(rows.reshape(-1)).reshape(*rows.shape, *self.shape[1:])

    def _rows(self, index) -> np.ndarray:
        if isinstance(index, slice):
            return np.arange(*index.indices(len(self)))
        rows = np.asarray(index)
        if rows.dtype == bool and rows.shape == (len(self),):
            return np.flatnonzero(rows)
        if isinstance(index, tuple) or (rows.size and rows.dtype.kind not in "iu"):
            raise IndexError(
                f"rows of prepared slices are asked for by integers, a slice or {len(self)} booleans; "
                f"received {index!r}"
            )
        rows = rows.astype(np.int64)
        if rows.size and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(
                f"row {rows.min() if rows.min() < -len(self) else rows.max()} of {len(self)} prepared slices"
            )
        return np.where(rows < 0, rows + len(self), rows)

    def _gather(self, rows: np.ndarray) -> np.ndarray:
        owners = np.searchsorted(self._ends, rows, side="right")
        result = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for owner in np.unique(owners):
            of_owner, part = owners == owner, self._part(int(owner))
            result[of_owner] = part[rows[of_owner] - (self._ends[owner] - len(part))]
        return result

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)


def open_rows(paths, counts):
    """Open one file as a plain read-only memory map, several files as a ShardedArray."""
    return np.load(paths[0], mmap_mode="r") if len(paths) == 1 else ShardedArray(paths, counts)
