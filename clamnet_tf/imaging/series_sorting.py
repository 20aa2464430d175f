"""Separate one DICOM series into volumes, views, strays that belong to no volume, and copies.

A SeriesInstanceUID guarantees little. Scanners and archives put into one series: a stack and its scouts,
colour pages and secondary captures; several phases, echoes or diffusion weights at each position; two
acquisitions; the same images twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.imaging.acquisition import is_projection
from clamnet_tf.imaging.dicom_header import Frame
from clamnet_tf.imaging.image_grids import by_grid, grid_names, why_stray
from clamnet_tf.imaging.repeated_positions import split_repeats

_FEW = 3  # fewer images of another grid than this, beside a stack, are strays ...
_SHARE = 0.25  # ... and so are fewer than this share of the largest stack
_STACKED = ("CT", "MR", "PT", "NM", "")  # modalities whose images without a position may still be slices


@dataclass(frozen=True)
class SortedSeries:
    """The parts of one series; each image of it belongs to exactly one part.

    Attributes:
        volumes: (words that distinguish it from the others, '' for a single one; its images). Images of one
            volume have different positions.
        strays: (image, reason why it is in no volume), set aside beside a volume.
        copies: (image, the image that it repeats).
        unclear: (images, reason why they are not a volume): several images at one position that nothing
            distinguishes.
    """

    volumes: tuple[tuple[str, tuple[Frame, ...]], ...]
    strays: tuple[tuple[Frame, str], ...] = ()
    copies: tuple[tuple[Frame, Frame], ...] = ()
    unclear: tuple[tuple[tuple[Frame, ...], str], ...] = ()


def sort_series(frames: list[Frame], pixels_of: Callable[[Frame], str | None]) -> SortedSeries:
    """Separate the images of one SeriesInstanceUID into volumes and other parts.

    Args:
        frames: its images in any order.
        pixels_of: returns a digest of the pixel values of an image, None where they cannot be read; called
            once for each of those that share a position and have equal headers.
    """
    frames, copies = _without_copies(frames, pixels_of)
    views = [frame for frame in frames if _is_view(frame)]
    stacks, alone = by_grid([frame for frame in frames if not _is_view(frame)])
    volumes: list[tuple[str, tuple[Frame, ...]]] = [
        (_view_name(frame) if len(views) > 1 or stacks else "", (frame,)) for frame in views
    ]
    strays = []
    if stacks and max(map(len, stacks)) > 1:
        largest = max(stacks, key=len)
        large_stacks = [
            stack
            for stack in stacks
            if len(stack) >= max(_FEW if stack is not largest else 0, _SHARE * len(largest))
        ]
        for stack in stacks:
            if not any(stack is large_stack for large_stack in large_stacks):
                strays += [(frame, why_stray(frame, largest[0])) for frame in stack]
        strays += [(frame, why_stray(frame, largest[0])) for frame in alone]
        strays += [(frame, "a projection, not a slice") for frame in views]
        volumes = []
        stacks = large_stacks
    else:
        stacks = [*stacks, *([frame] for frame in alone)]
    unclear = []
    for stack, name in zip(stacks, grid_names(stacks)):
        parts, why = split_repeats(stack)
        if why:
            unclear.append((tuple(stack), why))
        volumes += [(", ".join(filter(None, (name, words))), tuple(part)) for words, part in parts]
    return SortedSeries(tuple(_distinct(volumes)), tuple(strays), tuple(copies), tuple(unclear))


def _without_copies(frames, pixels_of):
    """Return (images without copies, (copy, original) pairs).

    Copies have the same grid, position and pixels, whatever their UIDs are.
    """
    by_position: dict[tuple, list[Frame]] = {}
    digests: dict[Path, str | None] = {}
    originals, copies = [], []
    for frame in frames:
        others = by_position.setdefault(_position_key(frame), [])
        alike = [other for other in others if _comparable(frame, other)]
        for image in (frame, *alike) if alike else ():
            if image.path not in digests:
                digests[image.path] = pixels_of(image)
        original = next(
            (
                other
                for other in alike
                if digests[frame.path] is not None and digests[other.path] == digests[frame.path]
            ),
            None,
        )
        if original is None:
            others.append(frame)
            originals.append(frame)
        else:
            copies.append((frame, original))
    return originals, copies


def _position_key(frame):
    position = None if frame.position is None else tuple(np.round(frame.position, 2).tolist())
    turned = None if frame.orientation is None else tuple((np.round(frame.orientation, 2) + 0.0).tolist())
    # Without a position, equal pixels prove nothing (blank pages).
    uid = None if position is not None else frame.sop_instance_uid
    return (
        frame.rows,
        frame.columns,
        frame.samples,
        frame.pixel_spacing,
        position,
        turned,
        uid,
        frame.index if position is None else None,
    )


def _comparable(frame, other):
    """Return whether two images can be copies.

    Blank slices of two echoes have equal pixels too, but their headers differ.
    """
    if frame.path == other.path:
        return False
    if frame.sop_instance_uid and frame.sop_instance_uid == other.sop_instance_uid:
        return True
    ignored = ("series number", "series description", "content time")
    compared = {words for words in (*frame.differences, *other.differences) if words not in ignored}
    return all(frame.differences.get(words) == other.differences.get(words) for words in compared)


def _is_view(frame):
    if is_projection(frame.modality, frame.sop_class_uid):
        return True
    return frame.position is None and frame.modality not in _STACKED and frame.index == 0


def _view_name(frame):
    return f"view {frame.instance_number}" if frame.instance_number is not None else f"view {frame.path.name}"


def _distinct(volumes):
    """Yield the volumes with a number added to words that occur twice."""
    counts: dict[str, int] = {}
    for words, images in volumes:
        counts[words] = counts.get(words, 0) + 1
        yield (words if counts[words] == 1 else f"{words} ({counts[words]})"), images
