"""Draw the lesions of the simulated cohort: their position, growth and appearance.

There are three kinds, as in gliomas and metastases: infiltrative (FLAIR bright, T1 dark, little enhancement),
ring enhancing (necrotic centre, oedema around it) and solid with partial enhancement. Borders follow the
white matter, stop at the skull and at the ventricles, and cross the midline only through white matter. The
signal overlaps that of cortex, benign white-matter spots, periventricular rims and scalp fat, under shading
that all channels share. So a threshold on one channel finds lesions poorly; the contrast between channels and
the shape are more informative.
"""

import numpy as np

from clamnet_tf.simulation.brain_mri.fields import SliceGrid, SplineField, smooth_step
from clamnet_tf.simulation.brain_mri.head import VESSEL, Person, Points
from clamnet_tf.simulation.brain_mri.signal import POST, paint

KINDS = ("infiltrative", "ring", "solid")
CENTRE_RANGE_MM = (-46.0, 64.0)


class Lesion:
    """One lesion of `person`, centred within 4 mm of height `z_mm`.

    Args:
        generator: source of randomness.
        person: the Person.
        z_mm: height of the centre.
        scale: factor of its size.
        near: the lesion from which it keeps a distance, or None.
    """

    def __init__(
        self, generator: np.random.Generator, person: Person, z_mm: float, scale: float = 1.0, near=None
    ):
        self.centre = _centre(generator, person, z_mm, near)
        self.kind = KINDS[generator.choice(3, p=(0.5, 0.25, 0.25))]
        room = np.interp(self.centre[0], (-50, -25, 0, 40, 55, 75), (0.8, 0.9, 1.0, 1.0, 0.8, 0.6))
        mean_mm = scale * room * generator.lognormal(np.log(30.0), 0.20)
        self.radii_mm = mean_mm * generator.lognormal((-0.22, 0.05, 0.05), 0.15).clip(0.65, 1.35)
        self.frame = np.linalg.qr(generator.standard_normal((3, 3)))[0]
        self.lobes = SplineField(generator, 0.75 * mean_mm, 0.20)
        self.fingers = SplineField(generator, 8.0, 0.10)
        self.texture = SplineField(generator, 5.0, 1.0)
        self.patches = SplineField(generator, 13.0, 1.0)
        self.softness = generator.uniform(0.12, 0.45)
        self.push_mm = generator.uniform(0.5, 4.0)
        self.crossing = generator.uniform(0.05, 0.20)
        self.core = {
            "infiltrative": 0.0,
            "ring": generator.uniform(0.45, 0.65),
            "solid": generator.uniform(0.4, 0.75),
        }[self.kind]
        self.ring = generator.uniform(0.10, 0.18)
        self.enhancement = {"infiltrative": generator.choice([0.0, 0.5]), "ring": 1.0, "solid": 0.9}[
            self.kind
        ]
        grey, fluid = person.signal["grey"], person.signal["fluid"]
        self.oedema = grey * (
            generator.uniform(0.74, 0.90),
            generator.uniform(1.30, 1.55),
            generator.uniform(0.76, 0.92),
        )
        self.inner = grey * (
            generator.uniform(0.66, 0.86),
            generator.uniform(1.05, 1.55),
            generator.uniform(0.70, 0.90),
        )
        if self.kind == "ring":
            mix = generator.uniform(0.2, 0.7)
            self.inner = mix * fluid + (1 - mix) * self.inner

    def push(self, z, y, x):
        """Return the displacement (dz, dy, dx) of tissue at points in mm: outward, strongest at the rim."""
        offsets = z - self.centre[0], y - self.centre[1], x - self.centre[2]
        radius = float(np.mean(self.radii_mm))
        squared = sum(offset**2 for offset in offsets) / radius**2
        factor = (self.push_mm / radius) * np.exp(-squared / 2.0)
        return tuple((factor * offset).astype(np.float32) for offset in offsets)

    def level(self, person: Person, points: Points, grid: SliceGrid, z_mm: float) -> np.ndarray:
        """Return (P,) 0 at the centre, 1 at the border and above 1 outside."""
        z, y, x = points.scanner
        offsets = np.stack([z - self.centre[0], y - self.centre[1], x - self.centre[2]])
        distance = np.sqrt(
            ((np.einsum("ij,jp->ip", self.frame, offsets) / self.radii_mm[:, None]) ** 2).sum(axis=0)
        )
        rough = (self.lobes.on(grid, z_mm) + self.fingers.on(grid, z_mm))[points.inside]
        distance = distance + rough.clip(-0.4, 0.4) * smooth_step(distance - 0.4, 0.8)
        side = np.sign(self.centre[2]) or 1.0
        beyond = np.maximum(-side * points.template[0], 0.0) * (1.0 - 0.8 * points.white)
        spread = smooth_step(distance - 0.5, 0.6)
        return (
            distance * (1.0 + spread * (0.22 * points.grey + 0.9 * points.fluid - 0.05))
            + self.crossing * beyond
        )

    def reach_mm(self) -> float:
        """Return the half height in mm beyond which the lesion certainly ends."""
        return 2.0 * float(self.radii_mm.max())

    def draw(
        self, canvas: np.ndarray, person: Person, points: Points, grid: SliceGrid, z_mm: float
    ) -> np.ndarray:
        """Paint the lesion into `canvas` (P, 3); return its occupancy (P,) in 0..1."""
        if abs(z_mm - self.centre[0]) > self.reach_mm():
            return np.zeros(len(canvas), np.float32)
        level = self.level(person, points, grid, z_mm)
        texture, patches = (
            self.texture.on(grid, z_mm)[points.inside],
            self.patches.on(grid, z_mm)[points.inside],
        )
        wall = smooth_step(points.depth - 0.5, 2.0)
        occupancy = smooth_step(1.0 - level, self.softness) * wall
        keep = 0.25 * occupancy[:, None] * (canvas / np.maximum(person.signal["white"], 0.1) - 1.0)
        signal = (
            self.oedema
            * (1.0 + keep)
            * (1.0 + (0.05 * texture + 0.08 * patches)[:, None] * (-0.6, 1.0, -0.5))
        )
        inner = self.inner * (1.0 + (0.08 * texture + 0.10 * patches)[:, None])
        paint(signal, smooth_step(self.core - level, 0.15), inner)
        paint(canvas, occupancy, signal)
        self._enhance(canvas, level, texture, patches, occupancy)
        return occupancy

    def _enhance(self, canvas, level, texture, patches, occupancy):
        if self.kind == "ring":
            where = smooth_step(1.0 - abs(level - self.core) / self.ring, 0.8) * smooth_step(
                patches + 0.9 + 0.2 * texture, 0.8
            )
        else:
            where = smooth_step(self.core - level, 0.2) * smooth_step(patches - 0.2 + 0.3 * texture, 0.8)
        alpha = self.enhancement * 0.75 * where * occupancy
        canvas[:, POST] += alpha * (VESSEL * 0.85 - canvas[:, POST])


def draw_lesions(generator: np.random.Generator, person: Person, height: float) -> list[Lesion]:
    """Return the lesions of one person, main lesion first, and set their mass effect on `person`.

    One person in five has a second, smaller focus at about the same height.

    Args:
        generator: source of randomness.
        person: the Person.
        height: position of the main lesion's centre between base and vertex, 0..1.
    """
    low, high = CENTRE_RANGE_MM
    z_mm = low + (high - low) * height
    lesions = [Lesion(generator, person, z_mm)]
    if generator.uniform() < 0.2:
        lesions.append(Lesion(generator, person, lesions[0].centre[0], scale=0.55, near=lesions[0]))

    def push(z, y, x):
        moves = [lesion.push(z, y, x) for lesion in lesions]
        return tuple(sum(parts) for parts in zip(*moves))

    person.push = push
    return lesions


def _centre(generator, person: Person, z_mm: float, near) -> tuple[float, float, float]:
    """Return a random point of brain tissue at height z_mm +-4 mm, below its surface and away from `near`."""
    points = []
    for least_depth in (9.0, 6.0, 3.0, 0.0):
        accept = lambda p: (p.fluid < 0.5) & (p.depth > least_depth) & (p.ventricle > 6.0)
        points = person.find(generator, 30, accept, (z_mm - 4.0, z_mm + 4.0))
        if near is not None:
            points = [
                point
                for point in points
                if np.linalg.norm(np.subtract(point, near.centre)) > 1.4 * near.radii_mm.mean()
            ]
        if points:
            return points[0]
    return (z_mm, -20.0, 30.0) if near is None else near.centre
