"""Draw pictures of a slice for the report and for `predict`: grey image, outlines, transparent fill, heat
map.

The colours are those of Okabe and Ito, which people with any colour vision can distinguish. Colour is never
the only cue: the reference is a solid line, the marked region a line with a fill (dashed in the report).
"""

import base64
import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage import measure

from clamnet_tf.errors import ImageError
from clamnet_tf.files import write_bytes

TRUTH_RGB = (86, 180, 233)
"""Sky blue, the reference outline."""
MARKED_RGB = (230, 159, 0)
"""Orange, what the network marked."""
CLASS_RGB = (MARKED_RGB, (0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0), (0, 114, 178))
"""Colours of lesion classes 1, 2, ...: orange, green, purple, yellow, vermilion, blue, then from the
beginning.
"""
FILL_OPACITY = 0.28
_HEAT_STOPS = np.array(
    [
        [0, 0, 0, 0],
        [66, 10, 104, 110],
        [147, 38, 103, 165],
        [221, 81, 58, 190],
        [252, 165, 10, 205],
        [252, 255, 164, 220],
    ]
)
HEAT_LEVELS = 64


def display_gray(
    image: np.ndarray, channel: int | None = None, organ: np.ndarray | None = None
) -> np.ndarray:
    """Convert a slice to grey values for display.

    Black and white are the 1st and the 99.5th percentile. Values that are not finite become black.

    Args:
        image: (H, W) or (H, W, C), any unit.
        channel: Channel to show; None: the middle one of several (kaggle_3m: FLAIR).
        organ: (H, W) bool; percentiles are taken inside it. None or empty: of the whole image.

    Returns:
        (H, W) uint8.

    Raises:
        ImageError: The image has no such channel, or it is not a single slice.
    """
    image = np.asarray(image, np.float32)
    if image.ndim == 3:
        channel = image.shape[2] // 2 if channel is None else channel
        if not 0 <= channel < image.shape[2]:
            raise ImageError(
                f"Channel {channel} cannot be shown: the image has channels 0..{image.shape[2] - 1}."
            )
        image = image[:, :, channel]
    if image.ndim != 2:
        raise ImageError(
            f"Expected one slice (H, W) or (H, W, C) to show; received an array of shape {image.shape}."
        )
    image = np.nan_to_num(image, nan=float(image[np.isfinite(image)].min(initial=0.0)))
    inside = image if organ is None or not np.any(organ) else image[np.asarray(organ, bool)]
    black, white = np.percentile(inside, [1, 99.5])
    return np.round(255 * np.clip((image - black) / max(white - black, 1e-6), 0, 1)).astype(np.uint8)


def overlay(
    gray: np.ndarray, marked: np.ndarray | None, truth: np.ndarray | None = None, scale: int = 1
) -> np.ndarray:
    """Draw marked region and reference over a grey slice.

    Args:
        gray: (H, W) uint8.
        marked: (H, W) bool, or class numbers from 1: line and transparent fill in the class's colour
            (CLASS_RGB), drawn inside the mask. None: nothing.
        truth: (H, W) bool, or class numbers from 1: blue line just outside the mask, so that both lines stay
            visible where the outlines agree. None: nothing.
        scale: Integer enlargement.

    Returns:
        RGB (H * scale, W * scale, 3) uint8.
    """
    height, width = gray.shape
    canvas = np.asarray(
        Image.fromarray(gray).resize((width * scale, height * scale), Image.Resampling.BICUBIC), np.float32
    )
    canvas = np.repeat(canvas[:, :, None], 3, axis=2)
    for class_number, class_mask in by_number(marked):
        mask, colour = _enlarge(class_mask, scale), class_rgb(class_number)
        canvas[mask] += FILL_OPACITY * (np.float32(colour) - canvas[mask])
        canvas[mask & ~ndimage.binary_erosion(mask, iterations=(scale + 1) // 2)] = colour
    for _, class_mask in by_number(truth):
        mask = _enlarge(class_mask, scale)
        canvas[ndimage.binary_dilation(mask, iterations=(scale + 1) // 2) & ~mask] = TRUTH_RGB
    return np.round(canvas).astype(np.uint8)


def class_rgb(class_number: int) -> tuple[int, int, int]:
    """Return the colour of a lesion class, counted from 1."""
    return CLASS_RGB[(class_number - 1) % len(CLASS_RGB)]


def by_number(mask: np.ndarray | None) -> list[tuple[int, np.ndarray]]:
    """Split a mask into classes.

    Args:
        mask: (H, W) bool, or class numbers (uint8); None counts as empty.

    Returns:
        (class number, (H, W) bool) of every class in the mask, in the order of the numbers.
    """
    if mask is None:
        return []
    mask = np.asarray(mask)
    return [(int(value), mask == value) for value in np.unique(mask) if value]


def with_legend(picture: np.ndarray, names) -> np.ndarray:
    """Add a strip with colour and name of each lesion class below a picture.

    Args:
        picture: RGB (H, W, 3) uint8.
        names: Names of the lesion classes, in order.

    Returns:
        RGB (H + strip, W, 3) uint8; the strip has as many lines as the names need.
    """
    font, height, width = ImageFont.load_default(), 14, picture.shape[1]
    positions, x, line = [], 4, 0
    for name in names:
        entry_width = 14 + round(font.getlength(name)) + 10
        if x > 4 and x + entry_width > width:
            x, line = 4, line + 1
        positions.append((x, line * height))
        x += entry_width
    strip = Image.new("RGB", (width, (line + 1) * height))
    pen = ImageDraw.Draw(strip)
    for class_number, (name, (left, top)) in enumerate(zip(names, positions), start=1):
        pen.rectangle((left, top + 3, left + 8, top + 10), fill=class_rgb(class_number))
        pen.text((left + 12, top + 1), name, fill=(230, 230, 230), font=font)
    return np.concatenate([picture, np.asarray(strip)])


def contour_path(mask: np.ndarray) -> str:
    """Return the outline of a mask (H, W) bool as SVG path data.

    The unit is the pixel, x to the right, y down, (0, 0) the image's corner. Outer borders and holes are
    closed subpaths (fill-rule evenodd); an empty mask gives an empty path.
    """
    padded = np.pad(np.asarray(mask, bool), 1).astype(np.float32)
    subpaths = []
    for line in measure.find_contours(padded, 0.5):
        points = _simplified(line, 0.3)[:-1] - 0.5
        subpaths.append("M" + "L".join(f"{column:.4g} {row:.4g}" for row, column in points) + "Z")
    return "".join(subpaths)


def _simplified(points: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the points of a line (N, 2) without which it would be more than `tolerance` off, by Douglas and
    Peucker.

    skimage.measure.approximate_polygon does the same but loads scipy.signal, a quarter of a short prediction.
    """
    kept = np.zeros(len(points), bool)
    kept[[0, -1]] = True
    spans = [(0, len(points) - 1)]
    while spans:
        start, end = spans.pop()
        if end - start < 2:
            continue
        offsets, chord = points[start + 1 : end] - points[start], points[end] - points[start]
        share = np.clip(offsets @ chord / (chord @ chord or 1.0), 0, 1)
        distances = np.hypot(*(offsets - share[:, None] * chord).T)
        farthest = int(distances.argmax())
        if distances[farthest] > tolerance:
            middle = start + 1 + farthest
            kept[middle] = True
            spans += [(start, middle), (middle, end)]
    return points[kept]


def heat_rgba() -> np.ndarray:
    """Return (HEAT_LEVELS, 4) uint8: colour and opacity of probability 0..1.

    The colours run from transparent over purple and red to pale yellow.
    """
    position = np.linspace(0, len(_HEAT_STOPS) - 1, HEAT_LEVELS)
    return (
        np.stack([np.interp(position, range(len(_HEAT_STOPS)), stop) for stop in _HEAT_STOPS.T], axis=1)
        .round()
        .astype(np.uint8)
    )


def heat_png(probability: np.ndarray) -> bytes:
    """Encode probabilities (H, W) float 0..1 as a palette PNG with transparency and HEAT_LEVELS colours."""
    levels = np.round(np.clip(probability, 0, 1) * (HEAT_LEVELS - 1)).astype(np.uint8)
    picture, palette = Image.fromarray(levels).convert("P"), heat_rgba()
    picture.putpalette(palette[:, :3].tobytes())
    stream = io.BytesIO()
    picture.save(stream, "PNG", transparency=palette[:, 3].tobytes())
    return stream.getvalue()


def png(array: np.ndarray) -> bytes:
    """Encode an array as PNG.

    Args:
        array: (H, W) bool or uint8, or (H, W, 3) uint8. A bool mask becomes 0 and 255, numbers stay
            unchanged.
    """
    array = np.asarray(array)
    stream = io.BytesIO()
    Image.fromarray((array * np.uint8(255)) if array.dtype == bool else array).save(stream, "PNG")
    return stream.getvalue()


def write_png(path, array: np.ndarray) -> None:
    """Write `png(array)` to `path` atomically."""
    write_bytes(path, png(array))


def data_uri(content: bytes) -> str:
    """Return PNG bytes as a data: address for a page that works offline."""
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _enlarge(mask: np.ndarray, scale: int) -> np.ndarray:
    """Repeat each pixel of a mask `scale` times in both directions."""
    return np.asarray(mask, bool).repeat(scale, axis=0).repeat(scale, axis=1)


def display_channel(recipe, channels: int) -> int:
    """Return the channel to show: FLAIR of a three-channel MRI (pre-contrast, FLAIR, post-contrast), else the
    first.
    """
    return 1 if recipe.modality == "mri" and channels == 3 else 0
