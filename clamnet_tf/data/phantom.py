"""The built-in cohort: simulated brain MRI with lesions, written as files once and then reused.

Anatomy is that of the MNI152 template (`phantom_anatomy`), a different deformation, contrast and noise per patient;
nothing is downloaded. Layout as in the LGG MRI data set: a folder per patient, `<patient>_<n>.tif` 8-bit RGB
(T1 before contrast, FLAIR, T1 after contrast; n from 1 upwards from the skull base) and `<patient>_<n>_mask.tif`
(8-bit, 255 = lesion), and `manifest.csv`.

Every patient has a lesion, as in LGG: abnormal and normal slices then come from the same heads, so that neither
scanner nor anatomy tells the label, and Dice is defined for every patient. Normal slices still give specificity.
The heights of the lesions are spread evenly from skull base to vertex, so that slice height does not tell it either.
"""

import concurrent.futures
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from clamnet_tf.data.manifest import Case, Manifest, read_manifest, write_manifest
from clamnet_tf.data.phantom_anatomy import average_head, template_hash
from clamnet_tf.data.phantom_fields import SliceGrid
from clamnet_tf.data.phantom_head import Person
from clamnet_tf.data.phantom_lesions import draw_lesions
from clamnet_tf.data.phantom_signal import enhance_vessels, normal_signal
from clamnet_tf.errors import EnvironmentFailure
from clamnet_tf.files import atomic_path

GENERATOR = 3  # raise it whenever the same section would give other pixels
SITES = ("A", "B")
SMALLEST_OUTLINE_MM2 = 40.0  # a reader outlines nothing smaller: such crumbs are left out of the mask
_GOLDEN = 0.6180339887498949
_THIN_SLICES = 3  # averaged over the slice thickness


@dataclass(frozen=True)
class Patient:
    """One simulated patient. images (S, side, side, 3) uint8, masks (S, side, side) bool, position_mm (S,) rising."""

    name: str
    site: str
    images: np.ndarray
    masks: np.ndarray
    position_mm: np.ndarray


def simulate_patient(index: int, *, slices: int, side: int, seed: int) -> Patient:
    """Patient number `index` (from 0) of the cohort `seed`; the same whatever the number of patients."""
    generator = np.random.default_rng([seed, index])
    site = index % 2
    person = Person(generator, average_head(), site)
    start = np.random.default_rng(seed).uniform()
    height = np.clip((start + _GOLDEN * index) % 1.0 * 1.3 - 0.15, 0.0, 1.0)
    lesions = draw_lesions(generator, person, float(height))

    bottom, top = generator.uniform(-50.0, -43.0), generator.uniform(63.0, 69.0)
    heights = np.linspace(bottom, top, slices)
    thickness = min(heights[1] - heights[0], 5.5) * generator.uniform(0.8, 1.0)
    grid = SliceGrid(side, (236.0, 248.0)[site] * generator.uniform(0.97, 1.05), -16.0 + generator.normal(0.0, 2.0))
    blur_px = generator.uniform(0.5, 0.8) * (1.0, 1.15)[site] / grid.pixel_mm
    noise = generator.uniform(0.018, 0.035) * (1.0, 1.3)[site]
    full_scale = generator.uniform(1.75, 2.3, 3)

    images, masks = np.zeros((slices, side, side, 3), np.uint8), np.zeros((slices, side, side), bool)
    for number, z_mm in enumerate(heights):
        signal, occupancy = _thick_slice(person, lesions, grid, z_mm, thickness)
        signal = _receive(generator, person, grid, z_mm, signal, blur_px, noise)
        images[number] = np.clip(np.rint(signal / full_scale * 255.0), 0, 255)
        masks[number] = _outline(occupancy > 0.5, SMALLEST_OUTLINE_MM2 / grid.pixel_mm**2)
    return Patient(f"SIM_{SITES[site]}_{index + 1:04d}", SITES[site], images, masks, heights)


def _thick_slice(person, lesions, grid, z_mm, thickness_mm):
    """Signal (side, side, 3) and lesion occupancy (side, side), averaged over the thickness."""
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
    """`mask` (side, side) without its components below `least_px` pixels."""
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return (sizes >= least_px)[labels]


def _receive(generator, person, grid, z_mm, signal, blur_px, noise):
    """Coil shading, point spread and Rician noise, over the whole square."""
    region = person.region.on(grid, z_mm)
    received = np.empty_like(signal)
    for channel in range(3):
        shading = np.exp(person.coil[channel].on(grid, z_mm) + region + (person.flair_region.on(grid, z_mm) if channel == 1 else 0.0))
        blurred = ndimage.gaussian_filter(signal[..., channel] * shading, blur_px)
        real, imaginary = generator.normal(0.0, noise, (2, grid.side, grid.side))
        received[..., channel] = np.hypot(blurred + real, imaginary)
    return received


def cohort_key(section) -> str:
    """Name of the cohort's folder: everything that changes a pixel is in it."""
    content = {"section": section.model_dump(mode="json"), "generator": GENERATOR, "template": template_hash()}
    return f"{section.kind}-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]}"


def write_cohort(section, folder: Path, progress=None) -> Manifest:
    """Write the cohort of `section` (recipe.schema.CohortSection) below `folder`, unless it is there already.

    The folder `<folder>/<cohort_key>` appears at once and complete, or not at all. `progress`, when given, is called
    as progress(done, total) after each patient. Bitwise the same for one section on one machine.
    EnvironmentFailure when the template is missing or the folder cannot be written.
    """
    home = Path(folder) / cohort_key(section)
    if not (home / "manifest.csv").is_file():
        try:
            with atomic_path(home) as temporary:
                _write(section, temporary, progress)
        except EnvironmentFailure:
            if not (home / "manifest.csv").is_file():  # else another process was faster
                raise
    manifest = read_manifest(home / "manifest.csv")
    abnormal = sum(case.label == 1 for case in manifest.cases)
    account = (f"{len(manifest.cases)} simulated slices, {abnormal} with a lesion, seed {section.seed}: {home}",)
    return Manifest(root=manifest.root, cases=manifest.cases, account=account, layout="cohort")


def _write(section, home: Path, progress) -> None:
    average_head()
    cases = []
    settings = {"slices": section.slices, "side": section.side, "seed": section.seed}
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(_write_patient, home, index, settings) for index in range(section.patients)]
        try:
            for done, job in enumerate(jobs, start=1):
                cases.extend(job.result())
                if progress is not None:
                    progress(done, section.patients)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    write_manifest(Manifest(root=home, cases=tuple(cases)), home / "manifest.csv")


def _write_patient(home: Path, index: int, settings: dict) -> list[Case]:
    patient = simulate_patient(index, **settings)
    folder = home / patient.name
    folder.mkdir(parents=True)
    cases = []
    for number, (image, mask, position) in enumerate(zip(patient.images, patient.masks, patient.position_mm), start=1):
        image_path, mask_path = folder / f"{patient.name}_{number}.tif", folder / f"{patient.name}_{number}_mask.tif"
        Image.fromarray(image).save(image_path, compression="tiff_adobe_deflate")
        Image.fromarray(mask.astype(np.uint8) * 255).save(mask_path, compression="tiff_adobe_deflate")
        cases.append(
            Case(
                image=image_path, patient=patient.name, label=int(mask.any()), site=patient.site, series=patient.name,
                position=float(position), mask=mask_path,
            )
        )
    return cases
