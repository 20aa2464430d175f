"""Simulate one person without lesions: geometry of the head and its signal in three MR channels.

The channels are those of the LGG MRI data set: 0 T1 before contrast, 1 FLAIR, 2 T1 after contrast. Signals
are relative: white matter in T1 is 1. Structures that mimic a lesion in healthy heads are drawn here, for
every person and at every height: bright periventricular rims, benign white-matter spots, cysts, enhancing
vessels and mucosa, bright scalp fat, regional brightness.
"""

from dataclasses import dataclass

import numpy as np

from clamnet_tf.simulation.brain_mri.anatomy import Head
from clamnet_tf.simulation.brain_mri.fields import SliceGrid, SplineField, smooth_step

# tissue: T1, FLAIR, T1 after contrast; mean over persons
SIGNALS = {
    "grey": (0.70, 0.74, 0.74),
    "white": (1.00, 0.60, 1.01),
    "fluid": (0.24, 0.13, 0.26),
    "fat": (1.45, 1.25, 1.40),
    "skin": (0.60, 0.55, 0.85),
    "muscle": (0.58, 0.40, 0.72),
    "bone": (0.12, 0.08, 0.13),
    "marrow": (0.95, 0.55, 0.95),
    "mucosa": (0.55, 0.95, 1.35),
    "vitreous": (0.28, 0.12, 0.28),
    "gliosis": (0.78, 1.02, 0.80),
}
VESSEL = 1.75  # T1 after contrast


@dataclass
class Points:
    """Points of one thin slice that lie in the head, as flat arrays, with their values in the average head.

    Attributes:
        inside: (side, side) bool.
        scanner: z, y, x in mm.
        template: x, y, z in mm.
        folded: x, y, z in mm, where the maps of the brain are read.
        depth, surface, ventricle: distances of `anatomy.Head` in mm.
        grey, white, fluid: shares of the tissues, 0..1.
    """

    inside: np.ndarray
    scanner: tuple
    template: tuple
    folded: tuple
    depth: np.ndarray
    surface: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    fluid: np.ndarray
    ventricle: np.ndarray


class Person:
    """Anatomy and signal of one person; everything is drawn from `generator` at construction.

    Attributes:
        push: mass effect, which the lesions set: callable (z, y, x) -> displacement (dz, dy, dx) in mm, or
            None.

    Args:
        generator: source of randomness.
        head: the average head.
        site: 0 or 1, which sets the scanner's contrast.
    """

    def __init__(self, generator: np.random.Generator, head: Head, site: int):
        self.head = head
        self.push = None
        self._draw_geometry(generator)
        self._draw_signals(generator, site)
        self._draw_mimics(generator)

    def _draw_geometry(self, generator):
        angles = np.deg2rad(generator.normal(0.0, (3.0, 3.0, 4.0)).clip(-9, 9))
        scale = generator.normal(0.95, 0.03) * generator.normal(1.0, (0.035, 0.035, 0.035))
        shear = generator.normal(0.0, 0.012, (3, 3)) * (1 - np.eye(3))
        # From scanner to template coordinates, x y z.
        self.matrix = (_rotation(angles) @ (np.diag(1.0 / scale) + shear)).astype(np.float32)
        self.shift_mm = generator.normal(0.0, (2.5, 3.0, 3.0)).astype(np.float32)
        self.coarse = [SplineField(generator, 60.0, 2.6) for _ in range(3)]  # the whole head
        self.fine = [SplineField(generator, 18.0, 1.5) for _ in range(3)]  # folds of the brain

    def _draw_signals(self, generator, site):
        contrast = np.array([(1.0, 1.0, 1.0), (1.0, 0.94, 1.04)][site])
        self.signal = {}
        for tissue, values in SIGNALS.items():
            spread = 0.10 if tissue in ("fat", "skin", "muscle", "marrow", "mucosa") else 0.025
            self.signal[tissue] = np.asarray(values) * contrast * generator.lognormal(0.0, spread, 3)
        self.signal["fat"] *= np.array([1.0, generator.uniform(0.65, 1.35), generator.uniform(0.75, 1.2)])
        if site == 1:
            self.signal["grey"] = self.signal["grey"] * (1.04, 0.97, 1.03)
            self.signal["fluid"] = self.signal["fluid"] * (1.1, 1.5, 1.1)
        self.sharpness = generator.uniform(1.5, 2.4)
        self.atrophy = generator.lognormal(0.0, 0.35)
        self.gap_mm = 0.6 + 0.9 * self.atrophy * generator.uniform(0.5, 1.5)
        self.scalp_mm = generator.uniform(5.0, 8.5)
        self.bone_mm = generator.uniform(5.0, 8.0)
        self.coil = [SplineField(generator, 95.0, 0.07) for _ in range(3)]
        self.region = SplineField(generator, 38.0, 0.15)
        self.flair_region = SplineField(generator, 34.0, 0.05)
        self.grain = SplineField(generator, 7.0, 1.0)
        self.patches = SplineField(generator, 16.0, 1.0)
        self.thickness = SplineField(generator, 30.0, 1.0)

    def _draw_mimics(self, generator):
        self.rim_mm = generator.gamma(3.0, 0.9)
        self.rim_strength = generator.uniform(0.3, 1.0)
        self.enhancement = generator.uniform(0.7, 1.2)
        spots = generator.poisson(generator.choice([2.0, 7.0, 14.0], p=[0.4, 0.35, 0.25]))
        self.spots = [
            (centre, generator.uniform(1.8, 4.5), generator.uniform(0.4, 1.0))
            for centre in self.find(generator, spots, lambda p: (p.white > 0.8) & (p.depth > 9))
        ]
        cysts = generator.binomial(2, 0.3)
        self.cysts = [
            (centre, generator.uniform(5.0, 11.0))
            for centre in self.find(generator, cysts, lambda p: (p.depth > 2) & (p.depth < 10))
        ]

    def find(self, generator, count, accept, z_range_mm=(-48.0, 68.0)):
        """Return up to `count` random points (z, y, x) in mm where accept(Points) holds, by rejection
        sampling.
        """
        low, high = z_range_mm
        candidates = generator.uniform((low, -110.0, -75.0), (high, 80.0, 75.0), (600 * max(count, 1), 3))
        points = self.points_at(candidates)
        good = np.zeros(len(candidates), bool)
        good[points.inside] = accept(points)
        return [tuple(row) for row in candidates[good][:count]]

    def points_at(self, where_mm: np.ndarray) -> Points:
        """Return the Points at (P, 3) positions z, y, x in mm."""
        coarse, fine = ([field.at(where_mm) for field in fields] for fields in (self.coarse, self.fine))
        return self._look_up(tuple(where_mm.T), coarse, fine)

    def points_on(self, grid: SliceGrid, z_mm: float) -> Points:
        """Return the Points of the thin slice at height `z_mm`."""
        y, x = np.meshgrid(grid.y_mm.astype(np.float32), grid.x_mm.astype(np.float32), indexing="ij")
        coarse, fine = ([field.on(grid, z_mm) for field in fields] for fields in (self.coarse, self.fine))
        return self._look_up((np.full_like(x, z_mm), y, x), coarse, fine)

    def _look_up(self, scanner, coarse, fine) -> Points:
        z, y, x = scanner
        template = [
            row[0] * x + row[1] * y + row[2] * z + self.shift_mm[i] + coarse[i]
            for i, row in enumerate(self.matrix)
        ]
        surface = self.head.surface.at(*template)
        inside = surface > -1.5
        scanner = tuple(axis[inside] for axis in scanner)
        template = tuple(axis[inside].astype(np.float32) for axis in template)
        depth = self.head.depth.at(*template)
        folded = [axis + move[inside] for axis, move in zip(template, fine)]
        if self.push is not None:  # displaces the brain, not the skull
            dz, dy, dx = (move * np.clip(depth / 12.0, 0.0, 1.0) for move in self.push(*scanner))
            folded = [
                axis - row[0] * dx - row[1] * dy - row[2] * dz for axis, row in zip(folded, self.matrix)
            ]
        brain = smooth_step(depth - self.gap_mm, 2.0)
        grey, white = self.head.grey.at(*folded), self.head.white.at(*folded)
        fluid = np.where(
            depth > 0,
            (self.atrophy * np.maximum(1.0 - grey - white, 0.0)) ** self.sharpness + 1.0001 - brain,
            0.0,
        )
        grey, white = (brain * np.maximum(tissue, 1e-6) ** self.sharpness for tissue in (grey, white))
        total = grey + white + fluid + 1e-6
        ventricle = self.head.ventricle.at(*folded)
        return Points(
            inside,
            scanner,
            template,
            tuple(folded),
            depth,
            surface[inside],
            grey / total,
            white / total,
            fluid / total,
            ventricle,
        )


def _rotation(angles) -> np.ndarray:
    """Return the 3x3 rotation about x, y, z (radians)."""
    (ca, cb, cc), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x
