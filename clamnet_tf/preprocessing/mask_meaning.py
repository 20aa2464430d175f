"""Keep apart what the value 255 means in the masks of a patient: the lesion, or pixels to be ignored."""

from pathlib import Path

from clamnet_tf.errors import DataError
from clamnet_tf.imaging.mask_files import Mask
from clamnet_tf.imaging.mask_values import IGNORED


class MeaningsOf255:
    """Remember what 255 means in the masks of each patient, and refuse two meanings."""

    def __init__(self):
        self._first: dict[tuple[str, bool], Path] = {}

    def add(self, patient: str, path: Path, mask: Mask) -> None:
        """Take a mask that was read.

        Raises:
            DataError: 255 means something else in another mask of the patient.
        """
        ignores = bool((mask.values == IGNORED).any())
        if not (ignores or mask.lesion_is_255):
            return
        self._first.setdefault((patient, ignores), path)
        other = self._first.get((patient, not ignores))
        if other is not None:
            with_numbers, alone = (path, other) if ignores else (other, path)
            raise DataError(
                f"{alone}: holds 0 and 255 alone, so that 255 is the lesion; in {with_numbers}, of the same "
                "patient, 255 stands beside class numbers and is ignored. Write all masks of a patient in "
                "one way: 0 background, 1 lesion, 255 ignored; or 0 background and 255 lesion."
            )
