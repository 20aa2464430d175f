"""Simulate radiographs of the forearm, some with a fracture, one patient at a time, as DICOM of two sites.

Layout: <patient>/front.dcm (and side.dcm) with <view>_mask.png. A patient has a fracture in all views or in
none; every second patient of each site has one. Site A writes Digital X-Ray images (MONOCHROME2), site B
Computed Radiography (MONOCHROME1: bone is stored dark).

The mask is the fracture line widened to 6 mm (MARK_MM to either side) inside the bone: the gap itself is
often narrower than a pixel, nobody outlines it more finely, and a score of a line one pixel wide would
measure rounding.

Structures that mimic a fracture are drawn in every patient: the oblique canal of the feeding artery,
growth-arrest lines, skin folds, the joints, and bone crossing bone in the side view. Exposure and processing
differ from picture to picture.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from clamnet_tf.datasets.manifest import Case
from clamnet_tf.simulation.dicom_files import RadiographFormat, write_radiograph
from clamnet_tf.simulation.forearm import Forearm
from clamnet_tf.simulation.space import smooth_field, smooth_step

MARK_MM = 3.0
VIEWS = ("front", "side")
SITES = (("A", RadiographFormat("DX", 12, inverted=False)), ("B", RadiographFormat("CR", 10, inverted=True)))
_HEIGHT_MM = 118.0
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class View:
    """One radiograph.

    Attributes:
        name: one of VIEWS.
        image: (side, side) float32 in 0..1, bright = dense.
        mask: (side, side) bool.
        pixel_mm: size of a pixel in mm.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    pixel_mm: float


class Fracture:
    """A rough surface through a bone, and the shift of the fragment beyond it towards the hand.

    Args:
        generator: source of randomness.
        t_mm: position along the arm in mm.
        shaft_mm: radius of the bone's shaft in mm.
    """

    def __init__(self, generator: np.random.Generator, t_mm: float, shaft_mm: float):
        self.t_mm = t_mm
        self.slope_u = np.tan(np.deg2rad(generator.choice([-1.0, 1.0]) * generator.uniform(0.0, 45.0)))
        self.slope_d = np.tan(np.deg2rad(generator.uniform(-25.0, 25.0)))
        self.width_mm = generator.uniform(1.4, 3.2)
        self.shift_mm = generator.normal(0.0, 1.0) * 0.25 * shaft_mm
        self.angle = np.tan(np.deg2rad(generator.normal(0.0, 5.0)))
        # Height in mm and phase of eight waves along the line.
        self.rough = 0.55 * generator.standard_normal((8, 6))[:, :2]

    def view_from_the_side(self) -> "Fracture":
        """Return the same fracture with the beam turned by a right angle."""
        turned = copy.copy(self)
        turned.slope_u, turned.slope_d = self.slope_d, self.slope_u
        turned.rough, turned.shift_mm = self.rough[::-1], 0.7 * self.shift_mm
        return turned

    def bend(self, bone, t: np.ndarray, u: np.ndarray, depth: float, pixel_mm: float):
        """Return the position of points before the bone broke, and the effect of the gap there.

        Args:
            bone: the Bone.
            t, u: (H, W) mm along the arm and across the picture.
            depth: mm from the bone's axis along the beam.
            pixel_mm: size of a pixel in mm.

        Returns:
            Rows (fractional index) and u before the fracture, the opening 0..1, and the nearness to the
                surface 0..1 (1 within MARK_MM).
        """
        row = np.clip(int(self.t_mm / pixel_mm), 0, len(bone.t) - 1)
        across = u - bone.centre_u[row]
        teeth = 0.35 * sum(
            height * np.sin(2 * np.pi * across / (2.2 + 1.9 * wave) + phase + 0.4 * depth)
            for wave, (height, phase) in enumerate(self.rough)
        )
        away = t - (self.t_mm + self.slope_u * across + self.slope_d * depth + teeth)
        beyond = smooth_step(away, 0.6)
        moved = u - beyond * (self.shift_mm + self.angle * (t - self.t_mm))
        steep = np.sqrt(1.0 + self.slope_u**2)
        opening = smooth_step(self.width_mm / 2 - np.abs(away) / steep, 0.6)
        near = (np.abs(away) / steep < MARK_MM).astype(np.float32)
        return t / pixel_mm, moved, opening, near


def simulate_patient(index: int, *, slices: int, side: int, seed: int) -> list[View]:
    """Return the views of patient number `index` of the cohort `seed`, which do not depend on the cohort's
    size.

    Args:
        index: number of the patient, from 0.
        slices: number of views, 1 or 2.
        side: rows and columns of a view.
        seed: seed of the cohort.
    """
    generator = np.random.default_rng([seed, index, 3])
    size = {
        "shaft_mm": generator.normal(6.6, 0.55),
        "gap_mm": generator.uniform(7.0, 13.0),
        "bow_mm": generator.normal((1.5, -0.5), 1.5),
        "cortex": generator.uniform(0.24, 0.4),
        "flesh_mm": generator.uniform(8.0, 22.0),
        "overlap": generator.uniform(0.1, 0.5),
        "hand_mm": generator.uniform(-10.0, 26.0),
        "squash": generator.uniform(0.95, 1.1),
    }
    start = np.random.default_rng(seed).uniform()
    share = (start + _GOLDEN * (index // 4)) % 1.0
    wrist = _HEIGHT_MM - max(size["hand_mm"], 0.0)
    fractures = [None, None]
    broken = is_broken(index)
    for bone in range(2):  # drawn for everybody, so that broken and healthy arms are otherwise alike
        along = share if bone == 0 else np.clip(share + generator.normal(0, 0.12), 0, 1)
        fractures[bone] = Fracture(generator, 9.0 + (wrist - 22.0) * along, size["shaft_mm"])
    broken_bone, both_broken = generator.integers(2), generator.uniform() < 0.35
    fractures = [
        fractures[bone] if broken and (both_broken or bone == broken_bone) else None for bone in range(2)
    ]
    flip, mirror = generator.uniform(size=2) < 0.5
    views = []
    for name in VIEWS[:slices]:
        pixel_mm = _HEIGHT_MM / side * generator.uniform(0.96, 1.06)
        arm = Forearm(generator, size, side, pixel_mm, side_view=name == "side")
        seen_fractures = [
            fracture and (fracture if name == "front" else fracture.view_from_the_side())
            for fracture in fractures
        ]
        attenuation, near = arm.project(seen_fractures)
        image = _develop(generator, _mimics(generator, arm, attenuation), side)
        mask = ndimage.binary_opening(near > 0.5)
        image, mask = (array[::-1] if flip else array for array in (image, mask))
        image, mask = (array[:, ::-1] if mirror else array for array in (image, mask))
        views.append(View(name, np.ascontiguousarray(image), np.ascontiguousarray(mask), pixel_mm))
    return views


def is_broken(index: int) -> bool:
    """Return whether patient number `index` has a fracture; half of the patients of either site have one."""
    return index // 2 % 2 == 0


def write_patient(home: Path, index: int, *, slices: int, side: int, seed: int) -> list[Case]:
    """Write patient number `index` of the cohort `seed` below the folder `home`; return one case per view."""
    site, form = SITES[index % 2]
    patient = f"FOREARM_{site}_{index + 1:04d}"
    (home / patient).mkdir(parents=True)
    cases = []
    for view in simulate_patient(index, slices=slices, side=side, seed=seed):
        image_path, mask_path = home / patient / f"{view.name}.dcm", home / patient / f"{view.name}_mask.png"
        uid_seed = f"bone_xray {seed} {index} {side} {view.name}"
        write_radiograph(
            image_path, view.image, form, patient=patient, pixel_mm=view.pixel_mm, uid_seed=uid_seed
        )
        Image.fromarray(view.mask.astype(np.uint8) * 255).save(mask_path)
        cases.append(
            Case(image=image_path, patient=patient, label=int(is_broken(index)), site=site, mask=mask_path)
        )
    return cases


def _mimics(generator, arm: Forearm, attenuation: np.ndarray) -> np.ndarray:
    """Draw feeding canals, growth-arrest lines and skin folds, in every arm."""
    t, u = arm.t[:, None], arm.u[None, :]
    result = attenuation.copy()
    for bone in arm.bones:
        inside = smooth_step(bone.outer[:, None] - np.abs(u - bone.centre_u[:, None]) - 0.5, 1.0) * (
            t < bone.end_mm - 3.0
        )
        for _ in range(generator.integers(1, 3)):  # oblique and short, at one side of the shaft
            t0, edge = (
                generator.uniform(0.1, 0.75) * arm.length,
                generator.choice([-1.0, 1.0]) * generator.uniform(0.4, 0.9),
            )
            row = int(t0 / arm.pixel_mm)
            along, steep = (
                t - t0,
                np.tan(np.deg2rad(generator.uniform(12.0, 28.0))) * generator.choice([-1.0, 1.0]),
            )
            away = np.abs(u - bone.centre_u[row] - edge * bone.outer[row] * 0.7 - steep * along) * np.cos(
                np.arctan(steep)
            )
            result -= (
                0.07
                * inside
                * smooth_step(0.8 - away, 0.7)
                * smooth_step(generator.uniform(4.0, 8.0) - np.abs(along), 3.0)
            )
        for _ in range(generator.poisson(0.6)):  # growth-arrest lines: across, bright
            t0 = generator.uniform(0.55, 0.95) * min(bone.end_mm, arm.length)
            result += 0.07 * inside * smooth_step(0.6 - np.abs(t - t0 - 0.4 * arm.coarse), 0.8)
    for _ in range(generator.integers(0, 3)):  # folds of the skin: through bone and flesh alike
        slope, t0 = (
            np.tan(np.deg2rad(generator.uniform(-50.0, 50.0))),
            generator.uniform(0.0, 1.0) * arm.length,
        )
        away = np.abs(t - t0 - slope * u) * np.cos(np.arctan(slope))
        result += generator.choice([-0.03, 0.03]) * smooth_step(0.9 - away, 0.9) * (attenuation > 0.05)
    return result


def _develop(generator, attenuation: np.ndarray, side: int) -> np.ndarray:
    """Apply the detector and its processing: unsharpness, quantum noise, grey curve, a lead letter.

    Returns:
        (side, side) in 0..1, bright = dense.
    """
    blurred = ndimage.gaussian_filter(attenuation, generator.uniform(0.35, 0.6))
    dose = generator.uniform(1e4, 4e4)
    quanta = np.exp(-blurred) * dose
    noisy = -np.log(
        np.maximum(quanta + np.sqrt(quanta) * generator.standard_normal(quanta.shape), 1.0) / dose
    )
    axis = np.arange(side, dtype=np.float64)
    noisy = noisy + smooth_field(generator, (axis, axis), 0.7 * side, 0.05)  # the heel of the anode, scatter
    sharper = noisy + generator.uniform(0.2, 0.7) * (noisy - ndimage.gaussian_filter(noisy, 4.0))
    top = np.quantile(sharper, 0.995) * generator.uniform(1.0, 1.15)
    grey = np.clip((sharper - np.quantile(sharper, 0.01)) / top, 0.0, 1.0) ** generator.uniform(0.75, 1.1)
    grey = 0.03 + 0.9 * grey
    row, column = int(generator.uniform(0.03, 0.8) * side), int(generator.choice([0.03, 0.91]) * side)
    tall, wide = max(side // 16, 3), max(side // 26, 2)
    stroke = max(side // 100, 1)
    grey[row : row + tall, column : column + stroke] = 0.97  # an L of lead beside the arm
    grey[row + tall - stroke : row + tall, column : column + wide] = 0.97
    return grey.astype(np.float32)
