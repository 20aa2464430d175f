"""Simulate abdominal CT with liver tumours, one patient at a time, as DICOM series in Hounsfield units.

The layout is that of chest_ct: <patient>/ct/IM0001.dcm ..., mask.nii.gz (tumours) and organ.nii.gz (liver
with its content).

Every patient has a tumour and most slices have none, so that neither scanner nor anatomy reveals the label.
The heights of the main tumour are spread evenly over the liver. Tumours are darker, brighter or rimmed,
depending on the phase of the contrast agent, which differs from patient to patient, so that no threshold
finds them in all patients.
"""

from pathlib import Path

import numpy as np

from clamnet_tf.datasets.manifest import Case
from clamnet_tf.simulation.abdomen import LIVER_RANGE_MM, Abdomen
from clamnet_tf.simulation.ct_scanner import SCANNERS, Scan, outline, reconstruct, write_scan
from clamnet_tf.simulation.space import Space, paint, smooth_step

_GOLDEN = 0.6180339887498949
_KINDS = {  # phase: probabilities of dark, rimmed (dark, with a brighter rim) and bright tumours
    "native": (0.9, 0.1, 0.0),
    "arterial": (0.25, 0.35, 0.4),
    "portal venous": (0.6, 0.4, 0.0),
}


def simulate_patient(index: int, *, slices: int, side: int, seed: int, healthy: bool = False) -> Scan:
    """Return patient number `index` (from 0) of the cohort `seed`, which does not depend on the cohort's
    size.

    Args:
        index: number of the patient, from 0.
        slices: number of slices.
        side: rows and columns of a slice.
        seed: seed of the cohort.
        healthy: whether nothing is drawn into the organ.
    """
    generator = np.random.default_rng([seed, index, 2])
    scanner = SCANNERS[index % 2]
    low, high = LIVER_RANGE_MM
    z_mm = np.round(
        np.linspace(low + generator.uniform(-5.0, 5.0), high + generator.uniform(-5.0, 5.0), slices), 3
    )
    space = Space(z_mm, side, round(generator.uniform(352.0, 384.0) / side, 6))
    abdomen = Abdomen(generator, space, scanner.thickness_mm)
    start = np.random.default_rng(seed).uniform()
    height = (start + _GOLDEN * index) % 1.0
    inside = np.flatnonzero((abdomen.liver > 6.0).sum(axis=(1, 2)) > 30)
    lowest, highest = z_mm[inside[0]], z_mm[inside[-1]]
    occupancy = np.zeros(space.shape, np.float32)
    if not healthy:
        occupancy = _draw_tumours(generator, abdomen, float(lowest + (highest - lowest) * height))
    hu = reconstruct(generator, space, abdomen.hu, scanner, generator.uniform(6.0, 10.0))
    return Scan(
        f"ABDOMEN_{scanner.site}_{index + 1:04d}",
        scanner,
        space,
        hu,
        outline(occupancy, space),
        abdomen.liver > -1.0,
    )


def write_patient(
    home: Path, index: int, *, slices: int, side: int, seed: int, healthy: bool = False
) -> list[Case]:
    """Write patient number `index` of the cohort `seed` below the folder `home`; return the cases from below
    upwards.
    """
    return write_scan(
        home,
        simulate_patient(index, slices=slices, side=side, seed=seed, healthy=healthy),
        f"abdomen_ct {seed} {index} {slices} {side}{' healthy' if healthy else ''}",
    )


def _draw_tumours(generator, abdomen: Abdomen, z_mm: float) -> np.ndarray:
    """Paint one main tumour near height z_mm, in half of the patients with up to two smaller ones.

    Returns:
        Their occupancy (S, H, W) in 0..1.
    """
    occupancy = np.zeros(abdomen.space.shape, np.float32)
    main_mm = generator.lognormal(np.log(23.0), 0.2)
    sizes = [main_mm, *(main_mm * generator.uniform(0.45, 0.8, generator.choice(3, p=[0.5, 0.3, 0.2])))]
    kind = ("dark", "rimmed", "bright")[generator.choice(3, p=_KINDS[abdomen.phase])]
    for radius_mm in sizes:
        for least_depth in (8.0, 4.0, 0.0):
            points = abdomen.liver_points(1, least_depth, (z_mm - 10.0, z_mm + 10.0))
            if len(points):
                occupancy = np.maximum(
                    occupancy, _draw_tumour(generator, abdomen, points[0], radius_mm, kind)
                )
                break
    return occupancy


def _draw_tumour(generator, abdomen: Abdomen, centre, radius_mm: float, kind: str) -> np.ndarray:
    """Paint one tumour into abdomen.hu, ending at the liver's capsule; return its occupancy (S, H, W) in
    0..1.
    """
    space = abdomen.space
    radii = radius_mm * generator.lognormal(0.0, 0.12, 3).clip(0.7, 1.35)
    offsets = (space.z - centre[0], space.y - centre[1], space.x - centre[2])
    level = np.sqrt(sum((offset / radius) ** 2 for offset, radius in zip(offsets, radii)))
    level = level + space.field(generator, 0.8 * radius_mm, 0.13) + space.field(generator, 7.0, 0.05)
    texture = space.field(generator, 6.0, 1.0)
    occupancy = smooth_step(1.0 - level, generator.uniform(0.12, 0.35)) * smooth_step(
        abdomen.liver - 0.5, 2.0
    )
    contrast = generator.uniform(26.0, 40.0) if abdomen.phase == "native" else generator.uniform(38.0, 62.0)
    value = abdomen.liver_hu + (contrast if kind == "bright" else -contrast) + 5.0 * texture
    paint(abdomen.hu, occupancy, value)
    if kind == "rimmed":
        rim = smooth_step(1.0 - np.abs(level - 0.82) / 0.16, 0.8) * smooth_step(texture + 1.2, 1.0)
        paint(abdomen.hu, 0.8 * rim * occupancy, abdomen.liver_hu + generator.uniform(15.0, 40.0))
    necrosis = smooth_step(generator.uniform(-0.2, 0.5) - level + 0.1 * texture, 0.25)
    paint(abdomen.hu, necrosis * occupancy, 18.0 + 5.0 * texture)
    return occupancy
