"""Voxels of a simulated scan in millimetres, smooth random fields over them, and painting tissue over
tissue.
"""

import numpy as np

_DEVIATION = 0.33  # of a cubic B-spline over independent unit coefficients in three dimensions


class Space:
    """Voxel centres of axial slices, patient millimetres as in DICOM: x to the patient's left, y to the back,
    z up.

    z_mm (S,) rising; rows go to the back, columns to the left, both `pixel_mm` apart and centred on 0.
    z (S, 1, 1), y (1, H, 1) and x (1, 1, W) are float32 and broadcast to `shape`.
    """

    def __init__(self, z_mm: np.ndarray, side: int, pixel_mm: float):
        self.z_mm = np.asarray(z_mm, np.float64)
        self.pixel_mm, self.side = float(pixel_mm), side
        self.in_plane_mm = (np.arange(side) - (side - 1) / 2) * self.pixel_mm
        self.shape = (len(self.z_mm), side, side)
        offsets = self.in_plane_mm.astype(np.float32)
        self.z, self.y, self.x = (
            self.z_mm.astype(np.float32)[:, None, None],
            offsets[None, :, None],
            offsets[None, None, :],
        )

    def field(self, generator: np.random.Generator, spacing_mm: float, amplitude: float = 1.0) -> np.ndarray:
        """(S, H, W) float32: random, mean 0, deviation about `amplitude`, correlated over about
        `spacing_mm`.
        """
        return smooth_field(generator, (self.z_mm, self.in_plane_mm, self.in_plane_mm), spacing_mm, amplitude)

    def pixels(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns (P,) of the pixels that hold (P, 3) points z, y, x; they may lie outside of the
        image.
        """
        row, column = (
            np.rint((points_mm[:, axis] - self.in_plane_mm[0]) / self.pixel_mm).astype(int) for axis in (1, 2)
        )
        return row, column


def smooth_field(
    generator: np.random.Generator, axes_mm, spacing_mm: float, amplitude: float = 1.0
) -> np.ndarray:
    """A cubic B-spline over a lattice of random coefficients, on the grid that the 1-D arrays `axes_mm` (2 or
    3) span; float32.

    Mean 0, deviation about `amplitude` (in 2-D a little more), twice continuously differentiable.
    """
    taps = [_taps(np.asarray(axis, np.float64), spacing_mm) for axis in axes_mm]
    values = generator.standard_normal([first.max() + 4 for first, _ in taps], np.float32).clip(-2.5, 2.5)
    values *= np.float32(amplitude / _DEVIATION)
    for axis, (first, weights) in enumerate(taps):
        shape = [-1 if each == axis else 1 for each in range(len(taps))]
        values = sum(weights[:, k].reshape(shape) * np.take(values, first + k, axis=axis) for k in range(4))
    return values


def smooth_step(values: np.ndarray, width: float = 1.0) -> np.ndarray:
    """0 below -width/2, 1 above width/2, a smooth rise between; same shape, float32."""
    t = np.clip(np.asarray(values, np.float32) / np.float32(width) + np.float32(0.5), 0.0, 1.0)
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


def paint(canvas: np.ndarray, opacity: np.ndarray, value) -> None:
    """Blend `value` (number or array) into `canvas` with `opacity` in 0..1, in place."""
    canvas += opacity * (value - canvas)


def ellipse_depth(x, y, centre, radii, power: float = 2.0) -> np.ndarray:
    """About the depth below the surface of a (super)ellipse, mm: positive inside. centre and radii (x, y);
    radii may be arrays.
    """
    if power == 2.0:
        return (1.0 - np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1])) * np.minimum(
            radii[0], radii[1]
        )
    level = (np.abs(x - centre[0]) / radii[0]) ** power + (np.abs(y - centre[1]) / radii[1]) ** power
    return (1.0 - level ** (1.0 / power)) * np.minimum(radii[0], radii[1])


def ellipsoid_depth(x, y, z, centre, radii) -> np.ndarray:
    """About the depth below the surface of an ellipsoid, mm: positive inside. centre and radii (x, y, z)."""
    level = sum(((axis - middle) / radius) ** 2 for axis, middle, radius in zip((x, y, z), centre, radii))
    return (1.0 - np.sqrt(level)) * min(radii)


def _taps(positions_mm: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """First knot (P,) and weights (P, 4) float32 of the cubic B-spline with knots `spacing_mm` apart."""
    t = (positions_mm - positions_mm.min()) / spacing_mm
    first = np.floor(t).astype(int)
    u = t - first
    weights = (
        np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], axis=1)
        / 6.0
    )
    return first, weights.astype(np.float32)
