"""Lay a square box around the organ, crop to it, and put maps back onto the original grid (paper 3.2)."""

from dataclasses import asdict, dataclass, fields

import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing.resize import resize_bilinear, resize_nearest


@dataclass(frozen=True)
class CropBox:
    """A square of an image: rows top..top+size-1, columns left..left+size-1.

    The square may leave the image: what lies outside counts as 0. The aspect ratio is kept. Pixels are areas,
    not points: pixel i covers [i, i+1), so that `crop` and `restore` are exact inverses up to the blur of
    resampling.

    Attributes:
        top: first row, in pixels; may be negative.
        left: first column, in pixels; may be negative.
        size: side of the square, in pixels.
        height: rows of the image.
        width: columns of the image.
    """

    top: int
    left: int
    size: int
    height: int
    width: int

    def __post_init__(self):
        values = [getattr(self, field.name) for field in fields(self)]
        if (
            not all(isinstance(value, (int, np.integer)) for value in values)
            or min(self.size, self.height, self.width) < 1
        ):
            raise ValueError(
                f"a crop box needs whole numbers and positive size, height and width, got {self}"
            )

    def crop(self, image: np.ndarray, side: int, *, nearest: bool = False) -> np.ndarray:
        """Cut the square out of an image and resize it.

        Args:
            image: (height, width) or (height, width, channels).
            side: side of the result, in pixels.
            nearest: False resizes bilinearly, with antialiasing when shrinking; True takes the value under
                each new pixel's centre, for labels and masks.

        Returns:
            (side, side) or (side, side, channels): float32, or the dtype of the image with nearest=True.

        Raises:
            ValueError: the image has another size than the box was made for.
        """
        if image.shape[:2] != (self.height, self.width) or image.ndim not in (2, 3):
            raise ValueError(
                f"the box was made for images of {self.height} x {self.width}, got shape {image.shape}"
            )
        inside, window = self._overlap()
        if inside[0].start == 0 == inside[1].start and inside[0].stop == self.size == inside[1].stop:
            square = image[window]
        else:
            square = np.zeros((self.size, self.size, *image.shape[2:]), image.dtype)
            square[inside] = image[window]
        if nearest:
            return resize_nearest(square, (side, side))
        if image.ndim == 2:
            return resize_bilinear(square, (side, side))
        return np.stack(
            [resize_bilinear(square[..., channel], (side, side)) for channel in range(image.shape[2])],
            axis=-1,
        )

    def restore(self, values: np.ndarray, *, nearest: bool = False) -> np.ndarray:
        """Put a square of any side back onto the original grid: (side, side) -> (height, width) float32, 0
        outside of the box.
        """
        if values.ndim != 2:
            raise ValueError(f"restore needs (side, side), got shape {values.shape}")
        resize = resize_nearest if nearest else resize_bilinear
        inside, window = self._overlap()
        result = np.zeros((self.height, self.width), np.float32)
        result[window] = resize(values, (self.size, self.size))[inside]
        return result

    def restore_mask(self, mask: np.ndarray) -> np.ndarray:
        """Put a mask of any side back onto the original grid.

        Args:
            mask: (side, side); what is not 0 is True.

        Returns:
            (height, width) bool, False outside of the box.
        """
        inside, window = self._overlap()
        result = np.zeros((self.height, self.width), bool)
        result[window] = resize_nearest(np.asarray(mask, bool), (self.size, self.size))[inside]
        return result

    def restore_map(self, probability: np.ndarray, organ: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Put the maps of a slice and its organ back onto the original grid.

        Args:
            probability: (side, side, M) float, one map per lesion class. organ: (side, side).

        Returns:
            (height, width, M) float32 in 0..1, 0 outside of the organ; (height, width) bool.
        """
        inside = self.restore_mask(organ)
        maps = np.empty((*inside.shape, probability.shape[-1]), np.float32)
        for index in range(probability.shape[-1]):
            maps[..., index] = np.where(inside, np.clip(self.restore(probability[..., index]), 0, 1), 0)
        return maps, inside

    def to_dict(self) -> dict[str, int]:
        """Return the box as plain numbers for JSON."""
        return {name: int(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, int]) -> "CropBox":
        """Make a box of what `to_dict` returned.

        Raises:
            DataError: entries are missing, unknown or impossible.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise DataError(
                f"a crop box needs the entries {', '.join(sorted(names))}; got "
                f"{', '.join(sorted(map(str, values)))}."
            )
        try:
            return cls(**values)
        except ValueError as error:
            raise DataError(f"a crop box cannot be used: {error}.") from error

    def _overlap(self):
        """Return (slices inside the square, slices inside the image) of their common part; empty when they do
        not meet.
        """
        inside, window = [], []
        for start, length in ((self.top, self.height), (self.left, self.width)):
            low, high = max(start, 0), max(min(start + self.size, length), max(start, 0))
            low, high = min(low, length), min(high, length)
            inside.append(slice(low - start, high - start) if high > low else slice(0, 0))
            window.append(slice(low, high))
        return tuple(inside), tuple(window)


def crop_box(organ: np.ndarray, margin: float) -> CropBox:
    """Return the one square box of a volume: the smallest that holds the organ of all its slices, plus a
    margin.

    The box is centred on the organ and may leave the image. Without any organ it is the smallest square that
    holds the whole image.

    Args:
        organ: bool (slices, rows, columns).
        margin: added on every side, as a fraction of the box's side.
    """
    organ = np.asarray(organ, dtype=bool)
    if organ.ndim != 3:
        raise ValueError(f"crop_box needs (slices, rows, columns), got shape {organ.shape}")
    _, height, width = organ.shape
    union = np.asarray(organ.any(axis=0))
    rows, columns = np.flatnonzero(union.any(axis=1)), np.flatnonzero(union.any(axis=0))
    if rows.size == 0:
        top, bottom, left, right, margin = 0, height, 0, width, 0.0
    else:
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    longest = max(bottom - top, right - left)
    size = int(longest + 2 * np.ceil(margin * longest))
    return CropBox(int((top + bottom - size) // 2), int((left + right - size) // 2), size, height, width)
