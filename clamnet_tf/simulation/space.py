"""Voxels of a simulated scan in millimetres, smooth random fields over them, and painting of tissues."""

import numpy as np

_DEVIATION = 0.33  # standard deviation of a 3-D cubic B-spline over independent unit coefficients


class Space:
    """Voxel centres of axial slices, in patient millimetres as in DICOM: x to the left, y to the back, z up.

    Rows go to the back and columns to the left, both `pixel_mm` apart and centred on 0.

    Attributes:
        z_mm: (S,) rising heights.
        in_plane_mm: (side,) positions of rows and columns.
        shape: (S, side, side).
        z, y, x: (S, 1, 1), (1, H, 1) and (1, 1, W) float32, which broadcast to `shape`.
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
        """Return a random field (S, H, W) float32 of mean 0 and deviation about `amplitude`.

        It is correlated over about `spacing_mm`.
        """
        return smooth_field(generator, (self.z_mm, self.in_plane_mm, self.in_plane_mm), spacing_mm, amplitude)

    def pixels(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and columns (P,) of the pixels that hold (P, 3) points z, y, x.

        They may lie outside of the image.
        """
        row, column = (
            np.rint((points_mm[:, axis] - self.in_plane_mm[0]) / self.pixel_mm).astype(int) for axis in (1, 2)
        )
        return row, column


def smooth_field(
    generator: np.random.Generator, axes_mm, spacing_mm: float, amplitude: float = 1.0
) -> np.ndarray:
    """Return a cubic B-spline over a lattice of random coefficients, float32.

    It has mean 0, deviation about `amplitude` (in 2-D a little more), and is twice continuously
    differentiable.

    Args:
        generator: source of randomness.
        axes_mm: 2 or 3 one-dimensional arrays of positions, which span the grid.
        spacing_mm: distance of the coefficients.
        amplitude: deviation of the values.
    """
    taps = [_taps(np.asarray(axis, np.float64), spacing_mm) for axis in axes_mm]
    values = generator.standard_normal([knots.max() + 4 for knots, _ in taps], np.float32).clip(-2.5, 2.5)
    values *= np.float32(amplitude / _DEVIATION)
    for axis, (knots, weights) in enumerate(taps):
        shape = [-1 if other == axis else 1 for other in range(len(taps))]
        values = sum(weights[:, k].reshape(shape) * np.take(values, knots + k, axis=axis) for k in range(4))
    return values


def smooth_step(values: np.ndarray, width: float = 1.0) -> np.ndarray:
    """Return 0 below -width/2, 1 above width/2 and a smooth rise between, as float32 of the same shape."""
    t = np.clip(np.asarray(values, np.float32) / np.float32(width) + np.float32(0.5), 0.0, 1.0)
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)


def paint(canvas: np.ndarray, opacity: np.ndarray, value) -> None:
    """Blend `value` (number or array) into `canvas` with `opacity` in 0..1, in place."""
    canvas += opacity * (value - canvas)


def ellipse_depth(x, y, centre, radii, power: float = 2.0) -> np.ndarray:
    """Return approximately the depth below the surface of a (super)ellipse in mm, positive inside.

    Args:
        x, y: coordinates in mm.
        centre: (x, y) in mm.
        radii: (x, y) in mm, numbers or arrays.
        power: exponent of the superellipse, 2 for an ellipse.
    """
    if power == 2.0:
        return (1.0 - np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1])) * np.minimum(
            radii[0], radii[1]
        )
    level = (np.abs(x - centre[0]) / radii[0]) ** power + (np.abs(y - centre[1]) / radii[1]) ** power
    return (1.0 - level ** (1.0 / power)) * np.minimum(radii[0], radii[1])


def ellipsoid_depth(x, y, z, centre, radii) -> np.ndarray:
    """Return approximately the depth below the surface of an ellipsoid in mm, positive inside.

    Args:
        x, y, z: coordinates in mm.
        centre: (x, y, z) in mm.
        radii: (x, y, z) in mm.
    """
    level = sum(((axis - middle) / radius) ** 2 for axis, middle, radius in zip((x, y, z), centre, radii))
    return (1.0 - np.sqrt(level)) * min(radii)


def _taps(positions_mm: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return first knots (P,) and weights (P, 4) float32 of the cubic B-spline with this knot spacing."""
    t = (positions_mm - positions_mm.min()) / spacing_mm
    knots = np.floor(t).astype(int)
    u = t - knots
    weights = (
        np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], axis=1)
        / 6.0
    )
    return knots, weights.astype(np.float32)
