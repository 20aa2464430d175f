"""Simulate a forearm without a fracture in three dimensions, and project it.

Two bones with cortex, spongy ends and marrow lie in soft tissue. Coordinates are millimetres: t along the arm
from the elbow's side to the hand, u across the picture, d along the beam. Attenuation is per millimetre at
about 55 kV: water 0.022, cortical bone 0.09 (after NIST, Hubbell and Seltzer).
"""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.simulation.space import smooth_field, smooth_step

SOFT, FAT, CORTEX, SPONGY, MARROW = 0.0225, 0.0195, 0.088, 0.034, 0.021
_DEPTHS = 26  # samples along the beam through one bone


@dataclass
class Bone:
    """One bone: its axis and shape over t. Arrays (T,) have one value per row of the picture.

    Attributes:
        t: position along the arm in mm.
        centre_u, centre_d: position of the axis in mm.
        outer: radius in mm.
        cortex: thickness of the cortex in mm.
        spongy: share of spongy bone inside, 0..1.
        end_mm: position of the end, with a joint behind (infinity: beyond the picture).
        squash: ratio of the radius across the picture to that along the beam.
    """

    t: np.ndarray
    centre_u: np.ndarray
    centre_d: np.ndarray
    outer: np.ndarray
    cortex: np.ndarray
    spongy: np.ndarray
    end_mm: float
    squash: float

    def depths(self) -> np.ndarray:
        """Return (D,) mm: samples along the beam, relative to the axis."""
        reach = 1.12 * float(self.outer.max())
        return np.linspace(-reach, reach, _DEPTHS, dtype=np.float32)

    def density(
        self, rows: np.ndarray, u: np.ndarray, depth: float, grain: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the attenuation in excess of soft tissue and the share of bone (0..1), both (H, W).

        Args:
            rows: (H, W) position along t as a fractional index into the arrays.
            u: (H, W) mm across the picture.
            depth: mm from the axis along the beam.
            grain: (H, W) fine texture.
        """
        lower = np.clip(rows.astype(int), 0, len(self.t) - 2)
        share = (rows - lower).clip(0.0, 1.0)
        along = lambda values: (values[lower] + share * (values[lower + 1] - values[lower])).astype(
            np.float32
        )
        outer, t = along(self.outer), along(self.t)
        radius = np.hypot(u - along(self.centre_u), depth * self.squash)
        rounded = (
            np.sqrt(np.maximum(outer**2 - np.maximum(outer - (self.end_mm - t), 0.0) ** 2, 0.0))
            if np.isfinite(self.end_mm)
            else outer
        )
        bone = smooth_step(rounded - radius, 0.7) * (t < self.end_mm)
        inside = smooth_step(rounded - along(self.cortex) - radius, 0.9)
        spongy = along(self.spongy)
        filling = MARROW + spongy * (SPONGY - MARROW) * (1.0 + 0.12 * grain)
        return bone * (CORTEX + inside * (filling - CORTEX) - SOFT), bone


class Forearm:
    """One arm in one view, `side` pixels of pixel_mm, with the hand at the higher t.

    Args:
        generator: source of randomness.
        size: properties that both views share: shaft_mm (radius), gap_mm (between the bones), bow_mm (per
            bone), cortex (share of the radius), flesh_mm, overlap (of the bones in the side view, 0..1),
            hand_mm (of the wrist in the picture), squash (of the bones along the beam).
        side: rows and columns of the picture.
        pixel_mm: size of a pixel in mm.
        side_view: whether the bones lie nearly behind one another.
    """

    def __init__(self, generator: np.random.Generator, size, side: int, pixel_mm: float, side_view: bool):
        self.pixel_mm = pixel_mm
        self.t = (np.arange(side) * pixel_mm).astype(np.float32)
        self.u = ((np.arange(side) - (side - 1) / 2) * pixel_mm).astype(np.float32)
        self.length = side * pixel_mm
        self.grain = smooth_field(generator, (self.t, self.u), 1.6)
        self.coarse = smooth_field(generator, (self.t, self.u), 9.0)
        self.shift = generator.normal(0.0, 3.0)
        self.lean = np.tan(np.deg2rad(generator.normal(0.0, 4.0)))
        wrist = self.length - size["hand_mm"]
        self.bones = [self._bone(generator, size, index, wrist, side_view) for index in range(2)]
        self.outline = self._skin(generator, size, wrist, side_view)
        self.hand = self._hand(generator, wrist, side_view)

    def _bone(self, generator, size, index: int, wrist: float, side_view: bool) -> Bone:
        t = self.t
        end = wrist + (0.0, -4.0)[index] if wrist < self.length else np.inf
        to_end = np.maximum((end if np.isfinite(end) else self.length + 60.0) - t, 0.0)
        flare = (1.15, 0.45)[index] * np.exp(-to_end / 14.0) + 0.25 * np.exp(-to_end / 38.0)
        shaft = size["shaft_mm"] * (1.0, 0.86)[index]
        outer = shaft * (1.0 + flare) + smooth_field(generator, (t,), 25.0, 0.25)
        gap = size["gap_mm"] * (0.55 + 0.45 * np.sin(np.clip(t / self.length, 0, 1) * np.pi * 0.8 + 0.4))
        apart = (shaft + gap / 2 + 0.35 * shaft * np.exp(-to_end / 20.0)) * (-1.0, 1.0)[index]
        if side_view:
            apart = apart * size["overlap"]
        bow = size["bow_mm"][index] * np.sin(np.clip((t + 20.0) / (self.length + 40.0), 0, 1) * np.pi)
        centre = apart + bow + self.shift + self.lean * (t - self.length / 2)
        cortex = size["cortex"] * shaft * np.clip(1.0 - 0.85 * np.exp(-to_end / 22.0), 0.16, 1.0)
        spongy = np.clip(np.exp(-(to_end - 10.0) / 16.0), 0.05, 1.0)
        return Bone(
            t,
            centre.astype(np.float32),
            np.zeros_like(t),
            outer.astype(np.float32),
            cortex,
            spongy,
            end,
            size["squash"],
        )

    def _skin(self, generator, size, wrist, side_view):
        """Return the half width of the arm (T,) in mm."""
        muscle = size["flesh_mm"] * (0.35 + 0.65 * smooth_step(wrist - 15.0 - self.t, 120.0))
        half = size["shaft_mm"] * 2.2 + size["gap_mm"] / 2 + muscle
        return (half * (0.86 if side_view else 1.0) + smooth_field(generator, (self.t,), 40.0, 1.0)).astype(
            np.float32
        )

    def _hand(self, generator, wrist, side_view):
        """Return the bones of the wrist beyond the joint: attenuation in excess of soft tissue (H, W)."""
        t, u = self.t[:, None], self.u[None, :] - self.shift - self.lean * (self.t[:, None] - self.length / 2)
        excess = np.zeros((len(self.t), len(self.u)), np.float32)
        width = 9.0 if side_view else 22.0
        for row, count in ((0, 3), (1, 4)):
            for column in range(count):
                middle = (column - (count - 1) / 2) * 2.0 * width / count
                depth = 1.0 - np.hypot(
                    (u - middle - generator.normal(0, 0.8)) / (7.2 - row),
                    (t - wrist - 8.5 - 11.5 * row) / (6.4 - 0.5 * row),
                )
                shape = smooth_step(depth + 0.05 * self.coarse, 0.15)
                excess = (
                    excess
                    + shape * (0.16 + 0.012 * self.grain)
                    + 0.13 * shape * smooth_step(0.14 - depth, 0.15)
                )
        return excess

    def soft_tissue(self) -> np.ndarray:
        """Return the attenuation (H, W) of skin, fat and muscle."""
        u = np.abs(self.u[None, :] - self.shift - self.lean * (self.t[:, None] - self.length / 2))
        half = self.outline[:, None]
        thick = 1.6 * np.sqrt(np.maximum(half**2 - u**2, 0.0))
        muscle = 1.5 * np.sqrt(np.maximum((half - 4.5 - self.coarse) ** 2 * (u < half - 4.5) - u**2, 0.0))
        muscle = muscle * (1.0 + 0.05 * self.coarse)
        return FAT * thick + (SOFT - FAT) * 1.6 * muscle

    def project(self, fractures: list) -> tuple[np.ndarray, np.ndarray]:
        """Return line integrals of the attenuation (H, W), and the nearness of the beam to a fracture (H, W)
        in 0..1.

        Args:
            fractures: per bone a `bone_xray.Fracture` or None.
        """
        total = self.soft_tissue() + self.hand
        near = np.zeros_like(total)
        t, u = np.meshgrid(self.t, self.u, indexing="ij")
        for bone, fracture in zip(self.bones, fractures):
            depths = bone.depths()
            step = float(depths[1] - depths[0])
            for depth in depths:
                if fracture is None:
                    excess, _ = bone.density(t / self.pixel_mm, u, depth, self.grain)
                else:
                    rows, across, opening, close_by = fracture.bend(bone, t, u, depth, self.pixel_mm)
                    excess, is_bone = bone.density(rows, across, depth, self.grain)
                    excess = excess * (1.0 - opening) + 0.004 * is_bone * opening  # blood in the gap
                    near = np.maximum(near, close_by * (is_bone > 0.5))
                total = total + step * excess
        return total, near
