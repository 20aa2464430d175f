"""Find the inside of the skull in head CT: `organ.method: cranium` of a recipe.

Nothing is trained. Bone is brighter than any soft tissue; inside is what bone surrounds in 24 directions, so
that a fracture, a suture, the opening of a craniotomy or the holes of the skull base leave no leak, unlike in
filling of holes.
"""

import numpy as np
from scipy import ndimage

from clamnet_tf.preprocessing.resize import resize_bilinear

_BONE_HU = 150.0  # calcified blood and contrast stay below, thin bone above (Hounsfield units)
_AIR_HU = -100.0
_SATURATED = 0.97  # of the largest value: bone in a picture with a brain window, where it is white
_DARK = 0.04  # of the largest value: air and fat in such a picture
_WORKING_SIDE = 128  # of the slice while rays are followed; the mask's edge is found at full size
_DIRECTIONS = 24
_SURROUNDED = 0.8  # share of the directions in which a pixel inside meets bone
_SMALLEST = 0.01  # of the slice: less is no inside
# share of a part that lies inside the section one slice nearer to the widest: other parts are face and neck
_WITHIN_NEIGHBOUR = 0.6
_SHARE_OF_WIDEST = 0.03  # of the widest section; less is the end


def cranium(volume_array: np.ndarray) -> np.ndarray:
    """Find the inside of the skull in each slice, bone excluded; empty below the skull and above it.

    Args:
        volume_array: (slices, rows, columns, channels), axial slices of a head CT in Hounsfield units, or
            pictures of them with a brain window, whose bone is white; only the first channel is used.

    Returns:
        bool (slices, rows, columns).
    """
    array = np.asarray(volume_array)[..., 0].astype(np.float32)
    bone, soft = _bone_and_soft(array)
    sections = np.stack([_inside(skull, tissue) for skull, tissue in zip(bone, soft)])
    return _connected(sections)


def _connected(sections: np.ndarray) -> np.ndarray:
    """Keep, from the widest section outwards, the parts that lie within the section before.

    Arrays are bool (slices, rows, columns).
    """
    inside, areas = np.zeros_like(sections), sections.sum((1, 2))
    start = int(areas.argmax())
    inside[start] = sections[start]
    for step in (-1, 1):
        for s in range(start + step, len(sections) if step > 0 else -1, step):
            labels, count = ndimage.label(sections[s])
            for label in range(1, count + 1):
                part = labels == label
                if (part & inside[s - step]).sum() >= _WITHIN_NEIGHBOUR * part.sum():
                    inside[s] |= part
            if inside[s].sum() < _SHARE_OF_WIDEST * areas[start]:
                inside[s] = False
                break
    return inside


def _bone_and_soft(array: np.ndarray):
    """Return bone, and what is neither bone nor air; (slices, rows, columns) bool each."""
    if array.min() < _AIR_HU:  # Hounsfield units
        bone = array >= _BONE_HU
        return bone, ~bone & (array > _AIR_HU)
    highest = float(array.max())
    bone = array >= _SATURATED * highest
    return bone & (highest > 0), ~bone & (array > _DARK * highest)


def _inside(bone: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """Return the largest part of soft tissue that bone surrounds in one slice, rounded off; bool (rows,
    columns).
    """
    rows, columns = bone.shape
    scale = min(1.0, _WORKING_SIDE / max(rows, columns))
    shape = (max(1, round(rows * scale)), max(1, round(columns * scale)))
    small = resize_bilinear(bone.astype(np.float32), shape) >= 0.4
    if not small.any():
        return np.zeros_like(bone)
    surrounded = resize_bilinear(_surrounded(small), (rows, columns)) >= _SURROUNDED
    cross = ndimage.generate_binary_structure(2, 1)
    radius = max(1, round(max(rows, columns) / 128))
    core = ndimage.binary_opening(surrounded & soft, cross, iterations=radius)
    labels, count = ndimage.label(core)
    if not count:
        return np.zeros_like(bone)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    if sizes.max() < _SMALLEST * bone.size:
        return np.zeros_like(bone)
    region = np.isin(labels, np.flatnonzero(sizes > 0.2 * sizes.max()))
    region = ndimage.binary_dilation(region, cross, iterations=radius, mask=surrounded & soft)
    return (
        ndimage.binary_fill_holes(
            ndimage.binary_closing(np.pad(region, 8), cross, iterations=2 * radius)[8:-8, 8:-8] | region
        )
        & ~bone
        & surrounded
    )


def _surrounded(bone: np.ndarray) -> np.ndarray:
    """Return the share of directions in which a ray from each pixel meets bone, float32 (rows, columns)."""
    longest = max(bone.shape)
    total = np.zeros(bone.shape, np.float32)
    padded = np.pad(bone, longest)
    rows, columns = bone.shape
    for angle in np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS:
        bone_on_ray = np.zeros(bone.shape, bool)
        for distance in range(1, longest + 1):
            down, right = round(distance * np.sin(angle)), round(distance * np.cos(angle))
            bone_on_ray |= padded[
                longest + down : longest + down + rows, longest + right : longest + right + columns
            ]
        total += bone_on_ray
    return total / _DIRECTIONS
