"""Compare a network's output for a fixed input with a stored one.

Weights that were swapped or damaged give other numbers. golden.json has: input (in words), side, channels,
pixels (row, column), marker_probability (head -> mean, maximum, at: the values at these pixels), tolerance
(largest allowed difference of each number). For a network with several lesion classes a head also has
markers: the same numbers of each class, in the order of the classes, because the numbers of all classes
together do not reveal a swap. A network that gives evidence maps of classifiers has evidence (output -> the
same numbers, in units of the logit) in place of marker_probability; pixels are then those of the maps, which
are coarser than the slice.
"""

import numpy as np

INPUT = "golden_input(side, channels) of clamnet_tf.zoo.golden"
TOLERANCE = 1e-4
TOLERANCE_OF_EVIDENCE = 1e-3  # a logit, not a probability
PROBABILITY, EVIDENCE = "marker_probability", "evidence"


def golden_input(side: int, channels: int) -> np.ndarray:
    """Return a fixed input (1, side, side, channels) float32, values about -2..3: rings and a bump in a disc.

    It is computed from a formula, so no file is needed.
    """
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    radius = np.hypot(rows, columns)
    bump = 2 * np.exp(-80 * ((rows - 0.1) ** 2 + (columns + 0.15) ** 2))
    image = np.stack([np.cos(20 * radius + channel) + bump for channel in range(channels)], axis=-1)
    return (image * (radius < 0.45)[..., None])[None].astype(np.float32)


def golden_output(network) -> dict:
    """Return the content of golden.json for a network.

    Args:
        network: Keras model with heads, image -> dict of (1, side, side, classes), or with evidence maps,
            image -> dict of (1, h, w, 1).
    """
    from clamnet_tf.networks.evidence_maps import is_evidence_maps

    _, side, _, channels = network.inputs[0].shape
    outputs = network(golden_input(side, channels), training=False)
    if is_evidence_maps(network):
        return _golden_evidence(side, channels, outputs)
    pixels = _pixels(side)
    heads = {}
    for name, value in sorted(outputs.items()):
        value = np.asarray(value)[0]
        heads[name] = _numbers_of(value[..., 0] if value.shape[-1] == 1 else 1.0 - value[..., 0], pixels)
        if value.shape[-1] > 2:
            heads[name]["markers"] = [
                _numbers_of(value[..., class_index], pixels) for class_index in range(1, value.shape[-1])
            ]
    return _content(side, channels, pixels, heads)


def golden_output_of(predictor) -> dict:
    """Return the same content from a HeadPredictor of one view, whose engine need not be TensorFlow."""
    side, channels = predictor.input_shape[1:]
    pixels = _pixels(side)
    heads = {}
    for name, maps in zip(predictor.head_names, predictor.heads(golden_input(side, channels))):
        heads[name] = _numbers_of(maps[0].sum(axis=-1), pixels)
        if maps.shape[-1] > 1:
            heads[name]["markers"] = [
                _numbers_of(maps[0, ..., index], pixels) for index in range(maps.shape[-1])
            ]
    return _content(side, channels, pixels, heads)


def golden_numbers(output: dict) -> dict:
    """Return the numbers of each output of a golden.json, as one list for each: name -> list of float."""
    return {name: _flat(row) for name, row in output[EVIDENCE if EVIDENCE in output else PROBABILITY].items()}


def golden_difference(stored: dict, actual: dict) -> float:
    """Return the largest difference between the numbers of two golden outputs.

    It is infinite when heads, classes or pixels differ.
    """
    ours, theirs = golden_numbers(stored), golden_numbers(actual)
    forms = [
        (EVIDENCE in output, output["pixels"], {name: len(numbers) for name, numbers in rows.items()})
        for output, rows in ((stored, ours), (actual, theirs))
    ]
    if forms[0] != forms[1]:
        return float("inf")
    return float(
        np.max([np.abs(np.subtract(ours[name], theirs[name])) for name in ours])
    )  # NaN when one number is


def _pixels(side: int) -> list[list[int]]:
    """Return the pixels, (row, column), whose values golden.json has."""
    return [[side // 2, side // 2], [int(0.6 * side), int(0.35 * side)], [side // 4, side // 2]]


def _golden_evidence(side: int, channels: int, outputs: dict) -> dict:
    """Return the content of golden.json for evidence maps, all of which have the same size."""
    maps = {name: np.asarray(value)[0, ..., 0] for name, value in sorted(outputs.items())}
    pixels = _pixels(len(next(iter(maps.values()))))
    rows = {name: _numbers_of(evidence, pixels) for name, evidence in maps.items()}
    content = _content(side, channels, pixels, rows)
    return content | {EVIDENCE: content.pop(PROBABILITY), "tolerance": TOLERANCE_OF_EVIDENCE}


def _content(side: int, channels: int, pixels, heads: dict) -> dict:
    """Return golden.json with the numbers of each head."""
    return {
        "input": INPUT,
        "side": side,
        "channels": channels,
        "pixels": pixels,
        PROBABILITY: heads,
        "tolerance": TOLERANCE,
    }


def _numbers_of(probability: np.ndarray, pixels) -> dict:
    """Return mean, maximum and the values at some pixels of a map."""
    return {
        "mean": float(probability.mean()),
        "maximum": float(probability.max()),
        "at": [float(probability[row, column]) for row, column in pixels],
    }


def _flat(row: dict) -> list:
    """Return all numbers of a head as one list."""
    return [
        row["mean"],
        row["maximum"],
        *row["at"],
        *(number for class_row in row.get("markers", ()) for number in _flat(class_row)),
    ]
