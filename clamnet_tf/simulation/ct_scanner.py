"""Two CT scanners: kernel, noise, number format; and their DICOM series, with a mask and an organ beside it.

Site A writes unsigned 12-bit values with intercept -1024, from below upwards; site B signed 16-bit values in
steps of half a Hounsfield unit, from above downwards, and pads what lies outside of the round field of view.
"""

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from clamnet_tf.datasets.manifest import Case
from clamnet_tf.simulation.dicom_files import CtFormat, instance_number, write_ct_series
from clamnet_tf.simulation.space import Space

SMALLEST_OUTLINE_MM2 = 40.0  # a reader outlines nothing smaller: such crumbs are left out of the mask


@dataclass(frozen=True)
class Scanner:
    """One site. blur_px: of the kernel; edge: how much it sharpens; noise: factor; grain_px: correlation of
    the noise.
    """

    site: str
    blur_px: float
    edge: float
    noise: float
    grain_px: float
    thickness_mm: float
    format: CtFormat


SCANNERS = (
    Scanner(
        "A",
        0.75,
        0.0,
        1.0,
        0.8,
        3.0,
        CtFormat(signed=False, bits=12, slope=1.0, intercept=-1024.0, padding=None, from_below=True),
    ),
    Scanner(
        "B",
        0.55,
        0.5,
        1.4,
        0.45,
        2.0,
        CtFormat(signed=True, bits=16, slope=0.5, intercept=-1000.0, padding=-4000, from_below=False),
    ),
)


@dataclass(frozen=True)
class Scan:
    """One simulated patient. hu (S, H, W) float32 Hounsfield units as reconstructed; mask and organ (S, H, W)
    bool.

    markers: names of several kinds of lesion; the mask is uint8 then, 0 or the number of the kind from 1.
    """

    name: str
    scanner: Scanner
    space: Space
    hu: np.ndarray
    mask: np.ndarray
    organ: np.ndarray
    markers: tuple[str, ...] = ()


def reconstruct(
    generator: np.random.Generator, space: Space, hu: np.ndarray, scanner: Scanner, noise_hu: float
) -> np.ndarray:
    """What the scanner makes of the tissue `hu` (S, H, W): point spread, edges, noise that is strongest in
    the middle of the body.
    """
    seen = ndimage.gaussian_filter(hu, (0, scanner.blur_px, scanner.blur_px))
    if scanner.edge:
        seen += scanner.edge * (seen - ndimage.gaussian_filter(seen, (0, 1.0, 1.0)))
    noise = ndimage.gaussian_filter(
        generator.standard_normal(hu.shape, np.float32), (0, scanner.grain_px, scanner.grain_px)
    )
    middle = 0.65 + 0.6 * np.exp(-((space.x / 110.0) ** 2) - (space.y / 80.0) ** 2)
    return np.maximum(seen + noise_hu * scanner.noise * middle * noise / noise.std(), -1024.0)


def outline(occupancy: np.ndarray, space: Space) -> np.ndarray:
    """(S, H, W) bool: where the lesion fills more than half of a voxel, without pieces that nobody would
    outline.
    """
    mask = occupancy > 0.5
    for one in mask:
        labels, _ = ndimage.label(one, structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        one &= (sizes * space.pixel_mm**2 >= SMALLEST_OUTLINE_MM2)[labels]
    return mask


def write_scan(home: Path, scan: Scan, uid_seed: str) -> list[Case]:
    """<home>/<name>/: the series in ct/, mask.nii.gz and organ.nii.gz on its grid; one case per slice, from
    below upwards.
    """
    folder = home / scan.name
    scanner = scan.scanner
    write_ct_series(
        folder / "ct",
        scan.hu,
        scan.space,
        scanner.format,
        patient=scan.name,
        thickness_mm=scanner.thickness_mm,
        uid_seed=uid_seed,
    )
    for name, values in (("mask", scan.mask), ("organ", scan.organ)):
        _write_nifti(folder / f"{name}.nii.gz", values, scan.space)
    return [
        Case(
            image=folder / "ct",
            patient=scan.name,
            label=int(scan.mask[number].any()),
            site=scanner.site,
            slice_index=instance_number(number, len(scan.hu), scanner.format),
            position=float(z_mm),
            mask=folder / "mask.nii.gz",
            organ=folder / "organ.nii.gz",
            markers=tuple(
                sorted(
                    name
                    for value, name in enumerate(scan.markers, start=1)
                    if (scan.mask[number] == value).any()
                )
            ),
        )
        for number, z_mm in enumerate(scan.space.z_mm)
    ]


def _write_nifti(path: Path, values: np.ndarray, space: Space) -> None:
    """uint8 on the grid of the series; NIfTI's axes are x, y, z to the right, the front and above (RAS)."""
    between = space.z_mm[1] - space.z_mm[0]
    affine = np.diag([-space.pixel_mm, -space.pixel_mm, between, 1.0])
    affine[:3, 3] = -space.in_plane_mm[0], -space.in_plane_mm[0], space.z_mm[0]
    nibabel.save(nibabel.Nifti1Image(values.astype(np.uint8).transpose(2, 1, 0), affine), path)
