"""Scale intensities: fixed windows (CT), and the per-volume statistics that training and prediction share."""

import numpy as np

from clamnet_tf.errors import UserInputError

NORMALIZATIONS = ("zscore", "percentile", "window", "none")  # data.normalization of a recipe
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
ZSCORE_LIMIT = 5.0
SHADES = (128.0, 256.0)  # center and width that show 0..255 as 0..1 (LINEAR of DICOM)


def apply_window(array: np.ndarray, center: float, width: float, function: str | None = None) -> np.ndarray:
    """Apply a window of DICOM PS3.3 C.11.2.1 to values of any shape and unit; return float32 in 0..1.

    Args:
        array: the values.
        center: centre of the window, in the unit of the values.
        width: width of the window, in the unit of the values.
        function: LINEAR (C.11.2.1.2.1, the default for a width above 1): 0 up to center - 0.5 - (width-1)/2,
            1 above center - 0.5 + (width-1)/2, linear between. LINEAR_EXACT (C.11.2.1.3.2, the default for a
            width up to 1, where LINEAR degenerates to a step): 0 up to center - width/2, 1 above center +
            width/2. SIGMOID (C.11.2.1.3.1): 1 / (1 + exp(-4 (x - center) / width)).

    Raises:
        UserInputError: the function is unknown or does not allow the width.
    """
    if function is None:
        function = "LINEAR" if width > 1 else "LINEAR_EXACT"
    if function not in FUNCTIONS:
        raise UserInputError(f"window function {function!r}; known are {', '.join(FUNCTIONS)}.")
    allowed = width >= 1 if function == "LINEAR" else width > 0
    if not (allowed and np.isfinite([center, width]).all()):
        least = "at least 1" if function == "LINEAR" else "above 0"
        raise UserInputError(
            f"window of width {width} around {center}: {function} needs a finite center and a width {least}."
        )
    values = np.asarray(array, dtype=np.float32)
    if function == "SIGMOID":
        with np.errstate(over="ignore"):  # exp of a far value overflows to infinity, which correctly gives 0
            return 1.0 / (1.0 + np.exp((values - np.float32(center)) * np.float32(-4.0 / width)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    if width == 0:
        return (values > np.float32(center)).astype(np.float32)
    scaled = (values - np.float32(center)) * np.float32(1.0 / width) + np.float32(0.5)
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def window_of(window, eight_bits: bool):
    """Return the window for the values of a file.

    Pictures of 8 bits already show the recipe's window, so theirs is `SHADES`.

    Args:
        window: the recipe's data.window, or None.
        eight_bits: whether the file is a picture of 8 bits.
    """
    return SHADES if window is not None and eight_bits else window


def normalize(
    array: np.ndarray, organ: np.ndarray, method: str, window: tuple[float, float] | None = None
) -> np.ndarray:
    """Normalise a complete volume by its own statistics, equally in training, prediction and the zoo's
    contract.

    A channel that is constant inside the organ becomes 0 throughout under zscore and percentile.

    Args:
        array: (slices, rows, columns, channels), finite, in the unit of the file.
        organ: bool (slices, rows, columns); statistics are taken inside it, over the complete volume when it
            is empty. The result covers the complete volume.
        method: applied per channel. zscore: (x - mean) / deviation, clipped to -5..5. percentile: 1st..99th
            percentile to 0..1, clipped. window: the window's 0..1 unchanged; needs `window`. none: unchanged.
        window: (center, width) or an object with these attributes, applied first to every channel; None for
            none.

    Returns:
        float32 of the same shape.

    Raises:
        UserInputError: the method is unknown, or is window without a window.
    """
    array, organ = np.asarray(array), np.asarray(organ, dtype=bool)
    if array.ndim != 4 or organ.shape != array.shape[:3]:
        raise ValueError(
            f"normalize needs (S, H, W, C) and an organ mask (S, H, W), got {array.shape} and {organ.shape}"
        )
    if method not in NORMALIZATIONS:
        raise UserInputError(f"data.normalization is {method!r}; known are {', '.join(NORMALIZATIONS)}.")
    if method == "window" and window is None:
        raise UserInputError(
            "data.normalization is 'window', but data.window gives no center and width; give it, or use "
            "zscore."
        )
    if window is None:
        values = np.array(array, dtype=np.float32)
    else:
        center, width = window if isinstance(window, (tuple, list)) else (window.center, window.width)
        values = apply_window(array, center, width)
    if method in ("window", "none"):
        return values
    for channel in range(values.shape[-1]):
        inside = values[..., channel][organ] if organ.any() else values[..., channel].ravel()
        values[..., channel] = _ZSCORE_OR_PERCENTILE[method](values[..., channel], inside)
    return values


def _zscore(values, inside):
    mean, deviation = inside.mean(dtype=np.float64), inside.std(dtype=np.float64)
    if not deviation > 1e-6 * max(abs(mean), 1e-30):
        return np.zeros_like(values)
    return np.clip((values - np.float32(mean)) / np.float32(deviation), -ZSCORE_LIMIT, ZSCORE_LIMIT)


def _percentile(values, inside):
    low, high = np.percentile(inside, (1.0, 99.0))
    if not high > low:
        return np.zeros_like(values)
    return np.clip((values - np.float32(low)) / np.float32(high - low), 0.0, 1.0)


_ZSCORE_OR_PERCENTILE = {"zscore": _zscore, "percentile": _percentile}
