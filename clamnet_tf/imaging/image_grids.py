"""Which images of a DICOM series share one grid, and why one of another grid is no slice of the stack."""

import numpy as np

from clamnet_tf.imaging.dicom_header import Frame
from clamnet_tf.imaging.orientation import plane_name

_ANGLE = 2e-3  # of direction cosines, as in dicom_geometry


def stored_plane(frame: Frame) -> str:
    """Return axial, coronal or sagittal: how an image lies in the patient; axial for one that has no
    place there."""
    return _plane(frame) if is_placed(frame) else "axial"


def is_placed(frame: Frame) -> bool:
    """Return whether an image has a position and two perpendicular directions."""
    if frame.position is None or frame.orientation is None:
        return False
    right, down = frame.orientation[:3], frame.orientation[3:]
    lengths = np.linalg.norm([right, down], axis=1)
    return bool(abs(right @ down) <= 0.01 and np.abs(lengths - 1).max() <= 0.01)


def by_grid(frames: list[Frame]) -> tuple[list[list[Frame]], list[Frame]]:
    """Group images by size, direction, spacing and frame of reference.

    Returns:
        Lists of images of one grid, the largest first; and the images without a position where others
        have one.
    """
    placed = [frame for frame in frames if is_placed(frame)]
    references = {frame.frame_of_reference for frame in placed}
    tells = 2 * len(references) <= len(
        placed
    )  # one for every image, as some de-identification leaves it, says nothing
    groups: list[list[Frame]] = []
    for frame in placed:
        for group in groups:
            if _same_grid(group[0], frame) and not (tells and _other_reference(group[0], frame)):
                group.append(frame)
                break
        else:
            groups.append([frame])
    rest = [frame for frame in frames if not is_placed(frame)]
    if not groups and rest:
        sizes: dict[tuple, list[Frame]] = {}
        for frame in rest:
            sizes.setdefault((frame.rows, frame.columns, frame.samples), []).append(frame)
        groups, rest = list(sizes.values()), []
    return sorted(groups, key=len, reverse=True), rest


def _other_reference(one, other):
    return one.frame_of_reference != other.frame_of_reference


def _same_grid(one, other):
    if (one.rows, one.columns, one.samples) != (other.rows, other.columns, other.samples):
        return False
    if np.abs(one.orientation - other.orientation).max() > _ANGLE:
        return False
    if one.pixel_spacing is None or other.pixel_spacing is None:
        return one.pixel_spacing == other.pixel_spacing
    return bool(np.allclose(one.pixel_spacing, other.pixel_spacing, rtol=2e-3))


def why_stray(frame: Frame, usual: Frame) -> str:
    """Return why an image is no slice of the stack to which `usual` belongs."""
    if "LOCALIZER" in frame.image_type:
        return "a localizer"
    if frame.samples != usual.samples:
        return "a colour picture" if frame.samples == 3 else f"{frame.samples} values per pixel"
    if not is_placed(frame):
        return "no position in the patient (a secondary capture or a page)"
    assert frame.orientation is not None and usual.orientation is not None  # both are placed
    found, expected = _plane(frame), _plane(usual)
    if np.abs(frame.orientation - usual.orientation).max() > _ANGLE:
        return (
            f"{found} beside {expected} slices"
            if found != expected
            else f"another orientation than the other {expected} slices"
        )
    if (frame.rows, frame.columns) != (usual.rows, usual.columns):
        return f"{frame.rows} x {frame.columns} pixels beside {usual.rows} x {usual.columns}"
    if frame.frame_of_reference != usual.frame_of_reference:
        return "another frame of reference"
    return f"pixel spacing {_spacing(frame)} beside {_spacing(usual)}"


def _plane(frame):
    affine = np.eye(4)
    affine[:3, 2], affine[:3, 1] = frame.orientation[:3], frame.orientation[3:]
    return plane_name(affine)


def _spacing(frame):
    return (
        "unknown"
        if frame.pixel_spacing is None
        else " x ".join(f"{side:.4g}" for side in frame.pixel_spacing) + " mm"
    )


def grid_names(stacks: list[list[Frame]]) -> list[str]:
    """Return what tells each of several grids of one series from the others; '' for an only one."""
    if len(stacks) < 2:
        return [""] * len(stacks)
    of_each = []
    for stack in stacks:
        first = stack[0]
        plane = _plane(first) if is_placed(first) else ""
        of_each.append(
            (
                plane,
                f"{first.rows} x {first.columns} pixels",
                f"spacing {_spacing(first)}",
                f"frame of reference {first.frame_of_reference}",
            )
        )
    telling = [place for place in range(4) if len({words[place] for words in of_each}) > 1]
    return [", ".join(words[place] for place in telling) for words in of_each]
