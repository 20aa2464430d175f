"""Read the picture size that a compressed frame announces, before a decoder allocates memory for it.

A damaged or hostile frame may announce 65,535 x 65,535 pixels inside a DICOM file of 64 x 64.
"""


def announced_size(frame: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) of a JPEG, JPEG-LS or JPEG 2000 codestream (also inside JP2), None without a
    header.
    """
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)  # JPEG 2000: SOC and SIZ (ISO 15444-1 A.5.1)
    if start >= 0 and len(frame) >= start + 24:
        width, height, left, top = (
            int.from_bytes(frame[start + 8 + 4 * n : start + 12 + 4 * n], "big") for n in range(4)
        )
        return height - top, width - left
    if frame[:2] != b"\xff\xd8":
        return None
    offset = 2
    # JPEG is a chain of marker segments (ISO 10918-1 B.1.1.4).
    while offset + 9 <= len(frame) and frame[offset] == 0xFF:
        marker = frame[offset + 1]
        if marker == 0xFF:
            offset += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):  # start of frame
            return int.from_bytes(frame[offset + 5 : offset + 7], "big"), int.from_bytes(
                frame[offset + 7 : offset + 9], "big"
            )
        if marker == 0xDA:
            return None
        offset += 2 + int.from_bytes(frame[offset + 2 : offset + 4], "big")
    return None
