"""Describe how normal slices look at each place of the organ, and measure how far a slice lies from that.

The atlas is fitted with image labels alone, without masks. A place is a cell of the organ: its left or right
half (of the picture), row and column within that half, and the distance to the organ's rim. So lungs, heads
and bellies of any size share one set of cells, and what is bright in every normal slice (falx, heart, partial
volume under the skull) is bright in its cell. It is a reference of normal anatomy, as in one-class anomaly
detection.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

ROWS = COLUMNS = 8
RIMS = (1.1, 2.1, 3.1, 5.0, 8.0)  # distance to the rim, in pixels of a slice of 128
CELLS = 2 * ROWS * COLUMNS * (len(RIMS) + 1)
LIMITS = (-4.0, 6.0)  # of a deviation in a channel
_UNUSUAL = 95  # percentile of normal values that lies at deviation 1
_FEWEST = 50  # normal pixels that a cell needs for statistics of its own
_LEAST_SPREAD = 0.01  # in normalised units


@dataclass(frozen=True, eq=False)
class NormalAtlas:
    """Per cell, the median of normal values and how far above it the 95th percentile lies.

    Attributes:
        middle: (CELLS,) float32 medians, in normalised units after the slice's own level was subtracted.
        spread: (CELLS,) float32 distances from the median to the 95th percentile, in the same units.
        channel: index of the image channel.
        smoothing: standard deviation of the Gaussian applied before, in pixels of a slice of 128.
        sign: 1 when lesions are brighter than normal tissue, -1 when darker.
        opening: radius, in pixels of a slice of 128, of the disk that removes thin structures before; 0 for
            none.
        level: quantile of the organ's values that is a slice's own level, in 0..1. The median of a lung that
            is half consolidated is that of the lesion; its 15th percentile is that of the rest.
        places: whether every cell has statistics of its own; False: one reference for the whole organ, which
            also holds for images of other origin.
    """

    middle: np.ndarray
    spread: np.ndarray
    channel: int
    smoothing: float
    sign: int = 1
    opening: float = 0.0
    level: float = 0.5
    places: bool = True

    @classmethod
    def fit(
        cls,
        images,
        organ,
        *,
        channel: int = 0,
        smoothing: float = 1.0,
        sign: int = 1,
        opening: float = 0.0,
        level: float = 0.5,
        places: bool = True,
    ) -> "NormalAtlas":
        """Fit the atlas on normal training slices; 500 are enough.

        Args:
            images: (N, H, W, C) float, normalised.
            organ: (N, H, W), above 0 inside the organ.
            channel, smoothing, sign, opening, level, places: see the class.

        Raises:
            ValueError: no slice shows an organ.
        """
        levelled = functools.partial(_levelled, smoothing=smoothing, sign=sign, opening=opening, level=level)
        values, cells = [], []
        for row in range(len(images)):
            inside = np.asarray(organ[row]) > 0
            values.append(levelled(np.asarray(images[row])[..., channel], inside)[inside])
            cells.append(organ_cells(inside)[inside])
        values, cells = (np.concatenate(parts) if parts else np.empty(0) for parts in (values, cells))
        if not len(values):
            raise ValueError("no normal slice shows an organ")
        order = np.argsort(cells, kind="stable")
        values, borders = values[order], np.searchsorted(cells[order], np.arange(CELLS + 1))
        middle, spread = np.zeros(CELLS, np.float32), np.full(CELLS, np.nan, np.float32)
        for cell, (start, end) in enumerate(itertools.pairwise(borders)):
            if places and end - start >= _FEWEST:
                middle[cell], high = np.percentile(values[start:end], [50, _UNUSUAL])
                spread[cell] = high - middle[cell]
        rare = np.isnan(spread)
        middle[rare], spread[rare] = np.median(values), np.percentile(values, _UNUSUAL) - np.median(values)
        atlas = cls(
            middle, np.maximum(spread, _LEAST_SPREAD), channel, smoothing, sign, opening, level, places
        )
        # Rounded as in a file, so that a run and what is read back from it agree to the bit.
        return cls.from_row(atlas.row())

    def append(self, images, organ) -> np.ndarray:
        """Return the images with the deviation, clipped to -4..6, as last channel.

        Args:
            images: (N, H, W, C) float, normalised.
            organ: (N, H, W), above 0 inside the organ.

        Returns:
            (N, H, W, C + 1) float16.
        """
        deviation = np.clip(self.deviation(images, organ), *LIMITS)
        return np.concatenate(
            [np.asarray(images, np.float16), deviation[..., None].astype(np.float16)], axis=-1
        )

    def probability(self, images, organ) -> np.ndarray:
        """Return a substitute for P(lesion), (N, H, W) float32 in 0..1: the logistic function of deviation -
        1.

        It is 0.5 at the 95th percentile of normal slices, and 0 outside the organ.
        """
        return np.where(np.asarray(organ) > 0, 1 / (1 + np.exp(1 - self.deviation(images, organ))), 0).astype(
            np.float32
        )

    def row(self) -> dict:
        """Return the atlas as a dict for JSON; `from_row` reads it back."""
        statistics = {
            name: [round(float(value), 5) for value in getattr(self, name)] for name in ("middle", "spread")
        }
        defaults = {"opening": 0.0, "level": 0.5, "places": True}
        newer = {name: getattr(self, name) for name in defaults if getattr(self, name) != defaults[name]}
        return {
            "channel": self.channel,
            "smoothing": self.smoothing,
            "sign": self.sign,
            **newer,
            **statistics,
        }

    @classmethod
    def from_row(cls, row: dict) -> "NormalAtlas":
        """Make an atlas of what `row` returned.

        Raises:
            KeyError, TypeError, ValueError: the row is not one that `row` returned.
        """
        arrays = {name: np.asarray(row[name], np.float32) for name in ("middle", "spread")}
        if any(values.shape != (CELLS,) or not np.isfinite(values).all() for values in arrays.values()):
            raise ValueError(f"expected {CELLS} finite numbers for middle and spread each")
        return cls(**{**row, **arrays})

    def deviation(self, images, organ) -> np.ndarray:
        """Return the deviation of every pixel from normal slices.

        Args:
            images: (N, H, W, C) float, normalised.
            organ: (N, H, W), above 0 inside the organ.

        Returns:
            (N, H, W) float32: 0 at the median of normal slices, 1 at their 95th percentile; 0 outside the
            organ.
        """
        result = np.zeros(np.shape(organ), np.float32)
        for row in range(len(result)):
            inside = np.asarray(organ[row]) > 0
            channel = np.asarray(images[row])[..., self.channel]
            values = _levelled(
                channel,
                inside,
                smoothing=self.smoothing,
                sign=self.sign,
                opening=self.opening,
                level=self.level,
            )
            cells = organ_cells(inside)
            result[row] = np.where(inside, (values - self.middle[cells]) / self.spread[cells], 0)
        return result


def organ_cells(organ: np.ndarray) -> np.ndarray:
    """Return the cell of every pixel, (H, W) bool -> (H, W) int32 in 0..CELLS-1; without meaning outside the
    organ.

    The halves lie left and right of the middle of the organ's box. Within a half, the row counts from its
    first to its last row, the column from the organ's first to its last pixel of that row.
    """
    organ = np.asarray(organ, bool)
    cells = np.zeros(organ.shape, np.int32)
    columns = np.flatnonzero(organ.any(axis=0))
    if not len(columns):
        return cells
    rim = np.digitize(
        ndimage.distance_transform_edt(np.pad(organ, 1))[1:-1, 1:-1] * 128 / organ.shape[0], RIMS
    )
    middle = (columns[0] + columns[-1]) // 2 + 1
    for half, part in enumerate((slice(None, middle), slice(middle, None))):
        half_organ = organ[:, part]
        rows = np.flatnonzero(half_organ.any(axis=1))
        if not len(rows):
            continue
        height = max(1, rows[-1] - rows[0])
        row = np.clip((np.arange(organ.shape[0]) - rows[0]) * ROWS // (height + 1), 0, ROWS - 1)[:, None]
        first_column, last_column = (
            half_organ.argmax(axis=1)[:, None],
            half_organ.shape[1] - 1 - half_organ[:, ::-1].argmax(axis=1)[:, None],
        )
        column = np.clip(
            (np.arange(half_organ.shape[1])[None, :] - first_column)
            * COLUMNS
            // (last_column - first_column + 1),
            0,
            COLUMNS - 1,
        )
        cells[:, part] = ((half * ROWS + row) * COLUMNS + column) * (len(RIMS) + 1) + rim[:, part]
    return cells


def _levelled(values, inside, *, smoothing: float, sign: int, opening: float, level: float) -> np.ndarray:
    """Return one channel, signed, opened and smoothed within the organ, minus its own level there; (H, W)
    float32.
    """
    values, inside = values.astype(np.float32), inside.astype(bool)
    scale = values.shape[0] / 128
    if opening and inside.any():
        values = sign * _without_thin_structures(sign * values, inside, opening * scale)
    if smoothing:
        sigma = smoothing * scale
        weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
        values = np.where(
            inside, ndimage.gaussian_filter(values * inside, sigma) / np.maximum(weight, 1e-3), 0
        )
    if not inside.any():
        return sign * values
    own_level = (
        np.median(values[inside]) if level == 0.5 else sign * np.quantile(sign * values[inside], level)
    )
    return sign * (values - own_level)


def _without_thin_structures(values: np.ndarray, inside: np.ndarray, radius: float) -> np.ndarray:
    """Remove bright structures narrower than a disk of `radius` pixels, then close dark gaps of half of it.

    This is grey-scale opening and closing (Serra 1982) within the organ: what lies outside counts as its
    darkest value, so that a bright surrounding does not support what touches it.
    """
    filled = np.where(inside, values, values[inside].min())
    opened = ndimage.grey_opening(filled, footprint=_disk(radius))
    return np.where(inside, ndimage.grey_closing(opened, footprint=_disk(radius / 2)), values)


def _disk(radius: float) -> np.ndarray:
    reach = max(1, int(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.hypot(rows, columns) <= max(1.0, radius) + 0.3
