"""Simulate an abdomen without tumours: wall, liver with vessels, spleen, kidneys, stomach, bowel, spine.

Structures that mimic a tumour in healthy livers are drawn here, for every person and at every height: vessels
(brighter or darker than the liver, depending on the phase of the contrast agent), small cysts, fat along the
ligament, fatty change in patches, and the gall bladder beside it.
"""

import numpy as np

from clamnet_tf.simulation.space import Space, ellipse_depth, ellipsoid_depth, paint
from clamnet_tf.simulation.torso import AIR, FAT, Torso
from clamnet_tf.simulation.trees import draw_tubes, grow_tree

LIVER_RANGE_MM = (-58.0, 80.0)  # heights that a scan covers, before the person's shape is applied
PHASES = {  # HU: liver, its veins, spleen, cortex of the kidney, aorta, caval vein
    "native": (58.0, 46.0, 48.0, 34.0, 40.0, 40.0),
    "arterial": (72.0, 66.0, 120.0, 180.0, 290.0, 90.0),
    "portal venous": (108.0, 158.0, 122.0, 175.0, 165.0, 155.0),
}
_SPINE_Y_MM = 56.0


class Abdomen(Torso):
    """One person.

    Attributes:
        hu: (S, H, W) tissue in Hounsfield units.
        liver: (S, H, W) depth below the liver's capsule in mm, positive inside.
        vessels: (S, H, W) opacity 0..1 of the liver's vessels.
        phase: phase of the contrast agent, a key of PHASES.
        liver_hu: Hounsfield units of the liver.
    """

    def __init__(self, generator: np.random.Generator, space: Space, slab_mm: float):
        super().__init__(generator, space, half_width_mm=164.0, half_depth_mm=114.0)
        self.slab_mm = slab_mm
        self.phase = list(PHASES)[generator.choice(3, p=(0.25, 0.2, 0.55))]
        blood = PHASES[self.phase]
        factor = generator.normal(1.0, 0.08)
        self.liver_hu, self.vein_hu, self.spleen_hu, self.kidney_hu, self.aorta_hu, self.cava_hu = (
            value * factor for value in blood
        )
        fatty = generator.choice([0.0, 1.0], p=[0.7, 0.3])
        self.liver_hu -= fatty * generator.uniform(8.0, 25.0)
        self.hu = self.outside()
        self._wall()
        self._bowel()
        self._great_vessels()
        self._organs()
        self._liver()
        self._lung_bases()

    def _wall(self):
        x, y = self.x, self.y
        self.cavity = (
            np.minimum(ellipse_depth(x, y, (0.0, -2.0), (139.0, 91.0), 2.4), self.body - self.fat_mm - 9.0)
            + 2.0 * self.wide
        )
        self.over(self.hu, np.minimum(self.body - 0.8 * self.fat_mm, self.cavity + 15.0), self.muscle())
        between_layers = 1.6 - np.abs(self.cavity + 8.0 + 2.5 * self.patches)
        self.over(self.hu, np.minimum(self.body - 3.0, between_layers), FAT)
        self.ribs(self.hu, np.where(self.y > -75.0, self.cavity, 60.0), 0.0, lowest_mm=-40.0 - 0.3 * self.y)
        self.over(self.hu, self.cavity - 1.0, FAT + 8.0 * self.grain + 6.0 * self.patches)
        for side in (-1.0, 1.0):  # psoas
            self.over(
                self.hu,
                ellipse_depth(
                    x, y, (side * 34.0, _SPINE_Y_MM + 4.0), (14.0 - 0.06 * self.z.clip(-60, 60), 19.0)
                ),
                self.muscle(),
            )
        self.spine(self.hu, _SPINE_Y_MM)

    def _bowel(self):
        """Draw loops in front and below: walls, with fluid, gas or contrast agent in them."""
        generator, z = self.generator, self.z
        for _ in range(36):
            x0, y0 = generator.uniform(-105.0, 105.0), generator.uniform(-78.0, 10.0)
            z0 = generator.uniform(-110.0, 20.0 if x0 > 0 else -20.0)
            radius = generator.uniform(11.0, 20.0)
            radii = (radius * generator.uniform(0.9, 1.8), radius, radius * generator.uniform(0.9, 1.6))
            loop = ellipsoid_depth(self.x, self.y, z, (x0, y0, z0), radii)
            loop = np.minimum(loop, self.cavity - 3.0) + 1.5 * self.patches
            self.over(self.hu, loop, 48.0 + 0.2 * self.liver_hu)
            content = generator.choice(["fluid", "gas", "agent", "empty"], p=[0.4, 0.25, 0.1, 0.25])
            if content != "empty":
                self.over(
                    self.hu,
                    loop - 3.0,
                    {"fluid": 18.0, "gas": 15.0, "agent": 240.0}[content] + 14.0 * self.grain,
                )
            if content == "gas":
                self.over(self.hu, np.minimum(loop - 3.0, y0 + generator.uniform(-6.0, 6.0) - self.y), AIR)

    def _great_vessels(self):
        x, y, z = self.x, self.y, self.z
        self.over(self.hu, 11.0 - np.hypot(x - 9.0, y - 28.0), self.aorta_hu)
        self.over(self.hu, ellipse_depth(x, y, (-17.0, 26.0), (13.0, 10.0)), self.cava_hu)
        pancreas = ellipse_depth(x, z - 0.22 * x + 30.0, (18.0, 0.0), (62.0, 13.0))
        pancreas = np.minimum(pancreas, 9.0 - np.abs(y + 2.0 + 0.10 * np.abs(x - 10.0))) + 1.8 * self.patches
        self.over(self.hu, pancreas, 40.0 + 0.55 * (self.liver_hu - 40.0))

    def _organs(self):
        generator, x, y, z = self.generator, self.x, self.y, self.z
        inside = self.cavity - 2.0
        middle, height = (92.0, 36.0, 22.0 + generator.normal(0, 8)), generator.uniform(42.0, 62.0)
        spleen = ellipsoid_depth(x - 0.35 * (y - 35.0), y, z, middle, (27.0, 46.0, height))
        spleen = np.minimum(spleen, inside) + 1.2 * self.patches
        mottled = 30.0 * self.patches if self.phase == "arterial" else 0.0
        self.over(self.hu, spleen, self.spleen_hu + mottled)
        stomach = (
            np.minimum(ellipsoid_depth(x + 0.25 * z, y, z, (52.0, -36.0, 26.0), (40.0, 32.0, 62.0)), inside)
            + 1.5 * self.wide
        )
        self.over(self.hu, stomach, 50.0 + 0.2 * self.liver_hu)
        self.over(self.hu, stomach - 4.5, 16.0 + 16.0 * self.patches)
        self.over(self.hu, np.minimum(stomach - 4.5, generator.uniform(-58.0, -44.0) - y), AIR)
        for side, drop in ((-1.0, -34.0), (1.0, -22.0)):
            centre = (side * 66.0, 46.0, drop + generator.normal(0, 6))
            kidney = (
                ellipsoid_depth(x, y, z - 0.1 * side * (x - centre[0]), centre, (27.0, 29.0, 56.0))
                + 0.8 * self.patches
            )
            sinus = (
                ellipsoid_depth(
                    x, y, z, (centre[0] - side * 9.0, centre[1] - 5.0, centre[2]), (17.0, 11.0, 34.0)
                )
                + 2.0 * self.patches
            )
            self.over(self.hu, kidney, self.kidney_hu)
            self.over(self.hu, kidney - 7.0 - 1.5 * self.patches, 0.7 * self.kidney_hu + 10.0)
            self.over(self.hu, sinus, FAT + 10.0)
            self.over(self.hu, sinus - 6.0, 12.0)

    def _liver(self):
        space, generator, x, y, z = self.space, self.generator, self.x, self.y, self.z
        right = ellipsoid_depth(
            x, y, z - 0.22 * (x + 60.0), (-66.0, 0.0, 18.0), (82.0, 84.0, generator.uniform(84.0, 104.0))
        )
        left = ellipsoid_depth(
            x, y - 0.10 * (x - 10.0), z, (8.0, -42.0, 32.0), (82.0, 34.0, generator.uniform(40.0, 58.0))
        )
        lobes = np.maximum(right, left) + 1.5 * self.wide
        hollow = np.maximum(  # for the great vessels, and for the right kidney
            ellipsoid_depth(x, y, z, (-10.0, 32.0, 0.0), (40.0, 30.0, 200.0)),
            ellipsoid_depth(x, y, z, (-66.0, 46.0, -34.0), (31.0, 33.0, 60.0)),
        )
        bladder_at = (
            -44.0 + generator.normal(0, 6),
            -34.0 + generator.normal(0, 5),
            -26.0 + generator.normal(0, 8),
        )
        bladder = ellipsoid_depth(x, y, z, bladder_at, (15.0, 25.0, 27.0))
        lower = z + 52.0 + 0.35 * (x + 60.0) + generator.normal(0, 8)
        self.liver = np.minimum.reduce([lobes, self.cavity - 3.0, -hollow, -bladder, lower])
        patchy = generator.choice([0.0, 1.0], p=[0.6, 0.4])
        change = patchy * generator.uniform(2.0, 5.0)  # fatty change and sparing
        self.over(self.hu, self.liver, self.liver_hu + 2.5 * self.grain + change * self.wide)
        self.over(self.hu, np.minimum(bladder, self.cavity - 3.0), 45.0)
        self.over(self.hu, np.minimum(bladder, self.cavity - 3.0) - 2.5, 10.0)
        ligament = np.minimum(2.2 - np.abs(x + 6.0 + 0.12 * y), -12.0 - y)
        self.over(self.hu, np.minimum(ligament, self.liver + 2.0), FAT + 40.0)
        points = self.liver_points(260, 3.0)
        self.vessels = np.zeros(space.shape, np.float32)
        for root, part in (
            (np.array([8.0, 4.0, -30.0]), points[::2]),
            (np.array([66.0, 22.0, -16.0]), points[1::2]),
        ):  # portal and hepatic veins
            if len(part) > 5:
                start, end, radius = grow_tree(root, part, leaf_mm=0.75, power=2.4)
                self.vessels = np.maximum(self.vessels, draw_tubes(space, start, end, radius, self.slab_mm))
        paint(self.hu, 0.9 * self.vessels * self.opaque(self.liver + 4.0), self.vein_hu)
        for centre in self.liver_points(generator.choice(3), 5.0):  # cysts
            radius = generator.uniform(2.5, 5.0)
            self.over(
                self.hu,
                radius
                - np.sqrt(
                    (space.z - centre[0]) ** 2 + (space.y - centre[1]) ** 2 + (space.x - centre[2]) ** 2
                ),
                6.0,
            )

    def _lung_bases(self):
        x, y, z = self.x, self.y, self.z
        for centre, top in ((-66.0, 104.0), (70.0, 92.0)):
            dome = top - 62.0 * (((x - centre) / 74.0) ** 2 + ((y - 2.0) / 84.0) ** 2)
            behind = ellipse_depth(x, y, (3.0, _SPINE_Y_MM), (26.0, 26.0))
            lung = np.minimum.reduce([z - dome, self.cavity - 2.0, np.sign(centre) * x - 14.0, -behind])
            self.over(self.hu, lung, -845.0 + 12.0 * self.grain + 12.0 * self.patches)
            self.liver = np.minimum(self.liver, -lung)

    def liver_points(self, count: int, least_depth: float, z_range_mm=(-1000.0, 1000.0)) -> np.ndarray:
        """Return up to `count` random voxels (z, y, x) of the liver in mm.

        Args:
            count: largest number of points.
            least_depth: smallest depth below the capsule, in mm.
            z_range_mm: range of heights.
        """
        space = self.space
        heights = (space.z_mm >= z_range_mm[0]) & (space.z_mm <= z_range_mm[1])
        voxels = np.argwhere((self.liver > least_depth) & heights[:, None, None])
        chosen = voxels[self.generator.permutation(len(voxels))[:count]]
        centre = np.stack(
            [space.z_mm[chosen[:, 0]], space.in_plane_mm[chosen[:, 1]], space.in_plane_mm[chosen[:, 2]]],
            axis=1,
        )
        return centre + self.generator.uniform(-0.5, 0.5, centre.shape) * (
            space.z_mm[1] - space.z_mm[0],
            space.pixel_mm,
            space.pixel_mm,
        )
