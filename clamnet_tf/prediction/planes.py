"""Where the slices of a volume lie in the patient: positions and thickness for tables, and one affine for
NIfTI. Millimetres, LPS axes.
"""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.preprocessing.volumes import AssembledVolume

_SAME_PLACE_MM = 1e-3
_EVEN = 0.05  # of the usual step: how far a step may be off ...
_LOST = 3.0  # times the usual step: beyond it too much is missing for a volume
_ROUNDING_MM = 0.11  # ... and at least this: some scanners write positions with one decimal; as in imaging.dicom_geometry


@dataclass(frozen=True, eq=False)
class Plane:
    """One slice. origin: centre of its first pixel; down, right: from one row or column to the next. (3,)
    each.
    """

    origin: np.ndarray
    down: np.ndarray
    right: np.ndarray

    @property
    def pixel_mm2(self) -> float:
        """Area of a pixel."""
        return float(np.linalg.norm(np.cross(self.right, self.down)))

    @property
    def normal(self) -> np.ndarray:
        """Unit vector (3,), right x down: towards the head for axial slices as DICOM shows them (PS3.3
        C.7.6.2.1.1).
        """
        normal = np.cross(self.right, self.down)
        return normal / np.linalg.norm(normal)


def planes_of(volume: AssembledVolume) -> tuple[Plane | None, ...]:
    """Per slice of the stack (see `AssembledVolume.affines`); None where the file does not say."""
    slices = volume.array.shape[volume.axes.index(0)]
    if len(volume.grids) > 1 or slices == 1:
        return tuple(_plane(affine, 0) for affine in volume.affines)
    return tuple(_plane(volume.affines[0], number) for number in range(slices))


def along_normal(planes) -> list[float | None]:
    """Position of each slice in mm along the normal of the first; None where it is not known."""
    known = [plane for plane in planes if plane is not None]
    return [None if plane is None else float(plane.origin @ known[0].normal) for plane in planes]


def unevenness(planes) -> str | None:
    """What keeps the slices from being one regular grid, in words; None when they are one (or a single
    slice).
    """
    if any(plane is None for plane in planes):
        return "slices without a position"
    first = planes[0]
    turned = max(np.abs(np.r_[plane.down - first.down, plane.right - first.right]).max() for plane in planes)
    if turned > 2e-3 * np.linalg.norm(first.down):
        return "slices of different orientation or pixel spacing"
    gaps = np.diff(along_normal(planes))
    if not gaps.size:
        return None
    if np.abs(gaps).min() < _SAME_PLACE_MM:
        return "several images at one position (time points, echoes or copies)"
    usual = float(np.median(gaps))
    odd = gaps[np.abs(gaps - usual) > max(_EVEN * abs(usual), _ROUNDING_MM)]
    return (
        f"uneven gaps between slices (usually {abs(usual):.2f} mm, once {abs(odd[0]):.2f} mm)"
        if odd.size
        else None
    )


def thicknesses(planes) -> tuple[list[float] | None, str | None]:
    """Return what each slice stands for along the normal, in mm, and what a reader must know of it.

    Half of the gap to each neighbour; the outermost slices count their one gap on both sides. Even steps give
    that step. (None, reason) where no volume can be told; the reason is None where nothing needs to be said.
    """
    if len(planes) < 2:
        return None, "one slice alone has no thickness"
    uneven = unevenness(planes)
    if uneven and not uneven.startswith("uneven"):
        return None, uneven
    gaps = np.abs(np.diff(along_normal(planes)))
    if uneven and gaps.max() > _LOST * np.median(gaps):
        return None, f"{uneven}: slices are missing"
    halves = np.concatenate([gaps[:1], gaps, gaps[-1:]]) / 2
    found = (halves[:-1] + halves[1:]).tolist()
    if not uneven:
        return [float(gaps.mean())] * len(planes), None
    return found, f"{uneven}; every slice counts for half of the gap to each neighbour"


def affine_of(planes, thickness_mm: float) -> np.ndarray:
    """4x4, (slice, row, column, 1) -> mm, LPS, of slices that are one regular grid. thickness_mm: the step of
    a single slice.
    """
    first, last = planes[0], planes[-1]
    affine = np.eye(4)
    affine[:3, 0] = (
        (last.origin - first.origin) / (len(planes) - 1) if len(planes) > 1 else first.normal * thickness_mm
    )
    affine[:3, 1], affine[:3, 2], affine[:3, 3] = first.down, first.right, first.origin
    return affine


def _plane(affine, number: int) -> Plane | None:
    if affine is None:
        return None
    return Plane(affine[:3, 3] + number * affine[:3, 0], affine[:3, 1], affine[:3, 2])
