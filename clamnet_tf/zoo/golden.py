"""A fixed input and what a network must give for it: weights that are swapped or damaged in meaning give
something else.

golden.json: input (in words), side, channels, pixels (row, column), marker_probability: head -> mean,
maximum, at (the pixels), tolerance (largest difference allowed of each number). Of a network that tells
several markers apart a head also has
markers: the same numbers of each, in the order of its classes, since those of all together do not tell which
is which.
"""

import numpy as np

INPUT = "golden_input(side, channels) of clamnet_tf.zoo.golden"
TOLERANCE = 1e-4


def golden_input(side: int, channels: int) -> np.ndarray:
    """(1, side, side, channels) float32 in about -2..3 from a formula, so that no file is needed: rings and a
    bump in a disc.
    """
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    radius = np.hypot(rows, columns)
    bump = 2 * np.exp(-80 * ((rows - 0.1) ** 2 + (columns + 0.15) ** 2))
    image = np.stack([np.cos(20 * radius + channel) + bump for channel in range(channels)], axis=-1)
    return (image * (radius < 0.45)[..., None])[None].astype(np.float32)


def golden_output(network) -> dict:
    """golden.json of a network with heads (a Keras model, image -> dict of (1, side, side, classes))."""
    _, side, _, channels = network.inputs[0].shape
    outputs = network(golden_input(side, channels), training=False)
    pixels = [[side // 2, side // 2], [int(0.6 * side), int(0.35 * side)], [side // 4, side // 2]]
    heads = {}
    for name, value in sorted(outputs.items()):
        value = np.asarray(value)[0]
        heads[name] = _numbers_of(value[..., 0] if value.shape[-1] == 1 else 1.0 - value[..., 0], pixels)
        if value.shape[-1] > 2:
            heads[name]["markers"] = [
                _numbers_of(value[..., place], pixels) for place in range(1, value.shape[-1])
            ]
    return {
        "input": INPUT,
        "side": side,
        "channels": channels,
        "pixels": pixels,
        "marker_probability": heads,
        "tolerance": TOLERANCE,
    }


def golden_difference(stored: dict, found: dict) -> float:
    """The largest difference between the numbers of two golden outputs; infinite when they are not of the
    same heads, markers and pixels.
    """
    ours, theirs = (
        {name: _flat(row) for name, row in each["marker_probability"].items()} for each in (stored, found)
    )
    sizes = [{name: len(numbers) for name, numbers in each.items()} for each in (ours, theirs)]
    if sizes[0] != sizes[1] or stored["pixels"] != found["pixels"]:
        return float("inf")
    return float(
        np.max([np.abs(np.subtract(ours[name], theirs[name])) for name in ours])
    )  # NaN when one number is


def _numbers_of(marker: np.ndarray, pixels) -> dict:
    return {
        "mean": float(marker.mean()),
        "maximum": float(marker.max()),
        "at": [float(marker[row, column]) for row, column in pixels],
    }


def _flat(row: dict) -> list:
    return [
        row["mean"],
        row["maximum"],
        *row["at"],
        *(number for one in row.get("markers", ()) for number in _flat(one)),
    ]
