"""The square box around the organ, cropping to it, and the way back onto the original grid (paper 3.2)."""

from dataclasses import asdict, dataclass

import numpy as np

from clamnet_tf.imaging.resize import resize_bilinear, resize_nearest


@dataclass(frozen=True)
class CropBox:
    """A square of the original image, in pixels; it may reach beyond the border, where values are 0.

    top, left: first row and column, may be negative. size: side of the square. height, width: of the original image.
    """

    top: int
    left: int
    size: int
    height: int
    width: int

    def crop(self, image: np.ndarray, side: int, *, nearest: bool = False) -> np.ndarray:
        """(height, width[, channels]) -> (side, side[, channels]), 0 outside the image.

        Bilinear with antialiasing (float32), or nearest neighbour (dtype kept) for labels.
        """
        self._check(image, (self.height, self.width))
        square = np.zeros((self.size, self.size, *image.shape[2:]), image.dtype)
        inner, outer = self._inside()
        square[inner] = image[outer]
        return _each_channel(square, (side, side), nearest)

    def restore(self, values: np.ndarray, *, nearest: bool = False) -> np.ndarray:
        """(side, side) -> (height, width): the inverse of `crop`; 0 outside the box. float32, or the dtype when nearest."""
        if values.ndim != 2 or values.shape[0] != values.shape[1]:
            raise ValueError(f"restore needs a square map (side, side), received shape {values.shape}")
        square = _each_channel(values, (self.size, self.size), nearest)
        image = np.zeros((self.height, self.width), square.dtype)
        inner, outer = self._inside()
        image[outer] = square[inner]
        return image

    def _inside(self):
        """Slices of the square and of the image that show the same pixels."""
        rows = max(0, self.top), min(self.height, self.top + self.size)
        columns = max(0, self.left), min(self.width, self.left + self.size)
        outer = slice(*rows), slice(*columns)
        return tuple(slice(part.start - offset, part.stop - offset) for part, offset in zip(outer, (self.top, self.left))), outer

    @staticmethod
    def _check(image, shape):
        if image.shape[:2] != shape:
            raise ValueError(f"this box belongs to an image of {shape} (rows, columns), received {image.shape[:2]}")

    def to_dict(self) -> dict:
        """As plain numbers, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "CropBox":
        """Back from `to_dict`."""
        return cls(**values)


def _each_channel(array: np.ndarray, shape, nearest: bool) -> np.ndarray:
    if nearest:
        return resize_nearest(array, shape)
    if array.ndim == 2:
        return resize_bilinear(array, shape)
    return np.stack([resize_bilinear(array[..., channel], shape) for channel in range(array.shape[-1])], axis=-1)


def crop_box(organ: np.ndarray, margin: float) -> CropBox:
    """One box for a volume: the smallest square with the least background that holds the organ of every slice.

    organ: bool (slices, rows, columns). margin: added on each side, as a fraction of the longer side of the organ.
    The square is centred on the organ and keeps the aspect. Without any organ it holds the whole image.
    """
    height, width = organ.shape[1:]
    seen = organ.any(axis=0)
    if not seen.any():
        size = max(height, width)
        return CropBox((height - size) // 2, (width - size) // 2, size, height, width)
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    sides = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    size = int(max(sides) + 2 * round(margin * max(sides)))
    top, left = (int(first) - (size - int(side)) // 2 for first, side in zip((rows[0], columns[0]), sides))
    return CropBox(top, left, size, height, width)
