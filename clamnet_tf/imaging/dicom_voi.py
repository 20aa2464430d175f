"""Read the window that a DICOM file proposes for itself (VOI LUT, PS3.3 C.11.2).

For CT and MR readers never apply it, because it is made for a screen and often differs from slice to slice.
For X-rays it is part of the image (see `imaging.presentation`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.pixels import apply_voi

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.dicom_header import DAMAGE, functional_group, open_dataset, quiet
from clamnet_tf.imaging.dicom_pixels import value_range
from clamnet_tf.imaging.windows import apply_window


@dataclass(frozen=True)
class FileVoi:
    """One view that a file proposes, for the values that `read_volume` gives (MONOCHROME1 already inverted).

    A view is a window or a table.

    Attributes:
        explanation: the file's own name of the view.
        center, width, function: the window and its function LINEAR, LINEAR_EXACT or SIGMOID.
        table: values 0..1 of the table, or None.
        first: value of the table's first entry.
        mirror: lowest + highest value of MONOCHROME1, for the table; else None.
    """

    explanation: str
    center: float | None = None
    width: float | None = None
    function: str = "LINEAR"
    table: np.ndarray | None = None
    first: float = 0.0
    mirror: float | None = None

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return the values of a volume, of any shape, as float32 in 0..1, where bright means bright."""
        if self.table is None:
            assert self.center is not None and self.width is not None  # a window, when there is no table
            return apply_window(values, self.center, self.width, self.function)
        original = values if self.mirror is None else self.mirror - values
        index = np.clip(np.round(original - self.first), 0, len(self.table) - 1).astype(np.intp)
        displayed = self.table[index]
        return displayed if self.mirror is None else (1.0 - displayed).astype(np.float32)


def file_voi(path: Path, *, frame: int = 0) -> tuple[FileVoi, ...]:
    """Return all views that a DICOM file proposes for one frame, tables first; there are often none.

    pydicom's apply_voi_lut prefers tables too. A window for MONOCHROME1 is mirrored with the values: center
    -> lowest + highest - center + 1 (the 1 from the half pixel of PS3.3 C.11.2.1.2.1; none for LINEAR_EXACT
    and SIGMOID).

    Raises:
        ImageError: the file or its window is damaged.
    """
    path = Path(path)
    return voi_of(open_dataset(path, pixels=False), path, frame)


def voi_of(dataset, path: Path, frame: int = 0) -> tuple[FileVoi, ...]:
    """Return the views like `file_voi`, for an open header; `path` is named in messages."""
    try:
        with quiet():
            return tuple(_views(dataset, frame))
    except DAMAGE as error:
        raise ImageError(
            f"{path}: its VOI LUT or window cannot be understood: {error}. Give a window in the recipe "
            f"instead."
        ) from error


def _views(dataset, frame):
    group = functional_group(dataset, frame, "FrameVOILUTSequence")
    source = dataset if group is None else group
    mirrored = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    mirror = sum(value_range(dataset, frame)) if mirrored else None
    for item in range(len(source.get("VOILUTSequence") or ())):
        entry = source.VOILUTSequence[item]
        count, first, bits = (int(value) for value in entry.LUTDescriptor)
        inputs = np.arange(first, first + (count or 2**16), dtype=np.int32)
        table = apply_voi(inputs, source, item).astype(np.float32) / (2**bits - 1)
        yield FileVoi(str(entry.get("LUTExplanation", "")), table=table, first=float(first), mirror=mirror)
    centers, widths = _numbers(source, "WindowCenter"), _numbers(source, "WindowWidth")
    words = source.get("WindowCenterWidthExplanation") or ""
    words = [words] if isinstance(words, str) else list(words)
    function = str(source.get("VOILUTFunction") or "LINEAR").upper()
    for index, (center, width) in enumerate(zip(centers, widths)):
        if mirror is not None:
            center = mirror - center + (1.0 if function == "LINEAR" else 0.0)
        yield FileVoi(words[index] if index < len(words) else "", center, width, function)


def _numbers(source, keyword):
    value = source.get(keyword)
    if value is None or value == "":
        return []
    return [float(item) for item in value] if hasattr(value, "__len__") else [float(value)]
