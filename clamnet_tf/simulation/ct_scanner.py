"""Simulate two CT scanners (kernel, noise, number format) and write their series with mask and organ.

Site A writes unsigned 12-bit values with intercept -1024, from below upwards. Site B writes signed 16-bit
values in steps of half a Hounsfield unit, from above downwards, and pads pixels outside of the round field of
view.
"""

from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from clamnet_tf.datasets.manifest import Case
from clamnet_tf.simulation.dicom_files import CtFormat, instance_number, write_ct_series
from clamnet_tf.simulation.space import Space

SMALLEST_OUTLINE_MM2 = 40.0  # smaller pieces, which no reader would outline, are left out of the mask


@dataclass(frozen=True)
class Scanner:
    """The scanner of one site.

    Attributes:
        site: name of the site.
        blur_px: width of the kernel in pixels.
        edge: strength of edge sharpening.
        noise: factor of the noise.
        grain_px: correlation length of the noise in pixels.
        thickness_mm: thickness of the slices in mm.
        format: how Hounsfield units are stored.
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
    """One simulated patient.

    Attributes:
        name: name of the patient.
        scanner: the scanner.
        space: voxel centres.
        hu: (S, H, W) float32 Hounsfield units as reconstructed.
        mask: (S, H, W) bool; uint8 with `class_names`, 0 or the number of the lesion class from 1.
        organ: (S, H, W) bool.
        class_names: names of several lesion classes, () for a single one.
    """

    name: str
    scanner: Scanner
    space: Space
    hu: np.ndarray
    mask: np.ndarray
    organ: np.ndarray
    class_names: tuple[str, ...] = ()


def reconstruct(
    generator: np.random.Generator, space: Space, hu: np.ndarray, scanner: Scanner, noise_hu: float
) -> np.ndarray:
    """Return the image that the scanner makes of the tissue `hu` (S, H, W).

    It has a point spread, sharpened edges, and noise that is strongest in the middle of the body.
    """
    image = ndimage.gaussian_filter(hu, (0, scanner.blur_px, scanner.blur_px))
    if scanner.edge:
        image += scanner.edge * (image - ndimage.gaussian_filter(image, (0, 1.0, 1.0)))
    noise = ndimage.gaussian_filter(
        generator.standard_normal(hu.shape, np.float32), (0, scanner.grain_px, scanner.grain_px)
    )
    middle = 0.65 + 0.6 * np.exp(-((space.x / 110.0) ** 2) - (space.y / 80.0) ** 2)
    return np.maximum(image + noise_hu * scanner.noise * middle * noise / noise.std(), -1024.0)


def outline(occupancy: np.ndarray, space: Space) -> np.ndarray:
    """Return (S, H, W) bool: where the lesion fills more than half of a voxel, without very small pieces."""
    mask = occupancy > 0.5
    for plane in mask:
        labels, _ = ndimage.label(plane, structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        plane &= (sizes * space.pixel_mm**2 >= SMALLEST_OUTLINE_MM2)[labels]
    return mask


def write_scan(home: Path, scan: Scan, uid_seed: str) -> list[Case]:
    """Write <home>/<name>/ with the series in ct/, and mask.nii.gz and organ.nii.gz on its grid.

    Args:
        home: folder of the cohort.
        scan: the patient.
        uid_seed: text that makes the UIDs.

    Returns:
        One case per slice, from below upwards.
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
            label=int(scan.mask[index].any()),
            site=scanner.site,
            slice_index=instance_number(index, len(scan.hu), scanner.format),
            position=float(z_mm),
            mask=folder / "mask.nii.gz",
            organ=folder / "organ.nii.gz",
            markers=tuple(
                sorted(
                    name
                    for value, name in enumerate(scan.class_names, start=1)
                    if (scan.mask[index] == value).any()
                )
            ),
        )
        for index, z_mm in enumerate(scan.space.z_mm)
    ]


def _write_nifti(path: Path, values: np.ndarray, space: Space) -> None:
    """Write uint8 values on the grid of the series; NIfTI's axes are x, y, z to the right, front and top
    (RAS).
    """
    between = space.z_mm[1] - space.z_mm[0]
    affine = np.diag([-space.pixel_mm, -space.pixel_mm, between, 1.0])
    affine[:3, 3] = -space.in_plane_mm[0], -space.in_plane_mm[0], space.z_mm[0]
    nibabel.save(nibabel.Nifti1Image(values.astype(np.uint8).transpose(2, 1, 0), affine), path)
