"""Compare the size that a DICOM header announces with what its file can hold, before memory is allocated."""

import zlib
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.limits import memory_limit, require_slices, shown
from clamnet_tf.imaging.volume import check_size

_DEFLATE_RATIO = 1100  # of unpacked to packed bytes; deflate cannot reach more than 1,032
_SMALLEST_FRAGMENT = 10  # bytes of an encapsulated frame: the tag and length of its item, and two bytes
_COPIES_OF_DEFLATED = 3  # the unpacked object, its elements, and its pixels
_PIECE = 1 << 24
_SYNTAX = DeflatedExplicitVRLittleEndian.encode()


def refuse_deflate_bomb(path: Path) -> None:
    """Refuse a file of the deflated transfer syntax (PS3.5 A.5) that unpacks beyond the memory limit.

    pydicom unpacks the complete object at once; this function unpacks it piece by piece and keeps nothing.

    Raises:
        ImageError: the content is too large.
    """
    with open(path, "rb") as stream:
        head = stream.read(4096)
        position = head.find(_SYNTAX)
        if head[128:132] != b"DICM" or position < 0:
            return
        start = _end_of_meta(head)
        size = Path(path).stat().st_size
        if start is None or (size - start) * _DEFLATE_RATIO * _COPIES_OF_DEFLATED <= memory_limit(size):
            return
        stream.seek(start)
        unpacker, unpacked = zlib.decompressobj(-zlib.MAX_WBITS), 0
        most = memory_limit(size) // _COPIES_OF_DEFLATED
        while not unpacker.eof:
            rest = unpacker.unconsumed_tail or stream.read(_PIECE)
            if not rest:
                return
            try:
                unpacked += len(unpacker.decompress(rest, _PIECE))
            except zlib.error:  # reported when the object is read
                return
            if unpacked > most:
                raise ImageError(
                    f"{path}: too large: its deflated content unpacks to more than {most // 10**6:,} MB. A "
                    f"damaged or hostile file does "
                    "that; if it is genuine, save it without deflate."
                )


def refuse_impossible_frames(dataset: Dataset, path: Path, count: int) -> None:
    """Refuse more frames than the file has bytes for.

    Args:
        dataset: the header.
        path: the file.
        count: NumberOfFrames.

    Raises:
        ImageError: the file cannot hold so many frames.
    """
    require_slices(path, count)
    if count == 1:
        return
    syntax, size = str(dataset.file_meta.get("TransferSyntaxUID") or ""), Path(path).stat().st_size
    pixels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel") or 1)
    if syntax == DeflatedExplicitVRLittleEndian:
        size *= _DEFLATE_RATIO
    elif _is_encapsulated(syntax):
        pixels = 8 * _SMALLEST_FRAGMENT
    else:
        pixels *= int(dataset.get("BitsAllocated") or 1)
    if count * pixels > 8 * size and not _is_private(syntax):
        raise ImageError(
            f"{path}: NumberOfFrames is {shown(count)}, but a file of {size:,} bytes cannot hold so many "
            f"frames of {dataset.Rows} x "
            f"{dataset.Columns} pixels. It is cut off, damaged or hostile; copy or export it again."
        )


def require_pixel_memory(dataset: Dataset, path: Path, photometric: str) -> None:
    """Refuse pixels that would take more memory than `limits` allows, however they are compressed.

    Raises:
        ImageError: they take too much memory.
    """
    frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel") or 1)
    item = max(1, -(-int(dataset.get("BitsAllocated") or 8) // 8))
    bytes_each = 3 * item + 4 + (36 if photometric == "PALETTE COLOR" else 0)
    shape = (frames, int(dataset.Rows), int(dataset.Columns), samples)
    if frames == 1:
        bytes_each += 24  # one plane at a time is converted in float64
    check_size(path, shape, bytes_each=bytes_each)


def _end_of_meta(head: bytes) -> int | None:
    """Return the offset of the data set behind group 0002, whose first element states its length (PS3.10
    7.1).
    """
    if head[132:140] != b"\x02\0\0\0UL\x04\0":
        return None
    return 144 + int.from_bytes(head[140:144], "little")


def _is_encapsulated(syntax: str) -> bool:
    uid = UID(syntax)
    return bool(syntax) and not uid.is_private and uid.is_transfer_syntax and uid.is_encapsulated


def _is_private(syntax: str) -> bool:
    return bool(syntax) and not syntax.startswith("1.2.840.10008.")
