"""One DICOM series taken apart: the volumes in it, the views, the strays that belong to no volume, and
true copies.

A SeriesInstanceUID promises little. Scanners and archives put into one series: a stack and its scouts,
colour pages and
secondary captures; several phases, echoes or diffusion weights at each position; two acquisitions; the
same images twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.imaging.acquisition import is_projection
from clamnet_tf.imaging.dicom_header import Frame
from clamnet_tf.imaging.image_grids import by_grid, grid_names, why_stray
from clamnet_tf.imaging.repeated_positions import split_repeats

SET_ASIDE = " was set aside: "  # stands between an image's name and the reason in every note on a stray

_FEW = 3  # fewer images of another grid than this, beside a stack, are strays ...
_SHARE = 0.25  # ... and so are fewer than this share of the largest stack
_STACKED = ("CT", "MR", "PT", "NM", "")  # modalities whose images without a position may still be slices


@dataclass(frozen=True)
class SortedSeries:
    """The parts of one series; each image of it is in exactly one place.

    volumes: (words that tell it from the others, '' for the only one; its images). No two of them share
    a position.
    strays: (image, why it is in no volume), set aside beside a volume
    copies: (image, the one that it repeats)
    unclear: (images, why they are no volume): several images at one position that nothing tells apart
    """

    volumes: tuple[tuple[str, tuple[Frame, ...]], ...]
    strays: tuple[tuple[Frame, str], ...] = ()
    copies: tuple[tuple[Frame, Frame], ...] = ()
    unclear: tuple[tuple[tuple[Frame, ...], str], ...] = ()


def sort_series(frames: list[Frame], pixels_of: Callable[[Frame], str | None]) -> SortedSeries:
    """Take the images of one SeriesInstanceUID apart.

    Args:
        frames: its images in any order.
        pixels_of: gives a digest of the pixel values of an image, None where they cannot be read; asked
            once for each of
            those that share a position and say the same of themselves.
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
        kept = [
            stack
            for stack in stacks
            if len(stack) >= max(_FEW if stack is not largest else 0, _SHARE * len(largest))
        ]
        for stack in stacks:
            if not any(stack is one for one in kept):
                strays += [(frame, why_stray(frame, largest[0])) for frame in stack]
        strays += [(frame, why_stray(frame, largest[0])) for frame in alone]
        strays += [(frame, "a projection, not a slice") for frame in views]
        volumes = []
        stacks = kept
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
    """(images that are left, (copy, original) pairs): same grid, position and pixels, whatever their
    UIDs say."""
    places: dict[tuple, list[Frame]] = {}
    digests: dict[Path, str | None] = {}
    kept, copies = [], []
    for frame in frames:
        others = places.setdefault(_place_key(frame), [])
        alike = [other for other in others if _comparable(frame, other)]
        for one in (frame, *alike) if alike else ():
            if one.path not in digests:
                digests[one.path] = pixels_of(one)
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
            kept.append(frame)
        else:
            copies.append((frame, original))
    return kept, copies


def _place_key(frame):
    place = None if frame.position is None else tuple(np.round(frame.position, 2).tolist())
    turned = None if frame.orientation is None else tuple((np.round(frame.orientation, 2) + 0.0).tolist())
    own = (
        None if place is not None else frame.sop_instance_uid
    )  # without a place, equal pixels prove nothing: blank pages
    return (
        frame.rows,
        frame.columns,
        frame.samples,
        frame.pixel_spacing,
        place,
        turned,
        own,
        frame.index if place is None else None,
    )


def _comparable(one, other):
    """Whether two images can be copies: blank slices of two echoes have equal pixels too, but say so."""
    if one.path == other.path:
        return False
    if one.sop_instance_uid and one.sop_instance_uid == other.sop_instance_uid:
        return True
    loose = ("series number", "series description", "content time")
    told = {words for words in (*one.differences, *other.differences) if words not in loose}
    return all(one.differences.get(words) == other.differences.get(words) for words in told)


def _is_view(frame):
    if is_projection(frame.modality, frame.sop_class_uid):
        return True
    return frame.position is None and frame.modality not in _STACKED and frame.index == 0


def _view_name(frame):
    return f"view {frame.instance_number}" if frame.instance_number is not None else f"view {frame.path.name}"


def _distinct(volumes):
    """Names made different by numbers, where two parts came out with the same words."""
    seen: dict[str, int] = {}
    for words, images in volumes:
        seen[words] = seen.get(words, 0) + 1
        yield (words if seen[words] == 1 else f"{words} ({seen[words]})"), images
