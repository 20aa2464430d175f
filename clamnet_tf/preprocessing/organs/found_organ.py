"""Define the result of an organ method, and the fallback that all of them share."""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.preprocessing.organs.brain import FALLBACK_RIM
from clamnet_tf.preprocessing.organs.foreground import foreground, without_rim


@dataclass(frozen=True, eq=False)
class FoundOrgan:
    """The organ of a volume, and where it was not found.

    Attributes:
        mask: bool (slices, rows, columns).
        fallback: bool (slices,), True where nothing plausible was found and the mask is the foreground
            without a rim of FALLBACK_RIM.
    """

    mask: np.ndarray
    fallback: np.ndarray


def completed_by_foreground(mask: np.ndarray, missing: np.ndarray, volume_array: np.ndarray) -> FoundOrgan:
    """Fill the slices in which an organ is missing with the foreground without its rim.

    A slice whose foreground is empty as well (a blank one) stays empty and is no fallback.

    Args:
        mask: bool (slices, rows, columns), changed in place.
        missing: bool (slices,).
        volume_array: (slices, rows, columns, channels).
    """
    if missing.any():
        mask[missing] = without_rim(foreground(volume_array), FALLBACK_RIM)[missing]
    return FoundOrgan(mask, missing & np.asarray(mask.any((1, 2))))


def missing_between(mask: np.ndarray) -> np.ndarray:
    """Return which empty slices lie between slices that hold the organ, bool (slices,); all where no slice
    holds it.
    """
    holds_organ = np.asarray(mask.any((1, 2)))
    if not holds_organ.any():
        return ~holds_organ
    indices, present = np.arange(len(mask)), np.flatnonzero(holds_organ)
    return ~holds_organ & (indices > present[0]) & (indices < present[-1])


def checked_volume(volume_array: np.ndarray, method: str) -> np.ndarray:
    """Return the volume as an array of four axes.

    Raises:
        ValueError: the volume has another number of axes; the message names the method.
    """
    array = np.asarray(volume_array)
    if array.ndim != 4:
        raise ValueError(f"{method} needs (slices, rows, columns, channels), got shape {array.shape}")
    return array
