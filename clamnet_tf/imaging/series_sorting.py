"""One DICOM series taken apart: the volumes in it, the views, the strays that belong to no volume, and true copies.

A SeriesInstanceUID promises little. Scanners and archives put into one series: a stack and its scouts, colour pages and
secondary captures; several phases, echoes or diffusion weights at each position; two acquisitions; the same images twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.acquisition import DIFFERENCES, UNITS, is_projection
from clamnet_tf.imaging.dicom_header import Frame
from clamnet_tf.imaging.orientation import plane_name

SET_ASIDE = " was set aside: "  # stands between an image's name and the reason in every note on a stray

_SAME_PLACE_MM = 1e-2
_FEW = 3  # fewer images of another grid than this, beside a stack, are strays ...
_SHARE = 0.25  # ... and so are fewer than this share of the largest stack
_ANGLE = 2e-3  # of direction cosines, as in dicom_geometry
_RANKED = ("trigger time", "temporal position", "acquisition time", "content time")  # may differ from slice to slice of one volume
_STACKED = ("CT", "MR", "PT", "NM", "")  # modalities whose images without a position may still be slices


@dataclass(frozen=True)
class SortedSeries:
    """The parts of one series; each image of it is in exactly one place.

    volumes: (words that tell it from the others, '' for the only one; its images). Images of a volume do not share a position.
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
        pixels_of: gives a digest of the pixel values of an image, None where they cannot be read; asked once for each of
            those that share a position and say the same of themselves.
    """
    frames, copies = _without_copies(frames, pixels_of)
    views = [frame for frame in frames if _is_view(frame)]
    stacks, alone = _by_grid([frame for frame in frames if not _is_view(frame)])
    volumes = [(_view_name(frame) if len(views) > 1 or stacks else "", (frame,)) for frame in views]
    strays = []
    if stacks and max(map(len, stacks)) > 1:
        largest = max(stacks, key=len)
        kept = [stack for stack in stacks if len(stack) >= max(_FEW if stack is not largest else 0, _SHARE * len(largest))]
        for stack in stacks:
            if not any(stack is one for one in kept):
                strays += [(frame, _why_stray(frame, largest[0])) for frame in stack]
        strays += [(frame, _why_stray(frame, largest[0])) for frame in alone]
        strays += [(frame, "a projection, not a slice") for frame in views]
        volumes = []
        stacks = kept
    else:
        stacks = [*stacks, *([frame] for frame in alone)]
    unclear = []
    for stack, name in zip(stacks, _grid_names(stacks)):
        parts, why = _split(stack)
        if why:
            unclear.append((tuple(stack), why))
        volumes += [(", ".join(filter(None, (name, words))), tuple(part)) for words, part in parts]
    return SortedSeries(tuple(_distinct(volumes)), tuple(strays), tuple(copies), tuple(unclear))


def _without_copies(frames, pixels_of):
    """(images that are left, (copy, original) pairs): same grid, same position, same pixels, whatever their UIDs say."""
    places: dict[tuple, list[Frame]] = {}
    digests: dict[Path, str | None] = {}
    kept, copies = [], []
    for frame in frames:
        others = places.setdefault(_place_key(frame), [])
        alike = [other for other in others if _comparable(frame, other)]
        for one in (frame, *alike) if alike else ():
            if one.path not in digests:
                digests[one.path] = pixels_of(one)
        original = next((other for other in alike if digests[frame.path] is not None and digests[other.path] == digests[frame.path]), None)
        if original is None:
            others.append(frame)
            kept.append(frame)
        else:
            copies.append((frame, original))
    return kept, copies


def _place_key(frame):
    place = None if frame.position is None else tuple(np.round(frame.position, 2).tolist())
    turned = None if frame.orientation is None else tuple((np.round(frame.orientation, 2) + 0.0).tolist())
    own = None if place is not None else frame.sop_instance_uid  # without a place, equal pixels prove nothing: blank pages
    return frame.rows, frame.columns, frame.samples, frame.pixel_spacing, place, turned, own, frame.index if place is None else None


def _comparable(one, other):
    """Whether two images can be copies. Blank slices of two echoes or phases have equal pixels too: those say another thing of themselves."""
    if one.path == other.path:
        return False
    if one.sop_instance_uid and one.sop_instance_uid == other.sop_instance_uid:
        return True
    loose = ("series number", "series description", "content time")
    told = {words for words in (*one.differences, *other.differences) if words not in loose}
    return all(one.differences.get(words) == other.differences.get(words) for words in told)


def _is_placed(frame):
    """Whether an image has a position and two perpendicular directions."""
    if frame.position is None or frame.orientation is None:
        return False
    right, down = frame.orientation[:3], frame.orientation[3:]
    return bool(abs(right @ down) <= 0.01 and max(abs(np.linalg.norm(right) - 1), abs(np.linalg.norm(down) - 1)) <= 0.01)


def _is_view(frame):
    if is_projection(frame.modality, frame.sop_class_uid):
        return True
    return frame.position is None and frame.modality not in _STACKED and frame.index == 0


def _view_name(frame):
    return f"view {frame.instance_number}" if frame.instance_number is not None else f"view {frame.path.name}"


def _by_grid(frames):
    """(lists of images of one grid, largest first; images without a position where others have one)."""
    placed = [frame for frame in frames if _is_placed(frame)]
    references = {frame.frame_of_reference for frame in placed}
    tells = 2 * len(references) <= len(placed)  # a frame of reference for every image, as some de-identification leaves it, says nothing
    groups: list[list[Frame]] = []
    for frame in placed:
        for group in groups:
            if _same_grid(group[0], frame) and (not tells or group[0].frame_of_reference == frame.frame_of_reference):
                group.append(frame)
                break
        else:
            groups.append([frame])
    rest = [frame for frame in frames if not _is_placed(frame)]
    if not groups and rest:
        sizes: dict[tuple, list[Frame]] = {}
        for frame in rest:
            sizes.setdefault((frame.rows, frame.columns, frame.samples), []).append(frame)
        groups, rest = list(sizes.values()), []
    return sorted(groups, key=len, reverse=True), rest


def _same_grid(one, other):
    if (one.rows, one.columns, one.samples) != (other.rows, other.columns, other.samples):
        return False
    if np.abs(one.orientation - other.orientation).max() > _ANGLE:
        return False
    if one.pixel_spacing is None or other.pixel_spacing is None:
        return one.pixel_spacing == other.pixel_spacing
    return bool(np.allclose(one.pixel_spacing, other.pixel_spacing, rtol=2e-3))


def _why_stray(frame, usual):
    if "LOCALIZER" in frame.image_type:
        return "a localizer"
    if frame.samples != usual.samples:
        return "a colour picture" if frame.samples == 3 else f"{frame.samples} values per pixel"
    if not _is_placed(frame):
        return "no position in the patient (a secondary capture or a page)"
    found, expected = _plane(frame), _plane(usual)
    if np.abs(frame.orientation - usual.orientation).max() > _ANGLE:
        return f"{found} beside {expected} slices" if found != expected else f"another orientation than the other {expected} slices"
    if (frame.rows, frame.columns) != (usual.rows, usual.columns):
        return f"{frame.rows} x {frame.columns} pixels beside {usual.rows} x {usual.columns}"
    if frame.frame_of_reference != usual.frame_of_reference:
        return "another frame of reference"
    return f"pixel spacing {_spacing(frame)} beside {_spacing(usual)}"


def stored_plane(frame: Frame) -> str:
    """Return axial, coronal or sagittal: how an image lies in the patient; axial for one that has no place there."""
    return _plane(frame) if _is_placed(frame) else "axial"


def _plane(frame):
    affine = np.eye(4)
    affine[:3, 2], affine[:3, 1] = frame.orientation[:3], frame.orientation[3:]
    return plane_name(affine)


def _spacing(frame):
    return "unknown" if frame.pixel_spacing is None else " x ".join(f"{side:.4g}" for side in frame.pixel_spacing) + " mm"


def _grid_names(stacks):
    """What tells each of several grids of one series from the others."""
    if len(stacks) < 2:
        return [""] * len(stacks)
    of_each = []
    for stack in stacks:
        first = stack[0]
        plane = _plane(first) if _is_placed(first) else ""
        of_each.append((plane, f"{first.rows} x {first.columns} pixels", f"spacing {_spacing(first)}", f"frame of reference {first.frame_of_reference}"))
    telling = [place for place in range(4) if len({words[place] for words in of_each}) > 1]
    return [", ".join(words[place] for place in telling) for words in of_each]


def _split(stack):
    """([(words, images)], '') of the images of one grid, no position twice; ([], why) when nothing tells them apart."""
    most = _most_at_a_place(stack)
    if most == 1:
        return _uneven_parts(stack), ""
    for words in DIFFERENCES:
        parts = _parts(stack, words)
        if parts and 1 < len(parts) <= most and max(map(_most_at_a_place, parts.values())) < most and min(map(len, parts.values())) > 1:
            return _each_split(parts, words)
    for words in _RANKED:
        parts = _ranked(stack, words, most)
        if parts:
            return [(f"{words} {rank} of {most}", part) for rank, part in enumerate(parts, start=1)], ""
    for words in DIFFERENCES:  # a volume of one image, or values that come again only here and there
        parts = _parts(stack, words)
        if parts and len(parts) > 1 and max(map(_most_at_a_place, parts.values())) == 1 and len(parts) <= max(most, len(stack) // 2 if most > 2 else most):
            return _each_split(parts, words)
    twice = _at_the_fullest_place(stack)
    names = ", ".join(frame.name for frame in twice[:3])
    return [], (
        f"{most} images at one position ({names}{' ...' if most > 3 else ''}) that no field of their headers tells apart (acquisition, echo, b-value, "
        "temporal position, trigger time, image type and others were compared). Keep one image per position, or move each volume to a folder of its own"
    )


def _each_split(parts, words):
    found, whys = [], []
    for value, part in parts.items():
        own, why = _split(part)
        found += [(", ".join(filter(None, (f"{words} {_shown(words, value)}", more))), images) for more, images in own]
        whys += [why] if why else []
    return ([], whys[0]) if whys else (found, "")


def _parts(stack, words):
    """{value: images} by one difference; None when some image does not say."""
    values = [frame.differences.get(words) for frame in stack]
    if any(value is None for value in values):
        return None
    parts: dict = {}
    for value, frame in sorted(zip(values, stack), key=lambda pair: (isinstance(pair[0], str), pair[0])):
        parts.setdefault(value, []).append(frame)
    return parts


def _ranked(stack, words, most):
    """The first images of all positions, the second ones, and so on, by a value that rises; None when it does not tell them apart."""
    places = _places(stack)
    if any(len(images) != most for images in places):
        return None
    ordered = []
    for images in places:
        values = [frame.differences.get(words) for frame in images]
        if None in values or len(set(values)) < most or len({type(value) for value in values}) > 1:
            return None
        ordered.append([images[n] for n in sorted(range(most), key=values.__getitem__)])
    return [[images[rank] for images in ordered] for rank in range(most)]


def _uneven_parts(stack):
    """Two interleaved or distant acquisitions: one volume each, when the gaps of the whole are uneven and those of each part are not."""
    if _even(stack):
        return [("", stack)]
    for words in ("acquisition", "stack", "echo", "b-value", "temporal position", "series number"):
        parts = _parts(stack, words)
        if parts and len(parts) > 1 and min(map(len, parts.values())) > 2 and all(map(_even, parts.values())):
            return [(f"{words} {_shown(words, value)}", part) for value, part in parts.items()]
    return [("", stack)]


def _even(stack):
    if len(stack) < 3 or not _is_placed(stack[0]):
        return True
    normal = np.cross(stack[0].orientation[:3], stack[0].orientation[3:])
    positions = np.stack([frame.position for frame in stack])
    positions = positions[np.argsort(positions @ normal)]
    steps = np.diff(positions, axis=0)
    usual = np.median(steps, axis=0)
    return bool(np.abs(steps - usual).max() <= max(0.05 * np.linalg.norm(usual), 0.11))


def _places(stack):
    """Images by position along the normal, as lists."""
    if not _is_placed(stack[0]):
        numbers: dict = {}
        for frame in stack:
            numbers.setdefault((frame.instance_number, frame.index if frame.instance_number is not None else frame.path), []).append(frame)
        return list(numbers.values())
    normal = np.cross(stack[0].orientation[:3], stack[0].orientation[3:])
    found: list[list[Frame]] = []
    last = None
    for along, frame in sorted(((float(frame.position @ normal), frame) for frame in stack), key=lambda pair: pair[0]):
        if last is not None and along - last < _SAME_PLACE_MM:
            found[-1].append(frame)
        else:
            found.append([frame])
            last = along
    return found


def _most_at_a_place(stack):
    return max(map(len, _places(stack)))


def _at_the_fullest_place(stack):
    return max(_places(stack), key=len)


def _shown(words, value):
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text + UNITS.get(words, "")


def _distinct(volumes):
    """Names made different by numbers, where two parts came out with the same words."""
    seen: dict[str, int] = {}
    for words, images in volumes:
        seen[words] = seen.get(words, 0) + 1
        yield (words if seen[words] == 1 else f"{words} ({seen[words]})"), images
