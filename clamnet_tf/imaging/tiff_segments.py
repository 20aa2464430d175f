"""Find strips and tiles of a TIFF file that unpack to more than announced, without unpacking them fully."""

import zlib

from clamnet_tf.errors import ImageError

_DEFLATE_RATIO = 1100  # deflate cannot reach more than 1,032
_SLACK = 1 << 16  # bytes of padding that a writer may leave behind a strip
_PIECE = 1 << 24


def refuse_segment_bombs(path, series) -> None:
    """Refuse a strip or tile that is longer than the file, or unpacks to more than its share of the page.

    tifffile unpacks a complete strip before it checks its length. Only strips large enough to matter are
    tried, piece by piece, so that honest files are not unpacked twice.

    Args:
        path: the file, for messages.
        series: tifffile's series, whose `keyframe` is deflated or not compressed.

    Raises:
        ImageError: a strip is longer, or unpacks to more.
    """
    page = series.keyframe
    size = page.parent.filehandle.size
    for segment_page in series.pages:
        if segment_page is not None and any(count > size for count in segment_page.databytecounts):
            raise ImageError(
                f"{path}: damaged or cut off picture: a strip of it is "
                f"{max(segment_page.databytecounts):,} bytes long, the file {size:,}. Copy or export it "
                "again."
            )
    if page.compression == 1:
        return
    rows, columns = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    )
    expected = (
        min(rows, page.imagelength if not page.is_tiled else rows)
        * columns
        * max(1, page.tiledepth if page.is_tiled else 1)
    )
    expected = expected * page.samplesperpixel * max(1, -(-page.bitspersample // 8)) + _SLACK
    handle = page.parent.filehandle
    for segment_page in series.pages:
        if segment_page is None:
            continue
        for offset, count in zip(segment_page.dataoffsets, segment_page.databytecounts):
            if count * _DEFLATE_RATIO <= max(4 * expected, 1 << 27):
                continue
            handle.seek(offset)
            unpacker, unpacked, rest = zlib.decompressobj(), 0, handle.read(min(count, handle.size))
            while rest and not unpacker.eof:
                unpacked += len(unpacker.decompress(rest, _PIECE))
                rest = unpacker.unconsumed_tail
                if unpacked > expected:
                    raise ImageError(
                        f"{path}: too large: a strip of it unpacks to more than {expected:,} bytes, which is "
                        f"all that its header announces. "
                        "The file is damaged or hostile; copy or export it again."
                    )
