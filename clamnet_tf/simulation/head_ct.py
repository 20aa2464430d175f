"""Simulate head CT with haemorrhage of two kinds, one patient at a time, as DICOM series in Hounsfield units.

The layout is that of chest_ct: <patient>/ct/IM0001.dcm ..., mask.nii.gz (1 intraparenchymal, 2 subdural) and
organ.nii.gz (inside of the skull).

Of twelve patients four have blood within the brain, four under the skull, two both and two none. The kinds
are spread evenly over the two scanners and the heights of the bleeds over the head, so that neither reveals
the label. Fresh blood is bright, but so are falx, sinuses, calcified plexus and the brain beside bone: no
threshold finds the bleeds, and none distinguishes the two kinds, whose densities are the same.
"""

from pathlib import Path

import numpy as np

from clamnet_tf.datasets.manifest import Case
from clamnet_tf.simulation.ct_scanner import SCANNERS, Scan, outline, reconstruct, write_scan
from clamnet_tf.simulation.head import HEAD_RANGE_MM, Head
from clamnet_tf.simulation.space import Space, paint, smooth_step

INTRAPARENCHYMAL, SUBDURAL = 1, 2  # in masks
CLASS_NAMES = ("intraparenchymal", "subdural")
_KINDS = (
    (INTRAPARENCHYMAL,),
    (SUBDURAL,),
    (INTRAPARENCHYMAL,),
    (SUBDURAL,),
    (INTRAPARENCHYMAL, SUBDURAL),
    (),
)
_GOLDEN = 0.6180339887498949


def kinds_of(index: int) -> tuple[int, ...]:
    """Return the bleeds of patient number `index`; two patients in turn, one per scanner, have the same."""
    return _KINDS[index // 2 % len(_KINDS)]


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
    generator = np.random.default_rng([seed, index, 4])
    scanner = SCANNERS[index % 2]
    low, high = HEAD_RANGE_MM
    z_mm = np.round(
        np.linspace(low + generator.uniform(-4.0, 4.0), high + generator.uniform(-4.0, 4.0), slices), 3
    )
    space = Space(z_mm, side, round(generator.uniform(214.0, 232.0) / side, 6))
    head = Head(generator, space)
    start = np.random.default_rng(seed).uniform()
    mask = np.zeros(space.shape, np.uint8)
    for kind in () if healthy else kinds_of(index):
        before = sum(kind in kinds_of(other) for other in range(index))
        height = (start + _GOLDEN * before + 0.5 * kind) % 1.0
        draw = _draw_intraparenchymal if kind == INTRAPARENCHYMAL else _draw_subdural
        mask[outline(draw(generator, head, float(low + (high - low) * height)), space)] = kind
    hu = reconstruct(generator, space, head.hu, scanner, generator.uniform(3.5, 5.5))
    return Scan(
        f"HEAD_{scanner.site}_{index + 1:04d}", scanner, space, hu, mask, head.inside > 0, CLASS_NAMES
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
        f"head_ct {seed} {index} {slices} {side}{' healthy' if healthy else ''}",
    )


def _blood(generator, head: Head) -> np.ndarray:
    """Return the HU of a bleed, from nearly as dense as cortex to fresh clot."""
    return generator.uniform(50.0, 74.0) + 3.0 * head.grain


def _draw_intraparenchymal(generator, head: Head, z_mm: float) -> np.ndarray:
    """Paint a clot with a dark rim of oedema into the brain, near height z_mm.

    Returns:
        Its occupancy (S, H, W) in 0..1.
    """
    space = head.space
    radius_mm = generator.lognormal(np.log(13.5), 0.25)
    voxels = np.argwhere((head.brain > 0.6 * radius_mm + 5.0) & (np.abs(space.z - z_mm) < 8.0))
    if not len(voxels):  # above or below the brain: use the nearest height
        voxels = np.argwhere(head.brain > 0.6 * radius_mm + 5.0)
        voxels = voxels[
            np.abs(space.z_mm[voxels[:, 0]] - z_mm) <= np.abs(space.z_mm[voxels[:, 0]] - z_mm).min() + 1e-6
        ]
    s, r, c = voxels[generator.integers(len(voxels))]
    radii = radius_mm * generator.lognormal(0.0, 0.15, 3).clip(0.7, 1.4)
    offsets = (space.z - space.z_mm[s], space.y - space.in_plane_mm[r], space.x - space.in_plane_mm[c])
    level = np.sqrt(sum((offset / radius) ** 2 for offset, radius in zip(offsets, radii)))
    level = level + space.field(generator, 0.9 * radius_mm, 0.14) + space.field(generator, 6.0, 0.05)
    within = smooth_step(head.brain - 1.0, 2.0)
    oedema = smooth_step(generator.uniform(1.2, 1.5) - level, 0.3) * within
    paint(head.hu, 0.8 * oedema, 20.0 + 1.5 * head.grain)
    occupancy = smooth_step(1.0 - level, 0.18) * within
    paint(head.hu, occupancy, _blood(generator, head))
    return occupancy


def _draw_subdural(generator, head: Head, z_mm: float) -> np.ndarray:
    """Paint a crescent under the skull of one side, about height z_mm; return its occupancy (S, H, W) in
    0..1.
    """
    side = generator.choice([-1.0, 1.0])
    middle = generator.uniform(-0.6, 0.6)  # radians from straight sideways, positive towards the back
    angle = np.arctan2(head.y, side * head.x) - middle
    along = angle / generator.uniform(0.75, 1.25)
    up = (head.z - z_mm) / generator.uniform(22.0, 34.0)
    thick = (
        generator.uniform(9.0, 16.0) * np.clip(1.0 - along**2 - up**2, 0.0, None) ** 0.6 + 1.0 * head.patches
    )
    thick = np.where(along**2 + up**2 < 1.0, thick, -1.0)
    occupancy = smooth_step(thick - head.inside, 1.4) * smooth_step(head.inside, 1.0)
    paint(head.hu, occupancy, _blood(generator, head))
    return occupancy
