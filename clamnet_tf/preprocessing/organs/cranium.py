"""Find the inside of the skull in head CT: `organ.method: cranium` of a recipe.

Nothing is trained. Bone is brighter than any soft tissue; inside is what bone surrounds in 24 directions, so
that a fracture, a suture, the opening of a craniotomy or the holes of the skull base leave no leak, unlike in
filling of holes.
"""

import numpy as np
from scipy import ndimage

from clamnet_tf.preprocessing.organs.region_shapes import fill_holes
from clamnet_tf.preprocessing.resize import resize_bilinear, resize_slices
from clamnet_tf.threads import in_threads

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
    rows, columns = bone.shape[1:]
    scale = min(1.0, _WORKING_SIDE / max(rows, columns))
    shape = (max(1, round(rows * scale)), max(1, round(columns * scale)))
    surrounded = _surrounded(resize_slices(bone, shape) >= 0.4)
    return _connected(np.stack(in_threads(_inside, bone, soft, surrounded)))


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


def _inside(bone: np.ndarray, soft: np.ndarray, surrounded: np.ndarray) -> np.ndarray:
    """Return the largest part of soft tissue that bone surrounds in one slice, rounded off; bool (rows,
    columns).

    Args:
        bone: bool (rows, columns).
        soft: bool (rows, columns).
        surrounded: float32 of a smaller or the same size: share of directions that meet bone.
    """
    nothing, radius = np.zeros_like(bone), max(1, round(max(bone.shape) / 128))
    surrounded = resize_bilinear(surrounded, bone.shape) >= _SURROUNDED
    candidate = surrounded & soft
    if not candidate.any():
        return nothing
    # What follows changes nothing outside of the box of the candidates: a somewhat wider box is enough.
    part = tuple(
        slice(max(0, along[0] - 2 * radius - 8), along[-1] + 1 + 2 * radius + 8)
        for along in (np.flatnonzero(candidate.any(1)), np.flatnonzero(candidate.any(0)))
    )
    candidate = candidate[part]
    cross = ndimage.generate_binary_structure(2, 1)
    core = ndimage.binary_opening(candidate, cross, iterations=radius)
    labels, count = ndimage.label(core)
    if not count:
        return nothing
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    if sizes.max() < _SMALLEST * bone.size:
        return nothing
    region = (sizes > 0.2 * sizes.max())[labels]
    region = ndimage.binary_dilation(region, cross, iterations=radius, mask=candidate)
    closed = ndimage.binary_closing(np.pad(region, 8), cross, iterations=2 * radius)[8:-8, 8:-8]
    nothing[part] = fill_holes(closed | region) & ~bone[part] & surrounded[part]
    return nothing


def _surrounded(bone: np.ndarray) -> np.ndarray:
    """Return the share of directions in which a ray from each pixel meets bone.

    Args:
        bone: bool (slices, rows, columns).

    Returns:
        float32 (slices, rows, columns), in 0..1.
    """
    slices, rows, columns = bone.shape
    packed = np.packbits(bone, axis=0)  # eight slices are followed at once
    total = np.zeros(bone.shape, np.uint8)
    for ray in _rays(rows, columns):
        bone_on_ray = np.zeros_like(packed)
        for down, right in ray:
            row_there, row_here = _shifted(rows, down)
            column_there, column_here = _shifted(columns, right)
            bone_on_ray[:, row_here, column_here] |= packed[:, row_there, column_there]
        total += np.unpackbits(bone_on_ray, axis=0, count=slices)
    return total.astype(np.float32) / _DIRECTIONS


def _rays(rows: int, columns: int) -> list[list[tuple[int, int]]]:
    """Return, for each direction, the (rows, columns) from a pixel to those on its ray within the image."""
    longest, rays = max(rows, columns), []
    for angle in np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS:
        steps = (
            (round(distance * np.sin(angle)), round(distance * np.cos(angle)))
            for distance in range(1, longest + 1)
        )
        rays.append([step for step in dict.fromkeys(steps) if abs(step[0]) < rows and abs(step[1]) < columns])
    return rays


def _shifted(length: int, step: int) -> tuple[slice, slice]:
    """Return where the pixels of a line lie that are `step` further, and where those lie that see them."""
    return slice(max(step, 0), length + min(step, 0)), slice(max(-step, 0), length - max(step, 0))
