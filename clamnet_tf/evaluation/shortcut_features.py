"""Compute what a slice tells without its lesion: place, organ, padding, sharpness, size and site. No mask is
read.

A network can be right about every label and never look at the lesion, when abnormal images come from another
height of the body, another scanner or another way of exporting files. These features hold such differences,
each in a group that reports name:

position
    Place of the slice in its volume, 0..1.
organ
    Share of the original image and of the prepared slice that the organ takes.
padding
    Share of the prepared slice in a frame of constant value around its content, share of the crop that lies
    outside of the image, and share of the organ whose pixels equal their neighbours (blank borders, burnt-in
    bars).
sharpness
    Median second derivative over the organ, and median of the mixed second derivative, which is mostly noise,
    both relative to the spread of the organ's intensities. Medians, since a lesion takes a small part of the
    organ.
size
    Rows and columns of the original image, side of the crop in pixels, and spacing.
site
    Name of the site.

Mean intensity is left out on purpose: a lesion that is brighter than its surroundings raises it, so a
classifier that uses it may well see the lesion. For the same reason the organ's area is not beyond doubt
where lesions change the outline that the organ step finds.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

GROUPS = {
    "position": ("position",),
    "organ": ("area", "organ_share"),
    "padding": ("frame", "outside", "constant"),
    "sharpness": ("sharpness", "noise"),
    "size": ("rows", "columns", "crop", "spacing_slices", "spacing_rows", "spacing_columns"),
}
"""Group -> its numeric features, in the order of the columns; the group "site" is text."""
_FLAT = 1e-3
"""Differences below this share of a slice's spread count as none: prepared slices are stored as float16."""


@dataclass(frozen=True, eq=False)
class ShortcutFeatures:
    """Hold the features of n slices.

    Attributes:
        numbers: (n, features) float in the order of GROUPS; NaN where a value is not known.
        site: (n,) text, '' where it is not known.
    """

    numbers: np.ndarray
    site: np.ndarray

    @classmethod
    def of(cls, prepared, rows) -> "ShortcutFeatures":
        """Compute the features of some rows of prepared slices.

        Args:
            prepared: Prepared slices.
            rows: (n,) row indices.
        """
        table, own = prepared.table, prepared.own
        top, left, size, height, width = table.box[rows].T.astype(float)
        inside_rows = np.minimum(top + size, height) - np.maximum(top, 0)
        inside_columns = np.minimum(left + size, width) - np.maximum(left, 0)
        outside = 1 - np.clip(inside_rows, 0, None) * np.clip(inside_columns, 0, None) / size**2
        pixels = np.array(
            [
                _of_pixels(np.asarray(own.images[row], np.float32), np.asarray(own.organ[row]) > 0)
                for row in rows
            ]
        ).reshape(-1, 5)
        organ_share, frame, constant, sharpness, noise = pixels.T
        spacing = table.spacing[rows].T
        columns = (
            *(table.position[rows], table.area[rows], organ_share, frame, outside, constant, sharpness),
            *(noise, height, width, size, *spacing),
        )
        return cls(np.stack(columns, axis=1), table.site[rows].astype(str))

    def only(self, group: str) -> "ShortcutFeatures":
        """Return the features of one group; the others are held constant."""
        names = [(owner, name) for owner, members in GROUPS.items() for name in members]
        kept = np.array([owner == group for owner, _ in names])
        site = self.site if group == "site" else np.full_like(self.site, "")
        return ShortcutFeatures(np.where(kept, self.numbers, 0.0), site)


def constant_frame(image: np.ndarray) -> float:
    """Return the share of an image that lies in rows and columns of constant value at its borders.

    Rows and columns are taken away until none at a border of the rest is constant, so that the sides of the
    frame may have different values.

    Args:
        image: (H, W, C).

    Returns:
        0..1; 1 for a constant image.
    """
    spread, pixels = _FLAT * max(float(image.std()), 1e-6), image.shape[0] * image.shape[1]
    while image.size:
        before = image.shape
        for axis in (1, 0):  # constant along rows, then along columns
            if not image.size:
                break
            varying = np.flatnonzero((np.ptp(image, axis=axis) > spread).any(axis=-1))
            kept = slice(varying[0], varying[-1] + 1) if len(varying) else slice(0, 0)
            image = image[kept] if axis == 1 else image[:, kept]
        if image.shape == before:
            break
    return 1.0 - image.shape[0] * image.shape[1] / pixels


def _of_pixels(image: np.ndarray, organ: np.ndarray) -> tuple:
    """Return share of the organ, frame, constant share, sharpness and noise of a slice (H, W, C)."""
    gray, core = image.mean(axis=-1), ndimage.binary_erosion(organ)
    if not core.any():
        return float(organ.mean()), constant_frame(image), np.nan, np.nan, np.nan
    low, high = np.quantile(gray[core], [0.25, 0.75])
    spread = max(float(high - low), 1e-6)
    second = np.abs(ndimage.laplace(gray))[core]
    mixed = ndimage.correlate(gray, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32))
    across, down = np.abs(np.diff(gray, axis=1))[:-1], np.abs(np.diff(gray, axis=0))[:, :-1]
    still = (np.maximum(across, down) <= _FLAT * spread)[core[:-1, :-1]]
    return (
        float(organ.mean()),
        constant_frame(image),
        float(still.mean()) if still.size else np.nan,
        float(np.median(second) / spread),
        float(np.median(np.abs(mixed)[core]) / spread),
    )
