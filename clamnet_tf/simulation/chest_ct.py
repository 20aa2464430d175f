"""Simulate chest CT with pneumonia, one patient at a time, as DICOM series in Hounsfield units.

Layout: <patient>/ct/IM0001.dcm ... (thin slices with gaps between, as in high-resolution CT), mask.nii.gz
(opacities) and organ.nii.gz (lungs with their content) on the grid of the series.

Every patient has opacities, unless the cohort has a share of healthy ones, and most slices have none, so
that neither scanner nor anatomy reveals the label. The heights of the main opacity are spread evenly over
the lungs, so that slice height does not reveal it either. No threshold finds them: ground glass is less
dense than vessels and chest wall, consolidation is as dense as they are.
"""

from pathlib import Path

import numpy as np

from clamnet_tf.datasets.manifest import Case
from clamnet_tf.simulation.chest import LUNG_RANGE_MM, Chest
from clamnet_tf.simulation.ct_scanner import SCANNERS, Scan, outline, reconstruct, write_scan
from clamnet_tf.simulation.space import Space, paint, smooth_step

KINDS = ("ground glass", "consolidation", "mixed")
_GOLDEN = 0.6180339887498949


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
    generator = np.random.default_rng([seed, index, 1])
    scanner = SCANNERS[index % 2]
    low, high = LUNG_RANGE_MM
    z_mm = np.round(
        np.linspace(low + generator.uniform(-6.0, 6.0), high + generator.uniform(-6.0, 6.0), slices), 3
    )
    space = Space(z_mm, side, round(generator.uniform(358.0, 392.0) / side, 6))
    chest = Chest(generator, space, scanner.thickness_mm)
    start = np.random.default_rng(seed).uniform()
    height = (start + _GOLDEN * index) % 1.0 * 1.24 - 0.12
    occupancy = np.zeros(space.shape, np.float32)
    if not healthy:
        occupancy = _draw_opacities(generator, chest, float(low + (high - low) * np.clip(height, 0.0, 1.0)))
    hu = reconstruct(generator, space, chest.hu, scanner, generator.uniform(14.0, 26.0))
    name = f"CHEST_{scanner.site}_{index + 1:04d}"
    return Scan(name, scanner, space, hu, outline(occupancy, space), chest.lung > -1.0)


def write_patient(
    home: Path, index: int, *, slices: int, side: int, seed: int, healthy: bool = False
) -> list[Case]:
    """Write patient number `index` of the cohort `seed` below the folder `home`; return the cases from below
    upwards.
    """
    return write_scan(
        home,
        simulate_patient(index, slices=slices, side=side, seed=seed, healthy=healthy),
        f"chest_ct {seed} {index} {slices} {side}{' healthy' if healthy else ''}",
    )


def _draw_opacities(generator, chest: Chest, z_mm: float) -> np.ndarray:
    """Paint one main opacity near height z_mm, and up to three smaller ones at about that height in either
    lung.

    Returns:
        Their occupancy (S, H, W) in 0..1.
    """
    occupancy = np.zeros(chest.space.shape, np.float32)
    main_mm = generator.lognormal(np.log(27.0), 0.22)
    sizes = [main_mm, *(main_mm * generator.uniform(0.4, 0.75, generator.choice(4, p=[0.4, 0.3, 0.2, 0.1])))]
    for radius_mm in sizes:
        outer = generator.uniform() < 0.7
        deep = (3.0, 22.0) if outer else (8.0, 60.0)
        points = chest.lung_points(
            1, lambda p: (abs(p["z"] - z_mm) < 9.0) & (p["depth"] > deep[0]) & (p["cavity"] < deep[1] + 4.0)
        )
        if not len(points):
            points = chest.lung_points(1, lambda p: (abs(p["z"] - z_mm) < 14.0) & (p["depth"] > 2.0))
        if len(points):
            occupancy = np.maximum(occupancy, _draw_opacity(generator, chest, points[0], radius_mm))
    return occupancy


def _draw_opacity(generator, chest: Chest, centre, radius_mm: float) -> np.ndarray:
    """Paint one opacity into chest.hu, ending at the pleura; return its occupancy (S, H, W) in 0..1."""
    space = chest.space
    kind = KINDS[generator.choice(3, p=(0.4, 0.25, 0.35))]
    radii = radius_mm * generator.lognormal((-0.25, 0.0, 0.0), 0.15).clip(0.6, 1.3)
    turn = generator.uniform(0.0, np.pi)
    z, y, x = space.z - centre[0], space.y - centre[1], space.x - centre[2]
    along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    level = np.sqrt((z / radii[0]) ** 2 + (along / radii[1]) ** 2 + (across / radii[2]) ** 2)
    level = level + space.field(generator, 0.7 * radius_mm, 0.2) + space.field(generator, 7.0, 0.09)
    texture = space.field(generator, 5.0, 1.0)
    occupancy = smooth_step(1.0 - level, generator.uniform(0.2, 0.5)) * smooth_step(chest.lung - 0.5, 2.0)
    glass = generator.uniform(-650.0, -380.0) + 35.0 * texture
    dense = generator.uniform(-40.0, 50.0) + 15.0 * texture
    core = {"ground glass": -1.0, "consolidation": 0.85, "mixed": generator.uniform(0.4, 0.65)}[kind]
    filled = smooth_step(core - level + 0.12 * texture, 0.3)
    clear = 1.0 - chest.solid  # vessels stay in ground glass
    paint(chest.hu, occupancy * clear * (0.85 + 0.15 * smooth_step(texture, 1.5)), glass)
    paint(chest.hu, occupancy * filled * (1.0 - 0.85 * chest.airways), dense)
    return occupancy
