"""Round regions, take their hulls and split them into parts: what the organ methods of CT and X-ray share."""

import numpy as np
from scipy import ndimage

from clamnet_tf.preprocessing.resize import resize_bilinear

CROSS = ndimage.generate_binary_structure(2, 1)


def working_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Return (rows, columns) scaled so that the longer one is at most `side` pixels."""
    scale = min(1.0, side / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def enlarge(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bring a bool (rows, columns) mask to `shape` with a smooth outline."""
    return mask if mask.shape == tuple(shape) else resize_bilinear(mask.astype(np.float32), shape) >= 0.5


def distance_to(mask: np.ndarray) -> np.ndarray:
    """Return the distance of every pixel to the nearest True pixel; infinite where there is none."""
    return ndimage.distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, np.inf)


def depth_inside(mask: np.ndarray) -> np.ndarray:
    """Return the distance of every pixel to the nearest False pixel.

    Beyond the image's edge no pixel is False.
    """
    return np.full(mask.shape, np.inf) if mask.all() else ndimage.distance_transform_edt(mask)


def rounded_opening(mask: np.ndarray, radius: float) -> np.ndarray:
    """Remove what a disc of `radius` pixels does not fit into; beyond the image its edge repeats."""
    border = int(radius) + 2
    padded = np.pad(mask, border, mode="edge")
    core = depth_inside(padded) > radius
    return ((distance_to(core) <= radius) & padded)[border:-border, border:-border]


def rounded_closing(mask: np.ndarray, radius: float) -> np.ndarray:
    """Fill what a disc of `radius` pixels outside the mask does not reach.

    Beyond the image no pixel is True.
    """
    if not mask.any():
        return mask.copy()
    border = int(radius) + 2
    near = distance_to(np.pad(mask, border)) <= radius
    return (depth_inside(near) > radius)[border:-border, border:-border] | mask


def hull(mask: np.ndarray) -> np.ndarray:
    """Return the convex hull of a mask.

    Fewer than three pixels, or pixels on one line, are returned unchanged.
    """
    rows, columns = np.nonzero(mask)
    if len(rows) < 3 or np.ptp(rows) == 0 or np.ptp(columns) == 0:
        return mask.copy()
    from skimage.morphology import convex_hull_image  # takes a twentieth of a short prediction to load

    top, left = rows.min(), columns.min()
    inside = mask[top : rows.max() + 1, left : columns.max() + 1]
    result = np.zeros_like(mask)
    result[top : rows.max() + 1, left : columns.max() + 1] = convex_hull_image(inside)
    return result


def parts_of(mask: np.ndarray, smallest: float = 0.0) -> list[np.ndarray]:
    """Return the connected parts of at least `smallest` pixels as bool masks, largest first."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    return [labels == index + 1 for index in order if sizes[index] >= smallest]


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill what a mask encloses: background that is not connected, over edges, to the image's border.

    It gives what `scipy.ndimage.binary_fill_holes` gives, in a fifth of its time.

    Args:
        mask: (rows, columns) bool.
    """
    labels, count = ndimage.label(~mask)
    outside = np.zeros(count + 1, bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        outside[edge] = True
    outside[0] = False  # the mask itself
    return ~outside[labels]


def image_border(shape: tuple[int, int]) -> np.ndarray:
    """Return the outermost pixels of an image as a bool mask."""
    border = np.ones(shape, bool)
    border[1:-1, 1:-1] = False
    return border
