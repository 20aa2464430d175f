"""Grow and draw branching tubes: vessels of lung and liver, airways."""

import numpy as np

from clamnet_tf.simulation.space import Space, smooth_step

_STEP_MM = 1.0


def grow_tree(
    root: np.ndarray, leaves: np.ndarray, *, leaf_mm: float, power: float = 2.6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grow a tree from `root` to every leaf; each leaf joins the node that gives a short way to the root.

    A segment that feeds n leaves has the radius leaf_mm * n^(1/power). The power is 3 in Murray's law (PNAS
    12(3), 1926), and less in lungs.

    Args:
        root: (3,) mm.
        leaves: (N, 3) mm.
        leaf_mm: radius of a segment that feeds one leaf.
        power: exponent of the law above.

    Returns:
        Starts (N, 3), ends (N, 3) and radii (N,) of the segments in mm.
    """
    leaves = leaves[np.argsort(np.linalg.norm(leaves - root, axis=1))]
    nodes, way, parents = (
        np.concatenate([root[None], leaves]),
        np.zeros(len(leaves) + 1),
        np.zeros(len(leaves) + 1, int),
    )
    for node in range(1, len(nodes)):
        gap = np.linalg.norm(nodes[:node] - nodes[node], axis=1)
        parents[node] = np.argmin(gap + 0.6 * way[:node])
        way[node] = way[parents[node]] + gap[parents[node]]
    leaf_counts = np.ones(len(nodes))
    for node in range(len(nodes) - 1, 0, -1):
        leaf_counts[parents[node]] += leaf_counts[node]
    return nodes[parents[1:]], nodes[1:], leaf_mm * leaf_counts[1:] ** (1.0 / power)


def draw_tubes(
    space: Space, starts: np.ndarray, ends: np.ndarray, radii: np.ndarray, slab_mm: float
) -> np.ndarray:
    """Return (S, H, W) float32: the share of each voxel that the tubes fill, 0..1.

    Args:
        space: voxel centres.
        starts, ends: (N, 3) mm, z, y, x.
        radii: (N,) mm.
        slab_mm: thickness of the slices.
    """
    lengths = np.linalg.norm(ends - starts, axis=1)
    counts = np.maximum(np.ceil(lengths / _STEP_MM).astype(int), 1)
    which = np.repeat(np.arange(len(counts)), counts)
    along = (np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + 0.5) / counts[which]
    points = starts[which] + along[:, None] * (ends - starts)[which]
    filled, radius = np.zeros(space.shape, np.float32), radii[which]
    coarse = radius > 2.0 * space.pixel_mm
    for group in (coarse, ~coarse):  # so that fine twigs need only small stamps
        if group.any():
            _stamp(filled, space, points[group], radius[group], slab_mm)
    return filled


def _stamp(filled, space, points, radius, slab_mm):
    """Draw discs of `radius` (P,) around `points` (P, 3) into `filled`, in place, where they meet a slice."""
    reach = int(np.ceil(radius.max() / space.pixel_mm)) + 1
    down, right = (offsets.ravel() for offsets in np.mgrid[-reach : reach + 1, -reach : reach + 1])
    for flat, z_mm in zip(filled.reshape(len(filled), -1), space.z_mm):
        away = np.maximum(np.abs(points[:, 0] - z_mm) - slab_mm / 2, 0.0)
        cut = np.flatnonzero(away < radius)
        if not len(cut):
            continue
        disc = np.sqrt(radius[cut] ** 2 - away[cut] ** 2)[:, None]
        row, column = space.pixels(points[cut])
        rows, columns = row[:, None] + down, column[:, None] + right
        inside = (rows >= 0) & (rows < space.side) & (columns >= 0) & (columns < space.side)
        rows, columns = rows.clip(0, space.side - 1), columns.clip(0, space.side - 1)
        distance = np.hypot(
            space.in_plane_mm[rows] - points[cut, 1, None], space.in_plane_mm[columns] - points[cut, 2, None]
        )
        thin = np.minimum(
            1.0, (2.0 * disc / space.pixel_mm) ** 2
        )  # vessels finer than a pixel fill it partly
        alpha = thin * smooth_step(np.maximum(disc, 0.5 * space.pixel_mm) - distance, space.pixel_mm) * inside
        np.maximum.at(flat, (rows * space.side + columns).ravel(), alpha.ravel().astype(np.float32))
