"""Simulate a head in CT without haemorrhage: scalp, skull, fluid, cortex, white matter, nuclei, ventricles,
falx.

Structures that mimic blood in healthy heads are drawn here, for every person: falx, tentorium and venous
sinuses (as dense as blood, and along the skull), calcified choroid plexus and pineal gland, and the
brightening beside bone that beam hardening leaves.
"""

import numpy as np

from clamnet_tf.simulation.space import Space, ellipsoid_depth, paint, smooth_step
from clamnet_tf.simulation.torso import AIR, CORTEX, FAT, SOFT

HEAD_RANGE_MM = (-34.0, 62.0)  # heights that a scan covers, from above the orbits to below the vertex
FLUID, WHITE, GREY, DENSE = 7.0, 28.0, 37.0, 56.0  # HU
_EDGE_MM = 1.6


class Head:
    """One person.

    Attributes:
        hu: (S, H, W) tissue in Hounsfield units.
        inside: (S, H, W) depth below the inner table of the skull in mm, positive inside.
        x, y, z: (S, H, W) the person's own coordinates in mm.
        fluid_mm: width of the fluid between skull and brain.
    """

    def __init__(self, generator: np.random.Generator, space: Space):
        self.space, self.generator = space, generator
        size = generator.normal(1.0, 0.03, 3).clip(0.93, 1.07)
        turn = np.deg2rad(generator.normal(0.0, 3.0))
        shift = generator.normal(0.0, 3.0, 2)
        x, y = (space.x - shift[0]) / size[0], (space.y - shift[1]) / size[1]
        bend = [space.field(generator, 60.0, 2.0) for _ in range(2)]
        self.x = (np.cos(turn) * x + np.sin(turn) * y + bend[0]).astype(np.float32)
        self.y = (np.cos(turn) * y - np.sin(turn) * x + bend[1]).astype(np.float32)
        self.z = np.broadcast_to(space.z / size[2], space.shape).astype(np.float32)
        self.grain, self.patches = space.field(generator, 6.0), space.field(generator, 16.0)
        self.folds, self.wide = space.field(generator, 11.0), space.field(generator, 45.0)
        narrow = 1.0 - 0.08 * smooth_step(-self.y / 90.0, 1.6)  # towards the forehead
        outer = (
            ellipsoid_depth(self.x / narrow, self.y, self.z + 6.0, (0.0, 0.0, 0.0), (77.0, 96.0, 92.0)) * 1.12
        )
        self.scalp_mm, self.bone_mm = generator.uniform(4.0, 8.0), generator.uniform(5.5, 8.0)
        self.outer = outer
        self.inside = outer - self.scalp_mm - self.bone_mm - 1.2 * self.wide
        self.fluid_mm = generator.uniform(1.0, 4.5)
        self.hu = np.full(space.shape, AIR, np.float32)
        self._shell()
        self._brain()
        self._ventricles()
        self._membranes()
        hardened = generator.uniform(4.0, 11.0)
        self.hu += hardened * np.exp(-np.clip(self.inside, 0.0, None) / 5.0) * (self.inside > 0)

    def opaque(self, depth: np.ndarray) -> np.ndarray:
        """Return the opacity of a structure that begins at depth 0."""
        return smooth_step(depth, _EDGE_MM)

    def over(self, depth, value, opacity: float = 1.0) -> None:
        """Paint `value` where `depth` is positive."""
        paint(self.hu, opacity * self.opaque(depth), value)

    def _shell(self):
        self.over(self.outer, SOFT)
        self.over(self.outer - 2.0, FAT + 8.0 * self.patches)
        self.over(self.outer - 0.75 * self.scalp_mm, SOFT + 4.0 * self.grain)
        bone = self.outer - self.scalp_mm
        self.over(bone, CORTEX + 120.0)
        self.over(np.minimum(bone - 1.8, -self.inside - 1.8), 380.0 + 60.0 * self.grain)
        self.over(self.inside, FLUID)

    def _brain(self):
        self.brain = self.inside - self.fluid_mm
        self.over(self.brain, GREY + 1.5 * self.grain)
        ribbon = self.brain - 4.5 - 2.5 * self.folds.clip(-1.2, 1.5)
        self.over(ribbon, WHITE + 1.0 * self.grain + 1.0 * self.wide)
        furrows = np.minimum(
            0.16 + 0.05 * self.fluid_mm - np.abs(self.folds + 0.3 * self.grain), (13.0 - self.brain) / 12.0
        )
        paint(self.hu, 0.75 * smooth_step(furrows, 0.2) * self.opaque(self.brain), FLUID + 3.0)
        for side in (-1.0, 1.0):  # deep nuclei
            self.over(
                ellipsoid_depth(
                    self.x - 0.12 * side * self.y, self.y, self.z, (side * 23.0, -6.0, 4.0), (9.0, 19.0, 15.0)
                ),
                GREY + 1.5,
            )
            self.over(
                ellipsoid_depth(self.x, self.y, self.z, (side * 9.0, 12.0, 4.0), (8.0, 13.0, 12.0)),
                GREY + 1.0,
            )

    def _ventricles(self):
        generator = self.generator
        wide = generator.uniform(0.75, 1.5)
        for side in (-1.0, 1.0):
            bent = self.x - side * (9.0 + 0.004 * (self.y + 2.0) ** 2)
            body = (
                ellipsoid_depth(
                    bent, self.y, self.z - 0.15 * self.y, (0.0, -2.0, 16.0), (5.5 * wide, 42.0, 9.0 * wide)
                )
                + 0.6 * self.patches
            )
            self.over(np.minimum(body, self.brain - 8.0), FLUID)
            if generator.uniform() < 0.7:  # calcified choroid plexus
                at = (
                    side * generator.uniform(14.0, 22.0),
                    generator.uniform(18.0, 30.0),
                    generator.uniform(6.0, 16.0),
                )
                self.over(
                    ellipsoid_depth(self.x, self.y, self.z, at, generator.uniform(2.0, 4.5, 3)),
                    generator.uniform(60.0, 140.0),
                )
        self.over(ellipsoid_depth(self.x, self.y, self.z, (0.0, 2.0, 0.0), (2.2 * wide, 13.0, 9.0)), FLUID)
        pineal_gland = ellipsoid_depth(self.x, self.y, self.z, (0.0, 24.0, 2.0), (3.0, 3.0, 3.5))
        self.over(pineal_gland, generator.uniform(45.0, 150.0))

    def _membranes(self):
        dense = DENSE + self.generator.uniform(-4.0, 8.0)
        falx = np.minimum.reduce(
            [
                1.1 - np.abs(self.x + 0.8 * self.wide),
                self.inside,
                np.maximum(np.abs(self.y) - 34.0, self.z - 34.0),
            ]
        )
        self.over(falx, dense, 0.8)
        for middle, width in ((88.0, 7.0), (-88.0, 4.0)):  # superior sagittal sinus, behind and in front
            self.over(
                np.minimum(
                    width - np.hypot(self.x, 1.6 * (np.abs(self.inside) - 1.0)),
                    np.sign(middle) * self.y - 20.0,
                ),
                dense,
            )
        tent = np.minimum.reduce(
            [
                1.4 - np.abs(self.z + 22.0 - 0.45 * np.abs(self.x) + 1.5 * self.wide),
                self.y - 8.0,
                self.inside,
                np.abs(self.x) - 14.0,
            ]
        )
        self.over(tent, dense, 0.8)
        for side in (-1.0, 1.0):  # transverse sinus
            calibre = self.generator.uniform(3.0, 6.0)
            sinus = np.minimum.reduce(
                [
                    calibre - np.hypot(0.7 * (self.z + 26.0), 1.4 * self.inside),
                    self.y - 25.0,
                    side * self.x - 8.0,
                ]
            )
            self.over(sinus, dense)
