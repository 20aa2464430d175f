"""Smooth random fields over a simulated head, evaluated slice by slice.

A field is a cubic B-spline over a lattice of random coefficients. It is twice continuously differentiable,
has a known correlation length, and is cheap on an axis-aligned slice, where it is upsampled axis by axis.
"""

import numpy as np

BOX_MM = ((-90.0, 110.0), (-170.0, 130.0), (-135.0, 135.0))  # z up, y forward, x to the patient's right
_DEVIATION = 0.33  # standard deviation of a 3-D cubic B-spline over independent unit coefficients


class SliceGrid:
    """Pixel centres of square axial slices, in millimetres of the simulated scanner.

    Row 0 is anterior, column 0 is the patient's right (radiological convention).
    """

    def __init__(self, side: int, field_of_view_mm: float, middle_y_mm: float):
        self.side = side
        self.pixel_mm = field_of_view_mm / side
        offsets = ((side - 1) / 2 - np.arange(side)) * self.pixel_mm
        self.y_mm = offsets + middle_y_mm
        self.x_mm = offsets
        self._weights = {}

    def weights(self, axis: int, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
        """Return first lattice index (side,) and weights (side, 4) of the spline along y (1) or x (2)."""
        key = (axis, spacing_mm)
        if key not in self._weights:
            self._weights[key] = _spline_weights((self.y_mm, self.x_mm)[axis - 1], axis, spacing_mm)
        return self._weights[key]


class SplineField:
    """A random field of mean 0 and deviation `amplitude`, correlated over about `spacing_mm`."""

    def __init__(self, generator: np.random.Generator, spacing_mm: float, amplitude: float = 1.0):
        self.spacing_mm = float(spacing_mm)
        shape = [int(np.ceil((high - low) / self.spacing_mm)) + 4 for low, high in BOX_MM]
        values = generator.standard_normal(shape, np.float32).clip(-2.5, 2.5)
        self.coefficients = values * np.float32(amplitude / _DEVIATION)

    def on(self, grid: SliceGrid, z_mm: float) -> np.ndarray:
        """Return (side, side) float32 values on the slice at height `z_mm`; rows along y, columns along x."""
        (lattice_index,), (taps,) = _spline_weights(np.array([z_mm]), 0, self.spacing_mm)
        values = sum(taps[k] * self.coefficients[lattice_index + k] for k in range(4))
        for axis in (1, 2):  # upsample the rows, turn, upsample the columns, turn back
            start, weights = grid.weights(axis, self.spacing_mm)
            values = sum(weights[:, k, None] * values[start + k] for k in range(4)).T
        return values

    def at(self, points_mm: np.ndarray) -> np.ndarray:
        """Return (P,) float32 values at (P, 3) points, each z, y, x in millimetres."""
        (z, wz), (y, wy), (x, wx) = (
            _spline_weights(points_mm[:, axis], axis, self.spacing_mm) for axis in range(3)
        )
        total = np.zeros(len(points_mm), np.float32)
        for i, j, k in np.ndindex(4, 4, 4):
            total += wz[:, i] * wy[:, j] * wx[:, k] * self.coefficients[z + i, y + j, x + k]
        return total


def smooth_step(values: np.ndarray, width: float = 1.0) -> np.ndarray:
    """Return 0 below -width/2, 1 above width/2 and a smooth rise between, as float32 of the same shape."""
    t = np.clip(np.asarray(values, np.float32) / np.float32(width) + np.float32(0.5), 0.0, 1.0)
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


def _spline_weights(positions_mm: np.ndarray, axis: int, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return first lattice index (P,) and the four cubic B-spline weights (P, 4) float32.

    Positions outside of the box count as its edge.
    """
    low, high = BOX_MM[axis]
    t = (np.clip(positions_mm, low, high - 1e-6) - low) / spacing_mm
    lattice_index = np.floor(t).astype(int)
    u = t - lattice_index
    taps = (
        np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], axis=1)
        / 6.0
    )
    return lattice_index, taps.astype(np.float32)
