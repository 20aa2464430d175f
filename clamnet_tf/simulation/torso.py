"""Parts that chest and abdomen share: a person's coordinates, skin, fat, muscle, ribs, spine, and the table.

Hounsfield units are after ICRU report 44 and everyday CT, for about 120 kV.
"""

import numpy as np

from clamnet_tf.simulation.space import Space, ellipse_depth, paint, smooth_step

AIR, FOAM, FAT, SOFT, MUSCLE, DISC, MARROW, CORTEX = -1000.0, -940.0, -100.0, 40.0, 52.0, 85.0, 190.0, 750.0
_EDGE_MM = 2.0  # width of the transition between two tissues: about a pixel


class Torso:
    """One person on the table, without inner organs.

    Coordinates are those of `space.Space`; the person's own (x, y, z) follow from undoing shape and pose.

    Attributes:
        x, y, z: (S, H, W) mm of the average person.
        body: (S, H, W) depth below the skin in mm.
        size: factors of width and depth.
    """

    def __init__(
        self, generator: np.random.Generator, space: Space, *, half_width_mm: float, half_depth_mm: float
    ):
        self.space, self.generator = space, generator
        self.size = generator.normal(1.0, 0.045, 2).clip(0.9, 1.08)
        turn = np.deg2rad(generator.normal(0.0, 2.5))
        shift = generator.normal(0.0, 4.0, 2)
        x, y = (space.x - shift[0]) / self.size[0], (space.y - shift[1]) / self.size[1]
        bend = [space.field(generator, 75.0, 3.0) for _ in range(3)]
        self.x = (np.cos(turn) * x + np.sin(turn) * y + bend[0]).astype(np.float32)
        self.y = (np.cos(turn) * y - np.sin(turn) * x + bend[1]).astype(np.float32)
        self.z = space.z + bend[2]
        self.fat_mm = generator.uniform(7.0, 24.0)
        self.grain = space.field(generator, 6.0)
        self.patches = space.field(generator, 17.0)
        self.wide = space.field(generator, 45.0)
        self.body = (
            ellipse_depth(self.x, self.y, (0.0, 0.0), (half_width_mm, half_depth_mm), 2.35) + 2.0 * self.wide
        )
        groove = 9.0 * np.exp(-((self.x / 12.0) ** 2)) * (self.y > 0)  # of the back, over the spine
        self.body = self.body - groove

    def outside(self) -> np.ndarray:
        """Return (S, H, W) HU: air, the table, skin and the fat below it, down to the muscles."""
        hu = np.full(self.space.shape, AIR, np.float32)
        self._table(hu)
        self.over(hu, self.body, 20.0)
        self.over(hu, self.body - 2.5, FAT + 6.0 * self.grain + 5.0 * self.patches)
        strands = smooth_step(self.patches + 0.5 * self.grain - 1.5, 0.4)
        paint(hu, 0.35 * strands * self.opaque(self.body - 4.0), SOFT)
        return hu

    def opaque(self, depth: np.ndarray) -> np.ndarray:
        """Return the opacity of a structure that begins at depth 0."""
        return smooth_step(depth, _EDGE_MM)

    def over(self, hu, depth, value) -> None:
        """Paint `value` where `depth` is positive."""
        paint(hu, self.opaque(depth), value)

    def muscle(self) -> np.ndarray:
        """Return the HU of muscle with fat between its fibres."""
        return MUSCLE + 5.0 * self.grain - 60.0 * smooth_step(self.patches + 0.6 * self.grain - 1.3, 0.5)

    def bone(self, hu, depth, cortex_mm: float, marrow=None) -> None:
        """Paint cortex outside and marrow inside."""
        self.over(hu, depth, CORTEX)
        spongy = (MARROW if marrow is None else marrow) + 28.0 * self.grain
        self.over(hu, depth - cortex_mm, spongy)

    def ribs(self, hu, wall, centre_y: float, lowest_mm: float = -1000.0) -> None:
        """Paint pairs of ribs that run down to the front, cut obliquely, above the height `lowest_mm`.

        Args:
            hu: the canvas.
            wall: depth below the inner side of the chest wall in mm (negative: outside).
            centre_y: y in mm at which heights are measured.
            lowest_mm: height in mm below which there are no ribs.
        """
        generator = self.generator
        fall = generator.uniform(0.32, 0.5)
        phase = (self.z + fall * (self.y - centre_y) + generator.uniform(0.0, 24.0)) / 24.0
        height = (phase - np.floor(phase) - 0.5) * 24.0
        level = 1.0 - np.sqrt((height / 6.5) ** 2 + ((wall + 5.5) / 4.2) ** 2)
        near_front = smooth_step(self.y + 62.0, 30.0)  # cartilage in front
        midline = (
            smooth_step(np.abs(self.x) - 26.0, 8.0)
            * smooth_step(self.z - lowest_mm, 10.0)
            * self.opaque(self.body - 3.0)
        )
        opacity = smooth_step(level, 0.35) * midline
        paint(hu, opacity, 90.0 + (CORTEX - 190.0) * near_front)
        paint(hu, smooth_step(level - 0.42, 0.3) * midline * near_front, MARROW + 20.0 * self.grain)

    def spine(self, hu, y_mm: float) -> None:
        """Paint vertebral bodies and discs centred at y = y_mm, canal, arch, processes, and the muscles of
        the back.
        """
        generator, x, y, z = self.generator, self.x, self.y, self.z
        for side in (-1.0, 1.0):
            self.over(
                hu,
                ellipse_depth(x, y, (side * 31.0, y_mm + 29.0), (24.0, 17.0), 2.5) + 1.5 * self.patches,
                self.muscle(),
            )
        step = 26.0
        along = (z + generator.uniform(0.0, step)) / step
        # 0 in the middle of a vertebra, 13 in the middle of a disc.
        along = np.abs(along - np.floor(along) - 0.5) * step
        waist = 1.5 * smooth_step(6.0 - along, 8.0)
        vertebra = ellipse_depth(x, y, (0.0, y_mm), (19.0 - waist, 15.0 - waist), 2.3)
        self.over(hu, vertebra, DISC + 4.0 * self.grain)
        marrow = generator.normal(175.0, 40.0)
        self.bone(hu, np.minimum(vertebra, 10.5 - along), 2.0, marrow)
        canal = ellipse_depth(x, y, (0.0, y_mm + 24.0), (10.0, 8.5))
        arch = np.minimum(ellipse_depth(x, y, (0.0, y_mm + 24.0), (16.0, 14.5)), 9.5 - along)
        self.bone(hu, arch, 2.5)
        process = np.minimum(ellipse_depth(x, y, (0.0, y_mm + 44.0), (4.0, 15.0)), 11.0 - along)
        self.bone(hu, process, 2.2)
        across = np.minimum(
            ellipse_depth(np.abs(x), y - 0.25 * np.abs(x), (24.0, y_mm + 18.0), (15.0, 5.0)), 6.0 - along
        )
        self.bone(hu, across, 2.0)
        self.over(hu, canal, 22.0)
        self.over(hu, ellipse_depth(x, y, (0.0, y_mm + 24.0), (5.5, 4.5)), 42.0)

    def _table(self, hu) -> None:
        space = self.space
        back = 128.0 * self.size[1]
        curve = back - (space.x / 60.0) ** 2 * 2.2
        width = smooth_step(205.0 - np.abs(space.x), 4.0)
        paint(hu, width * smooth_step(space.y - curve, 2.0) * smooth_step(curve + 42.0 - space.y, 2.0), FOAM)
        for offset in (6.0, 38.0):
            paint(hu, width * smooth_step(2.2 - np.abs(space.y - curve - offset), 2.0), -250.0)
