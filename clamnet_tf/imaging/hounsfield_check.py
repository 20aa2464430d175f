"""Check whether the values of a CT volume can be Hounsfield units (PS3.3 C.11.1.1.2), and what else they may
be.

Air lies near -1000, fat near -100, water at 0, soft tissue between 0 and 80, bone above 200. A crop may lack
air, a masked volume may have any background, and padding may be any value, but every volume in Hounsfield
units has tissue near 0.
"""

import numpy as np

TISSUE = (-150.0, 150.0)  # fat, water, blood, soft tissue, with the noise of a thin slice
AIR = (-1100.0, -850.0)
OFFSETS = {  # value added to Hounsfield units -> its cause
    1024.0: "stored values without RescaleIntercept -1024",
    1000.0: "Hounsfield units with 1000 added",
    -1024.0: "RescaleIntercept -1024 applied twice",
    32768.0: "signed values read as unsigned ones, 32768 added",
    33792.0: "stored values without RescaleIntercept, read as unsigned ones, 33792 added",
    -32768.0: "unsigned values read as signed ones, 32768 taken off",
    2048.0: "Hounsfield units with 2048 added",
}
_SAMPLE = 2_000_000  # voxels that are examined, evenly spread
_CONVERT = "Convert the original again, without rescaling or normalisation"
SMALLEST_PIXELS = 32 * 32
_DENSE = 850.0  # hardly anything in a patient is denser, except cortical bone, contrast material and metal


def why_not_hounsfield(array: np.ndarray) -> str | None:
    """Return the reason why values are not Hounsfield units, with likely cause and remedy; None when they can
    be.

    Args:
        array: CT values (slices, rows, columns, channels) of any crop. A constant volume and one of less than
            32 x 32 pixels cannot be judged and are accepted.
    """
    low, high = float(array.min()), float(array.max())
    if low == high or array.shape[1] * array.shape[2] < SMALLEST_PIXELS:
        return None
    values = _sample(array)
    body = _without_background(values, low)
    for check in (_normalised, _offset, _inverted, _shades, _far_from_tissue, _scaled_from_zero):
        finding = check(values, body, low, high)
        if finding:
            cause, cure = finding
            return (
                f"its values, {low:.4g} to {high:.4g}, are not Hounsfield units, which this model needs. "
                f"They look like {cause}. "
                f"{cure}; or insist with --any-modality."
            )
    return None


def _sample(array) -> np.ndarray:
    flat = np.asarray(array).reshape(-1)
    return flat[:: max(1, flat.size // _SAMPLE)].astype(np.float64)


def _without_background(values, low) -> np.ndarray:
    """Return the values without the lowest one (padding, air, masked background), or all when few remain."""
    rest = values[values > low]
    return rest if len(rest) > 0.01 * len(values) else values


def _share(values, low, high) -> float:
    """Return the share of values between `low` and `high`."""
    return float(((values >= low) & (values <= high)).mean())


def _normalised(values, body, low, high):
    """Recognise values scaled to 0..1, -1..1 or z-scores."""
    if low >= -1.5 and high <= 1.5:
        return "values scaled to 0..1 or -1..1", _CONVERT
    if values.std() < 5.0 or high - low < 40.0:
        return "values standardised to mean 0 and deviation 1 (z-scores), or scaled", _CONVERT
    return None


def _offset(values, body, low, high):
    """Recognise an added offset, by which clearly more values become air and soft tissue."""

    def tissue(offset):
        return _share(body, TISSUE[0] + offset, TISSUE[1] + offset)

    def fit(offset):
        return tissue(offset) + _share(body, AIR[0] + offset, AIR[1] + offset)

    plain = fit(0.0)
    for score, offset in sorted(((fit(offset), offset) for offset in OFFSETS), reverse=True):
        if score < plain + 0.05 or tissue(offset) < 0.05:
            continue
        upwards = offset > 0 and np.percentile(body, 0.5) > -200 and _narrow(body, offset)
        if upwards or (offset < 0 and tissue(0.0) < 0.2 * tissue(offset)):
            cause = f"{OFFSETS[offset]} (air near {offset - 1000:.0f}, soft tissue near {offset + 40:.0f})"
            return (
                cause,
                f"{'Subtract' if offset > 0 else 'Add'} {abs(offset):.0f}, or convert the DICOM series again",
            )
    return None


def _narrow(body, offset) -> bool:
    """Return whether most dense values lie in the narrow band of shifted soft tissue; bone spreads widely."""
    dense = body[body > offset - 300]
    return len(dense) > 0 and _share(dense, TISSUE[0] + offset, TISSUE[1] + offset) > 0.5


def _inverted(values, body, low, high):
    """Recognise values with reversed sign."""
    air, beyond = _share(body, -AIR[1], -AIR[0]), _share(body, -AIR[0], np.inf)
    if air > 0.05 and beyond < 0.1 * air and _share(body, -np.inf, AIR[1]) < 0.001:
        return "values turned around (air near +1000), as of MONOCHROME1 or a negative slope", _CONVERT
    return None


def _shades(values, body, low, high):
    """Recognise the values of a byte; Hounsfield units of such a range have negative values (fat, noise of
    water).
    """
    if low < -128 or high > 300:
        return None
    cure = (
        "Give the original values, or pictures of 8 bits as PNG, JPEG or TIFF, which are taken to show the "
        "recipe's window"
    )
    saturated = _share(values, -128, -128) > 0.01 or _share(values, 127, 127) > 0.01
    if high <= 127 and saturated and (low == -128 or high == 127):
        return "shades of a windowed picture, as signed bytes", cure
    negative, zero = _share(values, -np.inf, -0.5), _share(values, -0.5, 0.5)
    if low >= 0 or (negative < 0.01 and zero > 0.05):
        return (
            "shades 0..255 of a windowed picture, or units clipped at 0, which cannot be told from them",
            cure,
        )
    return None


def _far_from_tissue(values, body, low, high):
    """Recognise values that are too dense or not near soft tissue."""
    dense = _share(body, _DENSE, np.inf)
    if dense > 0.3:
        return (
            f"scaled values: {100 * dense:.0f} % are denser than {_DENSE:.0f}, as only bone and metal are",
            _CONVERT,
        )
    if _share(values, *TISSUE) < 0.005:
        return "scaled or shifted values: none lies near 0, where soft tissue is", _CONVERT
    return None


def _scaled_from_zero(values, body, low, high):
    """Recognise values scaled to begin at 0.

    Hounsfield units without air and fat are a masked brain or clipped at 0; then most of the rest is soft
    tissue.
    """
    if low < 0:
        return None
    dense = body[body > 200.0]
    counts = (
        np.histogram(dense, np.arange(200.0, high + 100.0, 50.0))[0]
        if len(dense) > 0.05 * len(body)
        else np.zeros(2)
    )
    peaked = (counts[1:] + counts[:-1]).max() > 0.5 * len(dense) > 0
    if peaked or (_share(body, 5.0, 100.0) < 0.6 and _share(body, 10.0, 100.0) < 0.5):
        return (
            "values scaled to begin at 0: neither air nor fat is there, and few lie near soft tissue",
            _CONVERT,
        )
    return None
