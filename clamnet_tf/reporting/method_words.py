"""Name the simple methods of `clamnet_tf.evaluation.baselines` in words."""

import re

_METHOD = re.compile(
    r"(otsu|size|threshold|consistent)_(channel(\d+)|deviation)(?:_sigma([\d.]+))?_(bright|dark)"
)
_PLACE = {
    "otsu": "Otsu threshold on",
    "size": "expected size on",
    "threshold": "one threshold on",
    "consistent": "consistency of volumes on",
}


def method_in_words(name: str) -> str:
    """Return a simple method's name in words; names of anything else are returned as they are.

    Channels are counted from 0, the smoothing is the standard deviation in pixels of a slice 128 wide.

    Examples:
        >>> method_in_words("threshold_channel0_sigma2_bright")
        'one threshold on bright pixels of channel 0 smoothed by 2 of 128 px'
        >>> method_in_words("consistent_deviation_bright")
        'consistency of volumes on high deviation from normal slices'
    """
    if name == "whole_organ":
        return "the whole organ marked"
    found = _METHOD.fullmatch(name)
    if found is None:
        return name
    kind, _, channel, sigma, side = found.groups()
    if channel is None:
        values = f"{'high' if side == 'bright' else 'low'} deviation from normal slices"
    else:
        values = f"{side} pixels of channel {channel}"
    smoothing = f" smoothed by {sigma} of 128 px" if sigma and float(sigma) else ""
    return f"{_PLACE[kind]} {values}{smoothing}"
