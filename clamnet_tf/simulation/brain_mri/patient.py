"""Simulate brain MRI with lesions, one patient at a time.

The anatomy is that of the MNI152 template (`anatomy`), with another deformation, contrast and noise per
patient; nothing is downloaded. The layout is that of the LGG MRI data set: a folder per patient,
`<patient>_<n>.tif` 8-bit RGB (T1 before contrast, FLAIR, T1 after contrast; n from 1 upwards from the skull
base) and `<patient>_<n>_mask.tif` (8-bit, 255 = lesion).

Every patient has a lesion, as in LGG. Abnormal and normal slices then come from the same heads, so that
neither scanner nor anatomy reveals the label, and Dice is defined for every patient. Normal slices still give
specificity. The heights of the lesions are spread evenly from skull base to vertex, so that slice height does
not reveal the label either.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from clamnet_tf.datasets.manifest import Case
from clamnet_tf.simulation.brain_mri.anatomy import average_head
from clamnet_tf.simulation.brain_mri.fields import SliceGrid
from clamnet_tf.simulation.brain_mri.head import Person
from clamnet_tf.simulation.brain_mri.lesions import draw_lesions
from clamnet_tf.simulation.brain_mri.signal import enhance_vessels, normal_signal

SITES = ("A", "B")
SMALLEST_OUTLINE_MM2 = 40.0  # smaller pieces, which no reader would outline, are left out of the mask
_GOLDEN = 0.6180339887498949
_THIN_SLICES = 3  # number of thin slices that are averaged over the slice thickness


@dataclass(frozen=True)
class Patient:
    """One simulated patient.

    Attributes:
        name: name of the patient.
        site: one of SITES.
        images: (S, side, side, 3) uint8.
        masks: (S, side, side) bool.
        position_mm: (S,) rising heights.
    """

    name: str
    site: str
    images: np.ndarray
    masks: np.ndarray
    position_mm: np.ndarray


def simulate_patient(index: int, *, slices: int, side: int, seed: int, healthy: bool = False) -> Patient:
    """Return patient number `index` (from 0) of the cohort `seed`, which does not depend on the cohort's
    size.

    Args:
        index: number of the patient, from 0.
        slices: number of slices.
        side: rows and columns of a slice.
        seed: seed of the cohort.
        healthy: whether nothing is drawn into the organ.
    """
    generator = np.random.default_rng([seed, index])
    site = index % 2
    person = Person(generator, average_head(), site)
    start = np.random.default_rng(seed).uniform()
    height = np.clip((start + _GOLDEN * index) % 1.0 * 1.3 - 0.15, 0.0, 1.0)
    lesions = draw_lesions(generator, person, float(height))
    if healthy:
        lesions = []

    bottom, top = generator.uniform(-50.0, -43.0), generator.uniform(63.0, 69.0)
    heights = np.linspace(bottom, top, slices)
    thickness = min(heights[1] - heights[0], 5.5) * generator.uniform(0.8, 1.0)
    grid = SliceGrid(
        side, (236.0, 248.0)[site] * generator.uniform(0.97, 1.05), -16.0 + generator.normal(0.0, 2.0)
    )
    blur_px = generator.uniform(0.5, 0.8) * (1.0, 1.15)[site] / grid.pixel_mm
    noise = generator.uniform(0.018, 0.035) * (1.0, 1.3)[site]
    full_scale = generator.uniform(1.75, 2.3, 3)

    images, masks = np.zeros((slices, side, side, 3), np.uint8), np.zeros((slices, side, side), bool)
    for slice_index, z_mm in enumerate(heights):
        signal, occupancy = _thick_slice(person, lesions, grid, z_mm, thickness)
        signal = _receive(generator, person, grid, z_mm, signal, blur_px, noise)
        images[slice_index] = np.clip(np.rint(signal / full_scale * 255.0), 0, 255)
        masks[slice_index] = _outline(occupancy > 0.5, SMALLEST_OUTLINE_MM2 / grid.pixel_mm**2)
    return Patient(f"SIM_{SITES[site]}_{index + 1:04d}", SITES[site], images, masks, heights)


def _thick_slice(person, lesions, grid, z_mm, thickness_mm):
    """Return signal (side, side, 3) and lesion occupancy (side, side), averaged over the thickness."""
    signal = np.zeros((grid.side, grid.side, 3), np.float32)
    occupancy = np.zeros((grid.side, grid.side), np.float32)
    for step in range(_THIN_SLICES):
        thin_mm = z_mm + ((step + 0.5) / _THIN_SLICES - 0.5) * thickness_mm
        points = person.points_on(grid, thin_mm)
        canvas = normal_signal(person, points, grid, thin_mm)
        covered = np.zeros(len(canvas), np.float32)
        for lesion in lesions:
            covered = np.maximum(covered, lesion.draw(canvas, person, points, grid, thin_mm))
        enhance_vessels(canvas, person, points, person.patches.on(grid, thin_mm)[points.inside])
        signal[points.inside] += canvas / _THIN_SLICES
        occupancy[points.inside] += covered / _THIN_SLICES
    return signal, occupancy


def _outline(mask: np.ndarray, least_px: float) -> np.ndarray:
    """Return `mask` (side, side) without its components below `least_px` pixels."""
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= least_px)[labels]


def _receive(generator, person, grid, z_mm, signal, blur_px, noise):
    """Apply coil shading, point spread and Rician noise to the complete square."""
    region = person.region.on(grid, z_mm)
    received = np.empty_like(signal)
    for channel in range(3):
        shading = np.exp(
            person.coil[channel].on(grid, z_mm)
            + region
            + (person.flair_region.on(grid, z_mm) if channel == 1 else 0.0)
        )
        blurred = ndimage.gaussian_filter(signal[..., channel] * shading, blur_px)
        real, imaginary = generator.normal(0.0, noise, (2, grid.side, grid.side))
        received[..., channel] = np.hypot(blurred + real, imaginary)
    return received


def write_patient(
    home: Path, index: int, *, slices: int, side: int, seed: int, healthy: bool = False
) -> list[Case]:
    """Write patient number `index` of the cohort `seed` below the folder `home`; return its cases in slice
    order.
    """
    patient = simulate_patient(index, slices=slices, side=side, seed=seed, healthy=healthy)
    folder = home / patient.name
    folder.mkdir(parents=True)
    cases = []
    for number, (image, mask, position) in enumerate(
        zip(patient.images, patient.masks, patient.position_mm), start=1
    ):
        image_path, mask_path = (
            folder / f"{patient.name}_{number}.tif",
            folder / f"{patient.name}_{number}_mask.tif",
        )
        Image.fromarray(image).save(image_path, compression="tiff_adobe_deflate")
        Image.fromarray(mask.astype(np.uint8) * 255).save(mask_path, compression="tiff_adobe_deflate")
        cases.append(
            Case(
                image=image_path,
                patient=patient.name,
                label=int(mask.any()),
                site=patient.site,
                series=patient.name,
                position=float(position),
                mask=mask_path,
            )
        )
    return cases
