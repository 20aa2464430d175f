"""Group the images of a DICOM series by grid, and explain why an image of another grid is not a slice of the
stack.
"""

import numpy as np

from clamnet_tf.imaging.dicom_header import Frame
from clamnet_tf.imaging.orientation import plane_name

_ANGLE = 2e-3  # largest difference of direction cosines, as in dicom_geometry


def stored_plane(frame: Frame) -> str:
    """Return axial, coronal or sagittal, the plane of an image in the patient; axial without a position."""
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
        (lists of images of one grid, the largest first; images without a position where others have one).
    """
    placed = [frame for frame in frames if is_placed(frame)]
    references = {frame.frame_of_reference for frame in placed}
    # Some de-identification leaves a frame of reference per image, which distinguishes nothing.
    compare_references = 2 * len(references) <= len(placed)
    groups: list[list[Frame]] = []
    for frame in placed:
        for group in groups:
            if _same_grid(group[0], frame) and not (compare_references and _other_reference(group[0], frame)):
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


def _other_reference(frame, other):
    return frame.frame_of_reference != other.frame_of_reference


def _same_grid(frame, other):
    if (frame.rows, frame.columns, frame.samples) != (other.rows, other.columns, other.samples):
        return False
    if np.abs(frame.orientation - other.orientation).max() > _ANGLE:
        return False
    if frame.pixel_spacing is None or other.pixel_spacing is None:
        return frame.pixel_spacing == other.pixel_spacing
    return bool(np.allclose(frame.pixel_spacing, other.pixel_spacing, rtol=2e-3))


def why_stray(frame: Frame, usual: Frame) -> str:
    """Return the reason why an image is not a slice of the stack to which `usual` belongs."""
    if "LOCALIZER" in frame.image_type:
        return "a localizer"
    if frame.samples != usual.samples:
        return "a colour picture" if frame.samples == 3 else f"{frame.samples} values per pixel"
    if not is_placed(frame):
        return "no position in the patient (a secondary capture or a page)"
    assert frame.orientation is not None and usual.orientation is not None  # both are placed
    plane, usual_plane = _plane(frame), _plane(usual)
    if np.abs(frame.orientation - usual.orientation).max() > _ANGLE:
        return (
            f"{plane} beside {usual_plane} slices"
            if plane != usual_plane
            else f"another orientation than the other {usual_plane} slices"
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
    """Return the properties that distinguish each of several grids of one series, '' for a single grid."""
    if len(stacks) < 2:
        return [""] * len(stacks)
    descriptions = []
    for stack in stacks:
        first_frame = stack[0]
        plane = _plane(first_frame) if is_placed(first_frame) else ""
        descriptions.append(
            (
                plane,
                f"{first_frame.rows} x {first_frame.columns} pixels",
                f"spacing {_spacing(first_frame)}",
                f"frame of reference {first_frame.frame_of_reference}",
            )
        )
    differing = [index for index in range(4) if len({words[index] for words in descriptions}) > 1]
    return [", ".join(words[index] for index in differing) for words in descriptions]
