"""Put one volume on the slices of another by their positions in the patient, with linear interpolation."""

from collections.abc import Sequence as Ordered

import numpy as np
from scipy import ndimage

_SNAP = 1e-3  # voxels; headers round positions, and a shift of so little only blurs


def resample(
    values: np.ndarray,
    affine: np.ndarray,
    slice_affines: Ordered[np.ndarray],
    shape: tuple[int, int],
    transform: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a volume on the slices of another one, and where it covers them.

    Between voxel centres the values are interpolated linearly; up to half a voxel beyond the outermost
    centres they are those of the edge, and elsewhere the least value of the volume.

    Args:
        values: (S, H, W) float32, the volume.
        affine: 4x4, (slice, row, column, 1) of `values` -> mm, LPS.
        slice_affines: per wanted slice, 4x4, (0, row, column, 1) -> mm, LPS.
        shape: rows and columns of a wanted slice.
        transform: 4x4, mm of the wanted slices -> mm of the volume, as a registration finds it; None: the
            same.

    Returns:
        (slices, rows, columns) float32 and bool.
    """
    to_index = np.linalg.inv(affine) @ (np.eye(4) if transform is None else transform)
    sides = np.array(values.shape, np.float64)
    result = np.full((len(slice_affines), *shape), values.min(), np.float32)
    inside = np.zeros(result.shape, bool)
    rows, columns = np.mgrid[: shape[0], : shape[1]].reshape(2, -1).astype(np.float64)
    for index, slice_affine in enumerate(slice_affines):
        steps = to_index @ slice_affine
        places = steps[:3, 1:2] * rows + steps[:3, 2:3] * columns + steps[:3, 3:4]
        nearest = np.rint(places)
        places = np.where(np.abs(places - nearest) < _SNAP, nearest, places)
        within = ((places >= -0.5) & (places <= sides[:, None] - 0.5)).all(axis=0)
        if within.any():
            clipped = np.clip(places[:, within], 0, sides[:, None] - 1)
            result[index].reshape(-1)[within] = ndimage.map_coordinates(values, clipped, order=1)
            inside[index].reshape(-1)[within] = True
    return result, inside
