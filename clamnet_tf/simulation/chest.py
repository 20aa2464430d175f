"""Simulate a chest without disease: wall, mediastinum with heart, diaphragm, lungs with vessels and airways.

Structures that mimic an opacity in healthy lungs are drawn here, for every person and at every height:
vessels, partially cut domes of the diaphragm, denser lung near the back of a lying person, scars.
"""

import numpy as np

from clamnet_tf.simulation.space import Space, ellipse_depth, ellipsoid_depth, paint, smooth_step
from clamnet_tf.simulation.torso import AIR, FAT, SOFT, Torso
from clamnet_tf.simulation.trees import draw_tubes, grow_tree

LUNG_RANGE_MM = (-88.0, 98.0)  # heights that a scan covers, before the person's shape is applied
_SPINE_Y_MM = 66.0
_HILUM_MM = (10.0, 14.0, 36.0)  # z, y, |x|


class Chest(Torso):
    """One person.

    Attributes:
        hu: (S, H, W) tissue in Hounsfield units.
        lung: (S, H, W) depth below the pleura in mm, positive inside.
        vessels, airways: (S, H, W) opacity 0..1.
    """

    def __init__(self, generator: np.random.Generator, space: Space, slab_mm: float):
        super().__init__(generator, space, half_width_mm=166.0, half_depth_mm=112.0)
        self.slab_mm = slab_mm
        self.contrast = generator.choice([0.0, 1.0], p=[0.6, 0.4]) * generator.uniform(60.0, 220.0)
        self._shape()
        self.hu = self.outside()
        self._wall()
        self._mediastinum()
        self._below_the_diaphragm()
        self._lungs()
        self._trees()

    def _shape(self):
        generator, x, y, z = self.generator, self.x, self.y, self.z
        narrow = np.sqrt(np.clip(1.0 - (np.clip(z + 10.0, 0.0, None) / 138.0) ** 2, 0.05, 1.0)) ** 1.1
        self.cavity = ellipse_depth(x, y, (0.0, 2.0), (132.0 * narrow, 91.0 * narrow**0.8), 2.4)
        column = ellipse_depth(x, y, (0.0, -8.0 + 0.1 * z), (generator.uniform(24.0, 31.0), 78.0), 2.0)
        behind = ellipse_depth(x, y, (3.0, _SPINE_Y_MM - 3.0), (27.0, 30.0))
        self.heart_centre = (
            24.0 + generator.normal(0, 4),
            -24.0 + generator.normal(0, 3),
            -42.0 + generator.normal(0, 6),
        )
        heart_size = generator.normal(1.0, 0.07)
        self.heart = ellipsoid_depth(
            x + 0.25 * (y + 24.0),
            y,
            z,
            self.heart_centre,
            tuple(heart_size * radius for radius in (57.0, 47.0, 55.0)),
        )
        hila = np.maximum.reduce(
            [ellipsoid_depth(x, y, z, (side * 34.0, 12.0, 12.0), (13.0, 12.0, 18.0)) for side in (-1.0, 1.0)]
        )
        self.middle = np.maximum.reduce([column, behind, self.heart + 4.0, hila]) + 1.8 * self.patches
        tops = generator.normal((-38.0, -52.0), 6.0)
        self.dome = np.full(x.shape, -1000.0, np.float32)
        for centre, top in zip((-66.0, 66.0), tops):
            bowl = top - generator.uniform(50.0, 70.0) * (
                ((x - centre) / 74.0) ** 2 + ((y - 2.0) / 88.0) ** 2
            )
            self.dome = np.where(np.sign(x) == np.sign(centre), bowl, self.dome)
        below = z - self.dome
        self.lung = np.minimum.reduce([self.cavity - 1.5, -self.middle, below])

    def _wall(self):
        x, y, z = self.x, self.y, self.z
        thick = (
            15.0
            + 7.0 * np.exp(-(((np.abs(x) - 95.0) / 50.0) ** 2))
            + 4.0 * self.wide
            + 16.0 * smooth_step(z - 60.0, 60.0)
        )
        self.over(self.hu, np.minimum(self.body - 0.7 * self.fat_mm, self.cavity + thick), self.muscle())
        between_layers = 3.0 - np.abs(self.cavity + 13.0 + 2.0 * self.patches)
        self.over(self.hu, np.minimum(self.body - 3.0, between_layers), FAT)
        self.ribs(self.hu, self.cavity, 2.0)
        for side in (-1.0, 1.0):  # shoulder blades
            along = ((side * x - 78.0) * 46.0 + (y - 92.0) * -62.0) / (46.0**2 + 62.0**2)
            away = np.abs((side * x - 78.0) * 62.0 + (y - 92.0) * 46.0) / np.hypot(46.0, 62.0)
            plate = np.minimum.reduce(
                [3.4 - away + 0.8 * self.patches, 60.0 * np.minimum(along, 1.0 - along), z - 8.0]
            )
            self.bone(self.hu, plate, 1.6)
        breastbone = ellipse_depth(x, y, (0.0, -98.0), (19.0, 7.5), 3.0)
        self.bone(self.hu, np.minimum.reduce([breastbone, z + 45.0, self.body - 5.0]), 2.0)
        self.spine(self.hu, _SPINE_Y_MM)

    def _mediastinum(self):
        hu, x, y, z = self.hu, self.x, self.y, self.z
        inside = np.minimum(self.cavity, 40.0)
        keep = smooth_step(  # the vertebrae are drawn already
            30.0 - np.maximum(ellipse_depth(x, y, (0.0, _SPINE_Y_MM + 8.0), (22.0, 25.0)), 0.0) * 50.0, 10.0
        )
        paint(hu, self.opaque(inside) * keep, FAT + 15.0 + 35.0 * smooth_step(self.patches, 1.0))
        blood = SOFT + self.contrast
        muscle_of_heart = 48.0 + 0.4 * self.contrast
        self.over(hu, self.heart, muscle_of_heart)
        cx, cy, cz = self.heart_centre
        chambers = (
            ((cx + 14.0, cy + 2.0, cz - 4.0), (22.0, 24.0, 36.0)),
            ((cx - 26.0, cy - 2.0, cz), (20.0, 26.0, 34.0)),
            ((cx - 2.0, cy + 22.0, cz + 22.0), (27.0, 15.0, 18.0)),
        )
        for centre, radii in chambers:
            self.over(hu, ellipsoid_depth(x, y, z, centre, radii) + self.patches, blood)
        upright = lambda px, py, radius, low, high: np.minimum.reduce(
            [radius - np.hypot(x - px, y - py), z - low, high - z]
        )
        self.over(hu, upright(20.0, 42.0, 12.0, -200.0, 52.0), blood)  # descending aorta
        self.over(hu, upright(-14.0, -22.0, 15.0, -25.0, 50.0), blood)  # ascending aorta
        arch = np.hypot(np.hypot(x - 3.0, y - 10.0) - 33.0, z - 52.0)
        self.over(hu, np.minimum(12.0 - arch, 0.7 * (x + 0.55 * (y - 10.0) + 16.0)), blood)
        self.over(hu, upright(-26.0, -6.0, 9.0, -10.0, 90.0), blood * 1.1)  # superior vena cava
        trunk = np.hypot(np.abs(x) * 0.32, np.hypot(y + 4.0 - 0.35 * np.abs(x), z - 16.0))
        self.over(hu, np.minimum(12.0 - trunk, 38.0 - np.abs(x)), blood)  # pulmonary arteries
        for px, py in ((-16.0, -8.0), (14.0, -6.0), (20.0, 12.0), (-22.0, -22.0), (24.0, -24.0)):
            self.over(hu, upright(px, py, 5.0, 60.0, 300.0), blood)
        self.over(hu, upright(4.0, 36.0, 7.0, -300.0, 300.0), 35.0)  # oesophagus

    def _below_the_diaphragm(self):
        hu, x, y, z = self.hu, self.x, self.y, self.z
        depth = np.minimum.reduce(
            [self.dome - z, self.cavity, -ellipse_depth(x, y, (3.0, _SPINE_Y_MM), (24.0, 24.0))]
        )
        self.over(hu, np.minimum(depth, 14.0 - x), 58.0 + 0.3 * self.contrast + 3.0 * self.grain)  # liver
        left = np.minimum(depth, x - 10.0)
        self.over(hu, left, FAT + 8.0 * self.grain)
        spleen = np.minimum(
            left - 2.0, ellipsoid_depth(x, y, z, (84.0, 44.0, -90.0), (36.0, 42.0, 62.0)) + self.patches
        )
        self.over(hu, spleen, 52.0 + 0.4 * self.contrast)
        stomach = np.minimum(
            left - 3.0, ellipsoid_depth(x, y, z, (58.0, -20.0, -92.0), (42.0, 46.0, 52.0)) + self.patches
        )
        self.over(hu, stomach, 45.0)
        self.over(hu, stomach - 5.0, 22.0)
        self.over(hu, np.minimum(stomach - 5.0, -30.0 - y), AIR)

    def _lungs(self):
        generator = self.generator
        density = generator.normal(-858.0, 16.0)
        back = np.clip((self.y + 20.0) / 100.0, 0.0, 1.0)
        lung = density + generator.uniform(25.0, 70.0) * back + 10.0 * self.patches + 9.0 * self.grain
        reach = generator.uniform(3.0, 12.0) * np.clip(1.0 + 0.6 * self.wide, 0.1, 2.5)
        rested = smooth_step(reach - np.minimum(self.cavity, 60.0), 8.0) * smooth_step(self.y - 38.0, 30.0)
        lung += rested * generator.uniform(60.0, 240.0) * (1.0 + 0.3 * self.patches)
        sheet = np.abs(self.space.field(generator, 55.0) - 0.9)
        lung += (
            smooth_step(0.035 - sheet, 0.03)
            * smooth_step(self.wide - 1.0, 0.4)
            * generator.uniform(100.0, 350.0)
        )  # scars
        self.over(self.hu, self.lung, lung)

    def _trees(self):
        space, slab = self.space, self.slab_mm
        self.vessels, self.airways = np.zeros(space.shape, np.float32), np.zeros(space.shape, np.float32)
        for side in (-1.0, 1.0):
            inside = self.lung_points(420, lambda p: (p["depth"] > 4.0) & (p["x"] * side > 0))
            if len(inside) < 10:
                continue
            root = np.array([_HILUM_MM[0], _HILUM_MM[1], side * _HILUM_MM[2]])
            for twist in (0.0, 6.0):  # arteries and veins
                start, end, radius = grow_tree(
                    root + (twist, -twist, 0.0), inside[int(twist > 0) :: 2], leaf_mm=0.75, power=2.5
                )
                self.vessels = np.maximum(self.vessels, draw_tubes(space, start, end, radius, slab))
            start, end, radius = grow_tree(root + (0.0, 3.0, 0.0), inside[::6], leaf_mm=0.55, power=2.2)
            self.airways = np.maximum(self.airways, draw_tubes(space, start, end, radius, slab))
        in_lung = self.opaque(self.lung + 2.0)
        paint(self.hu, 0.95 * self.vessels * in_lung, SOFT + 0.8 * self.contrast)
        carina = np.array([38.0, 10.0, 0.0])
        tubes = [(np.array([200.0, 12.0, 2.0]), carina, 8.5)]
        for side in (-1.0, 1.0):
            fork = np.array([16.0, 14.0, side * 34.0])
            tubes += [
                (carina, fork, 6.0),
                (fork, np.array([-30.0, 30.0, side * 46.0]), 3.6),
                (fork, np.array([50.0, 4.0, side * 52.0]), 3.2),
            ]
        start, end, radius = (np.array(part) for part in zip(*tubes))
        paint(
            self.hu, draw_tubes(space, start, end, radius + 1.8, slab) * self.opaque(-self.lung + 30.0), 25.0
        )
        bronchi = draw_tubes(space, start, end, radius, slab)
        paint(self.hu, bronchi, AIR)
        self.solid = np.maximum(bronchi, 0.9 * self.vessels)

    def lung_points(self, count: int, accept) -> np.ndarray:
        """Return up to `count` random points (z, y, x) of the lungs in mm, moved inside their voxel.

        Args:
            count: largest number of points.
            accept: function of {depth, x, y, z, cavity}, which returns where points are accepted.
        """
        voxels = np.argwhere(self.lung > 0)
        voxels = voxels[self.generator.permutation(len(voxels))[: 40 * count + 2000]]
        at = tuple(voxels.T)
        good = accept(
            {
                "depth": self.lung[at],
                "x": self.x[at],
                "y": self.y[at],
                "z": self.z[at],
                "cavity": self.cavity[at],
            }
        )
        chosen = voxels[good][:count]
        centre = np.stack(
            [
                self.space.z_mm[chosen[:, 0]],
                self.space.in_plane_mm[chosen[:, 1]],
                self.space.in_plane_mm[chosen[:, 2]],
            ],
            axis=1,
        )
        between = self.space.z_mm[1] - self.space.z_mm[0]
        half = np.array([between, self.space.pixel_mm, self.space.pixel_mm]) / 2
        return centre + self.generator.uniform(-1.0, 1.0, centre.shape) * half
