"""Split several images at one position into volumes, by the differences of their headers."""

import numpy as np

from clamnet_tf.imaging.acquisition import DIFFERENCES, UNITS
from clamnet_tf.imaging.dicom_header import Frame
from clamnet_tf.imaging.image_grids import is_placed

_SAME_PLACE_MM = 1e-2
# These values also differ inside a volume, so images are ranked by them at each position.
_RANKED = ("trigger time", "temporal position", "acquisition time", "content time")


def split_repeats(stack: list[Frame]) -> tuple[list[tuple[str, list[Frame]]], str]:
    """Split the images of one grid into volumes in which no position comes twice.

    Returns:
        ([(words that distinguish it, images) of each volume], ''), or ([], reason) when they cannot be
            distinguished.
    """
    most = _most_at_a_position(stack)
    if most == 1:
        return _uneven_parts(stack), ""
    for words in DIFFERENCES:
        parts = _parts(stack, words)
        if (
            parts
            and 1 < len(parts) <= most
            and max(map(_most_at_a_position, parts.values())) < most
            and min(map(len, parts.values())) > 1
        ):
            return _each_split(parts, words)
    for words in _RANKED:
        parts = _ranked(stack, words, most)
        if parts:
            return [(f"{words} {rank} of {most}", part) for rank, part in enumerate(parts, start=1)], ""
    for words in DIFFERENCES:  # volumes of one image, or values that are repeated only in some positions
        parts = _parts(stack, words)
        if (
            parts
            and len(parts) > 1
            and max(map(_most_at_a_position, parts.values())) == 1
            and len(parts) <= max(most, len(stack) // 2 if most > 2 else most)
        ):
            return _each_split(parts, words)
    twice = _at_the_fullest_position(stack)
    names = ", ".join(frame.name for frame in twice[:3])
    return [], (
        f"{most} images at one position ({names}{' ...' if most > 3 else ''}) that no field of their headers "
        "distinguishes (acquisition, echo, b-value, temporal position, trigger time, image type and others "
        "were compared). Keep one image per position, "
        "or move each volume to a folder of its own"
    )


def _each_split(parts, words):
    """Split every part further; return the volumes, or the first reason why that fails."""
    volumes, reasons = [], []
    for value, part in parts.items():
        part_volumes, reason = split_repeats(part)
        volumes += [
            (", ".join(filter(None, (f"{words} {_value_text(words, value)}", more))), images)
            for more, images in part_volumes
        ]
        reasons += [reason] if reason else []
    return ([], reasons[0]) if reasons else (volumes, "")


def _parts(stack, words):
    """Return {value: images} by one difference, None when some image does not state it."""
    values = [frame.differences.get(words) for frame in stack]
    if any(value is None for value in values):
        return None
    parts: dict = {}
    for value, frame in sorted(zip(values, stack), key=lambda pair: (isinstance(pair[0], str), pair[0])):
        parts.setdefault(value, []).append(frame)
    return parts


def _ranked(stack, words, most):
    """Return the first images of all positions, the second ones, and so on, by a rising value.

    Returns:
        None when the value does not distinguish them.
    """
    positions = _positions(stack)
    if any(len(images) != most for images in positions):
        return None
    ordered = []
    for images in positions:
        values = [frame.differences.get(words) for frame in images]
        if None in values or len(set(values)) < most or len({type(value) for value in values}) > 1:
            return None
        ordered.append([images[n] for n in sorted(range(most), key=values.__getitem__)])
    return [[images[rank] for images in ordered] for rank in range(most)]


def _uneven_parts(stack):
    """Return one volume, or several when the gaps of all images are uneven and those of each part are even.

    That is how interleaved or distant acquisitions look.
    """
    if _even(stack):
        return [("", stack)]
    for words in ("acquisition", "stack", "echo", "b-value", "temporal position", "series number"):
        parts = _parts(stack, words)
        if parts and len(parts) > 1 and min(map(len, parts.values())) > 2 and all(map(_even, parts.values())):
            return [(f"{words} {_value_text(words, value)}", part) for value, part in parts.items()]
    return [("", stack)]


def _even(stack):
    """Return whether images are evenly spaced."""
    if len(stack) < 3 or not is_placed(stack[0]):
        return True
    normal = np.cross(stack[0].orientation[:3], stack[0].orientation[3:])
    positions = np.stack([frame.position for frame in stack])
    positions = positions[np.argsort(positions @ normal)]
    steps = np.diff(positions, axis=0)
    usual = np.median(steps, axis=0)
    return bool(np.abs(steps - usual).max() <= max(0.05 * np.linalg.norm(usual), 0.11))


def _positions(stack):
    """Return the images by position along the normal, as lists."""
    if not is_placed(stack[0]):
        numbers: dict = {}
        for frame in stack:
            numbers.setdefault(
                (frame.instance_number, frame.index if frame.instance_number is not None else frame.path), []
            ).append(frame)
        return list(numbers.values())
    normal = np.cross(stack[0].orientation[:3], stack[0].orientation[3:])
    groups: list[list[Frame]] = []
    last = None
    for along, frame in sorted(
        ((float(frame.position @ normal), frame) for frame in stack), key=lambda pair: pair[0]
    ):
        if last is not None and along - last < _SAME_PLACE_MM:
            groups[-1].append(frame)
        else:
            groups.append([frame])
            last = along
    return groups


def _most_at_a_position(stack):
    return max(map(len, _positions(stack)))


def _at_the_fullest_position(stack):
    return max(_positions(stack), key=len)


def _value_text(words, value):
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text + UNITS.get(words, "")
