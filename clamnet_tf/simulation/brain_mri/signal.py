"""Compute the MR signal of one thin slice of a lesion-free simulated head, painted tissue over tissue."""

import numpy as np

from clamnet_tf.simulation.brain_mri.fields import SliceGrid, smooth_step
from clamnet_tf.simulation.brain_mri.head import VESSEL, Person, Points

POST = 2


def paint(canvas: np.ndarray, alpha: np.ndarray, signal) -> None:
    """Blend `signal` (3,) or (P, 3) into canvas (P, 3) with opacity alpha (P,) in 0..1, in place."""
    canvas += alpha[:, None] * (signal - canvas)


def ball(template, centre, radii, width=0.3) -> np.ndarray:
    """Return the opacity of an ellipsoid in template space; x is mirrored, so one call draws both sides."""
    x, y, z = template
    squared = (
        ((abs(x) - centre[0]) / radii[0]) ** 2
        + ((y - centre[1]) / radii[1]) ** 2
        + ((z - centre[2]) / radii[2]) ** 2
    )
    return smooth_step(1.0 - np.sqrt(squared), width)


def normal_signal(person: Person, points: Points, grid: SliceGrid, z_mm: float) -> np.ndarray:
    """Return the (P, 3) signal of the points of one thin slice, before coil shading and noise."""
    fields = {
        name: getattr(person, name).on(grid, z_mm)[points.inside]
        for name in ("grain", "patches", "thickness")
    }
    canvas = np.zeros((len(points.depth), 3), np.float32)
    _paint_outer_head(canvas, person, points, fields)
    _paint_brain(canvas, person, points, fields, z_mm)
    return canvas


def enhance_vessels(canvas, person: Person, points: Points, patches) -> None:
    """Add contrast agent to the vessels of normal heads (channel 2), in place."""
    x, y, z = points.template
    depth, strength = points.depth, person.enhancement
    sagittal = (
        smooth_step(2.8 - abs(x))
        * smooth_step(depth + 1.5)
        * smooth_step(4.5 - depth)
        * ((y < 40) & (z > -12) & ((z > 25) | (y < -50)))
    )
    transverse = (
        smooth_step(depth + 1.0)
        * smooth_step(4.0 - depth)
        * smooth_step(5.0 - abs(z + 22.0), 3.0)
        * (y < -45)
        * (abs(x) < 55)
    )
    cortical = points.fluid * smooth_step(patches - 1.0, 0.5) * smooth_step(16.0 - depth, 4.0)
    insular = (
        points.fluid
        * smooth_step(patches - 0.7, 0.6)
        * (abs(x) > 26)
        * (abs(x) < 48)
        * (abs(y) < 22)
        * (z > -22)
        * (z < 16)
    )
    basal = (
        points.fluid
        * smooth_step(patches - 0.6, 0.6)
        * (abs(x) < 20)
        * (y > -30)
        * (y < 18)
        * (z > -34)
        * (z < -10)
    )
    choroid = (
        points.fluid
        * smooth_step(3.0 - points.ventricle, 2.0)
        * smooth_step(patches - 0.2, 0.6)
        * ((y < -18) | (abs(x) < 7))
    )
    falx = smooth_step(1.2 - abs(x)) * points.fluid * 0.35
    pituitary = ball((x, y, z), (0.0, 4.0, -33.0), (6.0, 5.0, 4.0))
    dura = smooth_step(0.8 - abs(depth + 0.4)) * 0.35
    parts = (sagittal, transverse, cortical, insular, basal, choroid, falx, pituitary, dura)
    alpha = np.clip(strength * np.max([np.asarray(part, np.float32) for part in parts], axis=0), 0.0, 1.0)
    canvas[:, POST] += alpha * (VESSEL * 0.85 - canvas[:, POST]).clip(0.0)


def _paint_outer_head(canvas, person, points, fields):
    signal = person.signal
    x, y, z = points.template
    depth, surface = points.depth, points.surface
    scalp = person.scalp_mm + 1.6 * fields["thickness"]
    paint(canvas, smooth_step(surface, 1.5), signal["skin"])
    paint(canvas, smooth_step(surface - 1.6, 1.2), signal["fat"] * (1.0 + 0.08 * fields["grain"][:, None]))
    deep = smooth_step(surface - scalp, 1.5)
    paint(canvas, deep, signal["muscle"] * (1.0 + 0.10 * fields["grain"][:, None]))
    below = smooth_step(-8.0 - depth, 4.0)
    paint(
        canvas,
        deep * below * smooth_step(fields["patches"] + 0.4 * fields["grain"] - 0.55, 0.4),
        signal["fat"] * 0.8,
    )
    paint(
        canvas,
        deep * below * smooth_step(0.4 * fields["grain"] - fields["patches"] - 0.75, 0.4),
        signal["bone"],
    )
    mastoid = deep * np.maximum(
        ball((x, y, z), (50.0, -32.0, -40.0), (15.0, 24.0, 20.0)),
        ball((x, y, z), (28.0, -8.0, -36.0), (18.0, 14.0, 9.0)),
    )
    paint(canvas, mastoid * smooth_step(fields["grain"] + 1.0, 0.8), signal["bone"])
    _paint_face(canvas, signal, points.template, deep, fields)
    skull = smooth_step(depth + person.bone_mm + fields["thickness"], 1.2) * smooth_step(surface - 3.0, 1.5)
    paint(canvas, skull, signal["bone"])
    middle = abs(depth + 0.5 * person.bone_mm)
    marrow = smooth_step(0.2 * person.bone_mm + 0.35 * fields["thickness"] - middle, 1.2) * skull
    paint(canvas, 0.8 * marrow, signal["marrow"])


def _paint_face(canvas, signal, template, deep, fields):
    x, y, z = template
    cavity = np.maximum(
        ball(template, (0.0, 52.0, -48.0), (15.0, 34.0, 26.0)),
        ball(template, (0.0, 18.0, -40.0), (13.0, 13.0, 12.0)),
    )
    maxillary = ball(template, (27.0, 46.0, -62.0), (14.0, 18.0, 16.0))
    frontal = ball(template, (8.0, 76.0, -8.0), (13.0, 4.5, 12.0), 0.5)
    for air in (cavity, maxillary, frontal):
        paint(canvas, deep * air, signal["mucosa"])
        paint(
            canvas, deep * smooth_step(air - 0.75, 0.5) * smooth_step(fields["grain"] + 1.1, 0.6), np.zeros(3)
        )
    paint(canvas, deep * smooth_step(1.2 - abs(x)) * cavity, signal["mucosa"] * 0.7)
    orbit = ball(template, (31.0, 50.0, -37.0), (18.0, 26.0, 17.0), 0.15)
    paint(canvas, orbit, signal["fat"] * 0.9)
    for side_x in (24.0, 41.0):
        paint(
            canvas,
            orbit * ball(template, (side_x - 4.0, 44.0, -37.0), (2.8, 20.0, 5.0)),
            signal["muscle"] * 1.2,
        )
    along = np.clip((y - 18.0) / 36.0, 0.0, 1.0)
    nerve = np.hypot(abs(x) - (10.0 + 22.0 * along), z - (-28.0 - 9.0 * along))
    paint(canvas, smooth_step(2.4 - nerve) * ((y > 18) & (y < 56)), signal["grey"])
    paint(canvas, ball(template, (32.0, 63.0, -37.0), (13.0, 12.5, 13.0), 0.12), signal["grey"] * 0.9)
    paint(canvas, ball(template, (32.0, 63.0, -37.0), (11.6, 11.2, 11.6), 0.12), signal["vitreous"])
    paint(canvas, ball(template, (32.0, 72.0, -37.0), (4.5, 2.2, 4.5)), signal["grey"] * 0.8)


def _paint_brain(canvas, person, points, fields, z_mm):
    signal = person.signal
    mixture = sum(getattr(points, tissue)[:, None] * signal[tissue] for tissue in ("grey", "white", "fluid"))
    flow = smooth_step(fields["patches"] - 1.3, 0.6) * (points.fluid > 0.5) * (points.template[2] < 5)
    mixture[:, 1] += 0.35 * flow * points.fluid
    tissue = 1.0 - points.fluid
    rim = person.rim_strength * smooth_step(
        person.rim_mm * (1.0 + 0.5 * fields["patches"]) + 1.0 - points.ventricle, 3.0
    )
    paint(mixture, rim * points.white * smooth_step(points.ventricle - 0.5), signal["gliosis"])
    z, y, x = points.scanner
    for (cz, cy, cx), radius, strength in person.spots:
        if abs(z_mm - cz) < 1.5 * radius:
            distance = np.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / radius + 0.3 * fields["grain"]
            paint(mixture, strength * smooth_step(1.0 - distance, 0.5) * tissue, signal["gliosis"])
    for (cz, cy, cx), radius in person.cysts:
        if abs(z_mm - cz) < radius:
            distance = (
                np.sqrt(((x - cx) / 1.3) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / radius
                + 0.15 * fields["grain"]
            )
            paint(mixture, smooth_step(1.0 - distance, 0.25), signal["fluid"])
    mixture *= 1.0 + 0.02 * fields["grain"][:, None]
    paint(canvas, smooth_step(points.depth + 0.6, 1.2), mixture)
