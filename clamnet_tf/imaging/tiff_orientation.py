"""The eight orientations in which a picture can be stored (TIFF 6.0, tag 274, which EXIF adopts)."""

import numpy as np

# value of the tag: function from stored pages (pages, rows, columns, ...) to pages as viewers show them
ORIENTATIONS = {
    1: lambda pages: pages,
    2: lambda pages: pages[:, :, ::-1],
    3: lambda pages: pages[:, ::-1, ::-1],
    4: lambda pages: pages[:, ::-1],
    5: lambda pages: pages.swapaxes(1, 2),
    6: lambda pages: np.rot90(pages, -1, axes=(1, 2)),
    7: lambda pages: pages[:, ::-1, ::-1].swapaxes(1, 2),
    8: lambda pages: np.rot90(pages, 1, axes=(1, 2)),
}


def upright(pages: np.ndarray, orientation: int) -> np.ndarray:
    """Return pages (pages, rows, columns, ...) as viewers show them.

    Args:
        pages: pages as stored.
        orientation: value of the tag, 1 to 8.
    """
    return ORIENTATIONS[orientation](pages)
