"""Compute where the slices of a volume lie in the patient: positions, thickness, and one affine for NIfTI.

All lengths are in mm, all axes LPS.
"""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.preprocessing.assembled_volume import AssembledVolume

_SAME_PLACE_MM = 1e-3
_EVEN = 0.05
"""Allowed deviation of a step from the usual step, as a fraction of that step."""
_LOST = 3.0
"""Largest gap, in usual steps, for which a volume in ml is still computed."""
_ROUNDING_MM = 0.11
"""Deviation that is always allowed: some scanners write positions with one decimal (as in
imaging.dicom_geometry)."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Hold the geometry of one slice.

    Attributes:
        origin: (3,) centre of the first pixel, in mm.
        down: (3,) step from one row to the next, in mm.
        right: (3,) step from one column to the next, in mm.
    """

    origin: np.ndarray
    down: np.ndarray
    right: np.ndarray

    @property
    def pixel_mm2(self) -> float:
        """Return the area of a pixel."""
        return float(np.linalg.norm(np.cross(self.right, self.down)))

    @property
    def normal(self) -> np.ndarray:
        """Return the unit vector (3,) right x down.

        It points to the head for axial slices as DICOM shows them (PS3.3 C.7.6.2.1.1).
        """
        normal = np.cross(self.right, self.down)
        return normal / np.linalg.norm(normal)


def planes_of(volume: AssembledVolume) -> tuple[Plane | None, ...]:
    """Return the plane of each slice of the stack (see `AssembledVolume.affines`); None where the file has
    none.
    """
    slices = volume.array.shape[volume.axes.index(0)]
    if len(volume.grids) > 1 or slices == 1:
        return tuple(_plane(affine, 0) for affine in volume.affines)
    return tuple(_plane(volume.affines[0], index) for index in range(slices))


def along_normal(planes) -> list[float | None]:
    """Return the position of each slice in mm along the normal of the first one; None where it is not
    known.
    """
    known = [plane for plane in planes if plane is not None]
    return [None if plane is None else float(plane.origin @ known[0].normal) for plane in planes]


def unevenness(planes) -> str | None:
    """Say why slices do not form one regular grid; None when they do, or when there is a single slice."""
    if any(plane is None for plane in planes):
        return "slices without a position"
    first_plane = planes[0]
    turned = max(
        np.abs(np.r_[plane.down - first_plane.down, plane.right - first_plane.right]).max()
        for plane in planes
    )
    if turned > 2e-3 * np.linalg.norm(first_plane.down):
        return "slices of different orientation or pixel spacing"
    gaps = np.diff(along_normal(planes))
    if not gaps.size:
        return None
    if np.abs(gaps).min() < _SAME_PLACE_MM:
        return "several images at one position (time points, echoes or copies)"
    usual_gap = float(np.median(gaps))
    odd_gaps = gaps[np.abs(gaps - usual_gap) > max(_EVEN * abs(usual_gap), _ROUNDING_MM)]
    return (
        f"uneven gaps between slices (usually {abs(usual_gap):.2f} mm, once {abs(odd_gaps[0]):.2f} mm)"
        if odd_gaps.size
        else None
    )


def thicknesses(planes) -> tuple[list[float] | None, str | None]:
    """Return the thickness in mm that each slice stands for along the normal, and a note for the reader.

    A slice stands for half of the gap to each neighbour; the outermost slices count their one gap twice. Even
    steps give that step. The result is (None, reason) where the volume cannot be computed; the note is None
    where nothing needs to be said.
    """
    if len(planes) < 2:
        return None, "a single slice has no thickness"
    uneven = unevenness(planes)
    if uneven and not uneven.startswith("uneven"):
        return None, uneven
    gaps = np.abs(np.diff(along_normal(planes)))
    if uneven and gaps.max() > _LOST * np.median(gaps):
        return None, f"{uneven}: slices are missing"
    halves = np.concatenate([gaps[:1], gaps, gaps[-1:]]) / 2
    thickness = (halves[:-1] + halves[1:]).tolist()
    if not uneven:
        return [float(gaps.mean())] * len(planes), None
    return thickness, f"{uneven}; every slice counts for half of the gap to each neighbour"


def affine_of(planes, thickness_mm: float) -> np.ndarray:
    """Return the 4x4 affine (slice, row, column, 1) -> mm, LPS, of slices on one regular grid.

    Args:
        planes: Planes of the slices.
        thickness_mm: Step of a single slice.
    """
    first_plane, last_plane = planes[0], planes[-1]
    affine = np.eye(4)
    affine[:3, 0] = (
        (last_plane.origin - first_plane.origin) / (len(planes) - 1)
        if len(planes) > 1
        else first_plane.normal * thickness_mm
    )
    affine[:3, 1], affine[:3, 2], affine[:3, 3] = first_plane.down, first_plane.right, first_plane.origin
    return affine


def _plane(affine, index: int) -> Plane | None:
    """Return the plane of slice `index` of an affine; None without an affine."""
    if affine is None:
        return None
    return Plane(affine[:3, 3] + index * affine[:3, 0], affine[:3, 1], affine[:3, 2])
