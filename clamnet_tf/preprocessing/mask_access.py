"""Open lesion masks: the only way to them, and the firewall that closes it.

See docs/method.md, section "Measuring". Training from image labels and selection run inside
`with mask_firewall():`; there `open_masks` raises MaskAccessError. The firewall is a counter of the whole
process, guarded by a lock, and not a context variable, since those do not reach threads that exist already
(tf.data, pools). It is closed for every thread until the last block has been left.
"""

import contextlib
import threading
from typing import Literal

import numpy as np

from clamnet_tf.datasets.manifest import Manifest
from clamnet_tf.errors import DataError, MaskAccessError
from clamnet_tf.imaging.mask_files import Mask
from clamnet_tf.preprocessing.crop import CropBox
from clamnet_tf.preprocessing.mask_meaning import MeaningsOf255
from clamnet_tf.preprocessing.mask_orientation import read_mask_of

PURPOSES = ("evaluation", "supervision")
GRIDS = ("original", "prepared")

DATA_SET = "data set"

_lock = threading.Lock()
_closed = 0


@contextlib.contextmanager
def mask_firewall():
    """Keep every thread of this process from opening a mask inside the block. Blocks may nest and overlap."""
    global _closed
    with _lock:
        _closed += 1
    try:
        yield
    finally:
        with _lock:
            _closed -= 1


def is_closed() -> bool:
    """Tell whether a firewall block is active anywhere in this process."""
    with _lock:
        return _closed > 0


def open_masks(
    manifest: Manifest,
    prepared,
    rows,
    purpose: Literal["evaluation", "supervision"],
    grid: Literal["original", "prepared"],
    classes: int = 1,
    notes: dict[str, str] | None = None,
    meanings: MeaningsOf255 | None = None,
) -> list[np.ndarray | None]:
    """Return the lesion masks of `rows` of the prepared table as label maps, one per row.

    Args:
        manifest: the manifest of the cases.
        prepared: Prepared slices made from it.
        rows: row numbers of the table.
        purpose: what the masks are for.
        grid: original = (height, width) of the file; prepared = (side, side), cropped like the image and
            resized by nearest neighbour.
        classes: how many lesion classes the recipe has.
        notes: a dict that receives {note: first file} on assumptions made in reading; None: none are
            collected.
        meanings: what 255 meant in the masks that were opened before; None: none were.

    Returns:
        uint8 arrays, 0 background, 1 .. `classes`, 255 to be ignored (`imaging.mask_values`). A slice
        labelled normal without a mask file gets an empty mask; any other slice without one gets None,
        and the caller leaves it out of metrics and of supervised training.

    Raises:
        MaskAccessError: a mask is opened inside `mask_firewall()`, or test rows are asked for
            supervision.
        ValueError: an unknown purpose or grid.
        DataError: a mask does not fit its image, or 255 means the lesion in one mask of the data and ignored
            pixels in another one.
        ImageError: a mask cannot be read.
    """
    if purpose not in PURPOSES or grid not in GRIDS:
        raise ValueError(f"purpose is one of {PURPOSES}, grid one of {GRIDS}; received {purpose!r}, {grid!r}")
    table, side = prepared.table, prepared.images.shape[1]
    rows = [int(row) for row in rows]
    if purpose == "supervision" and (held_out := [row for row in rows if table.split[row] == "test"]):
        raise MaskAccessError(
            f"supervised training asked for the masks of {len(held_out)} test slices (first: "
            f"{table.image[held_out[0]]}); only train and val may be used."
        )
    masks: list[np.ndarray | None] = []
    slices_of_case = np.bincount(table.case) if len(table.case) else []
    read_key, volume = None, None
    meanings = meanings or MeaningsOf255(DATA_SET)
    for row in rows:
        if is_closed():
            raise MaskAccessError(
                f"the mask of {table.image[row]} was asked for ({purpose}) while the mask firewall is "
                "closed: training from image labels and selection may not see masks."
            )
        case, box = manifest.cases[table.case[row]], CropBox(*(int(value) for value in table.box[row]))
        if case.mask is None:
            mask = np.zeros((box.height, box.width), np.uint8) if case.label == 0 else None
        else:
            key = (case.mask, case.image)
            if read_key != key:
                read = _read(case, classes)
                read_key, volume = key, read.values
                if not case.mask_in_order:
                    meanings.add(str(manifest.root), case.mask, read)
                for note in read.notes if notes is not None else ():
                    notes.setdefault(note, str(case.mask))
            count = slices_of_case[table.case[row]]
            if len(volume) == 1 and case.slice_index is None and count > 1:
                raise DataError(
                    f"{case.mask}: a mask of one slice, which does not fit the {count} axial slices of "
                    f"{case.image} or its series. Give the masks as one NIfTI file with the affine of the "
                    f"image."
                )
            mask = _slice(volume, case, int(table.slice_index[row]), box)
        if mask is not None and grid == "prepared":
            mask = box.crop(mask, side, nearest=True)
        masks.append(mask)
    return masks


def _read(case, classes: int) -> Mask:
    """Read the mask of a case in the order of its image's volume."""
    if not case.mask_in_order:
        return read_mask_of(case.mask, case.image, classes=classes, ignored=True)
    return Mask(np.load(case.mask))


def _slice(volume: np.ndarray, case, index: int, box: CropBox) -> np.ndarray:
    """Return the slice of a mask volume that belongs to slice `index` of the image.

    A mask of one slice belongs to the slice of its case.
    """
    if len(volume) == 1 and (case.slice_index is not None or index == 0):
        index = 0
    if index >= len(volume) or volume.shape[1:] != (box.height, box.width):
        raise DataError(
            f"{case.mask}: mask of shape {volume.shape} (slices, rows, columns) does not fit slice {index} "
            f"of {case.image}, which has {box.height} rows and {box.width} columns; give the mask on the "
            f"image's own grid."
        )
    return volume[index].copy()
