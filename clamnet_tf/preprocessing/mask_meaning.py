"""Keep apart what the value 255 means in masks: the lesion, or pixels to be ignored."""

from pathlib import Path

from clamnet_tf.errors import DataError
from clamnet_tf.imaging.mask_files import Mask
from clamnet_tf.imaging.mask_values import IGNORED


class MeaningsOf255:
    """Remember what 255 means in the masks of one group, and refuse two meanings.

    Args:
        of: what a group is, for messages, such as "patient".
    """

    def __init__(self, of: str):
        self.of = of
        self._first: dict[tuple[str, bool], Path] = {}

    def add(self, group: str, path: Path, mask: Mask) -> None:
        """Take a mask that was read, of the group with that name.

        Raises:
            DataError: 255 means something else in another mask of the group.
        """
        ignores = bool((mask.values == IGNORED).any())
        if not (ignores or mask.lesion_is_255):
            return
        self._first.setdefault((group, ignores), path)
        other = self._first.get((group, not ignores))
        if other is not None:
            with_numbers, alone = (path, other) if ignores else (other, path)
            raise DataError(
                f"{alone}: holds 0 and 255 alone, so that 255 is the lesion; in {with_numbers}, of the same "
                f"{self.of}, 255 stands beside class numbers and is ignored. Write all masks of a {self.of} "
                "in one way: 0 background, 1 lesion, 255 ignored; or 0 background and 255 lesion."
            )
