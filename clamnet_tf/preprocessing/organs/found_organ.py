"""What an organ step hands back, and the fallback that all of them share."""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.preprocessing.organs.brain import FALLBACK_RIM
from clamnet_tf.preprocessing.organs.foreground import foreground, without_rim


@dataclass(frozen=True, eq=False)
class FoundOrgan:
    """The organ of a volume, and where it was not found.

    mask: bool (slices, rows, columns)
    fallback: bool (slices,), True where nothing plausible was found and the mask is the foreground without
    a rim of FALLBACK_RIM
    """

    mask: np.ndarray
    fallback: np.ndarray


def completed_by_foreground(mask: np.ndarray, missing: np.ndarray, volume_array: np.ndarray) -> FoundOrgan:
    """Fill the slices in which an organ is missing with the foreground without its rim.

    mask: bool (slices, rows, columns), changed in place. missing: bool (slices,). volume_array: (slices,
    rows, columns, channels). A slice whose foreground is empty as well (a blank one) stays empty and is no
    fallback.
    """
    if missing.any():
        mask[missing] = without_rim(foreground(volume_array), FALLBACK_RIM)[missing]
    return FoundOrgan(mask, missing & np.asarray(mask.any((1, 2))))


def missing_between(mask: np.ndarray) -> np.ndarray:
    """Tell which empty slices lie between slices that hold the organ; all of them where no slice does.

    bool (slices,).
    """
    there = np.asarray(mask.any((1, 2)))
    if not there.any():
        return ~there
    numbers, present = np.arange(len(mask)), np.flatnonzero(there)
    return ~there & (numbers > present[0]) & (numbers < present[-1])


def checked_volume(volume_array: np.ndarray, method: str) -> np.ndarray:
    """Return the volume as an array of four axes.

    ValueError, naming the method, for any other number of axes.
    """
    array = np.asarray(volume_array)
    if array.ndim != 4:
        raise ValueError(f"{method} needs (slices, rows, columns, channels), got shape {array.shape}")
    return array
