"""Find the position of DICOM slices in the patient: their order, gaps and affine; refuse what is ambiguous.

Slices are ordered by the position of their first pixel projected on the normal of ImageOrientationPatient,
never by file name, and by InstanceNumber only where no slice has a position (DICOM PS3.3 C.7.6.2.1.1).
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from clamnet_tf.errors import ImageError
from clamnet_tf.imaging.dicom_header import Frame

_ANGLE = 2e-3  # largest difference of direction cosines inside one series
_GAP = 0.05  # share of the usual gap by which a gap may differ ...
_ROUNDING_MM = 0.11  # ... at least this much, because some scanners write positions with one decimal ...
_GAP_LIMIT = 0.25  # ... but never more than this share of the usual gap
_TILT_DEGREES = 0.2


@dataclass(frozen=True)
class Arrangement:
    """How frames form a stack, which is the volume before it is turned to axial slices.

    Attributes:
        order: `order[s]` is the frame that becomes slice s.
        spacing_mm, affine: of the stack, as in `volume.Volume`.
        notes: facts that the user should know, such as a tilted gantry.
        directions: 4x4 like affine, with correct directions and any lengths, also where pixel spacing is not
            known; None without positions.
    """

    order: tuple[int, ...]
    spacing_mm: tuple[float, float, float] | None
    affine: np.ndarray | None
    notes: tuple[str, ...] = ()
    directions: np.ndarray | None = None


def arrange(frames: list[Frame], where) -> Arrangement:
    """Sort the frames of one series and compute its grid.

    Args:
        frames: the frames.
        where: folder or file, named in messages.

    Raises:
        ImageError: sizes, orientations, pixel spacings or frames of reference differ; some slices have no
            position; two slices share a position; slices are missing, unevenly spaced or not on one line. The
            message names the files.
    """
    _same(frames, where, "size (rows x columns)", [f"{f.rows} x {f.columns}" for f in frames])
    _same(frames, where, "samples per pixel", [str(f.samples) for f in frames])
    if len(frames) > 1:
        _same(frames, where, "FrameOfReferenceUID", [str(f.frame_of_reference) for f in frames])
    placed = [f.position is not None and f.orientation is not None for f in frames]
    if not any(placed):
        return _without_positions(frames, where)
    if not all(placed):
        lacking = [f.name for f, there in zip(frames, placed) if not there]
        raise ImageError(
            f"{where}: {len(lacking)} of {len(frames)} slices have no ImagePositionPatient or "
            f"ImageOrientationPatient: {names(lacking)}. "
            "They may be localizers or reports: move them to another folder."
        )
    right, down = _directions(frames, where)
    return _with_positions(frames, where, right, down)


def names(items: list[str], limit: int = 5) -> str:
    """Return 'a, b, c and 7 more'."""
    rest = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {rest} more" if rest > 0 else "")


def _same(frames, where, what, values):
    """Raise ImageError when `values`, one per frame, differ; `what` names the property."""
    counts = Counter(values).most_common()
    if len(counts) == 1:
        return
    usual = counts[0][0]
    parts = []
    for value, _ in counts[1:4]:
        parts.append(f"{value} in {names([f.name for f, v in zip(frames, values) if v == value])}")
    raise ImageError(
        f"{where}: slices differ in {what}: {usual} in {counts[0][1]} of {len(frames)}, but "
        f"{'; '.join(parts)}. "
        "One volume needs one grid: move the odd ones to another folder."
    )


def _directions(frames, where):
    """Return the unit vectors along a row (right) and along a column (down), which all frames must share."""
    cosines = np.stack([f.orientation for f in frames])
    lengths = np.linalg.norm(cosines.reshape(-1, 2, 3), axis=2)
    skew = np.abs((cosines[:, :3] * cosines[:, 3:]).sum(1))
    bad = np.flatnonzero((np.abs(lengths - 1).max(1) > 0.01) | (skew > 0.01))
    if bad.size:
        raise ImageError(
            f"{where}: ImageOrientationPatient of {frames[bad[0]].name} is "
            f"{np.round(cosines[bad[0]], 4).tolist()}, "
            "which is not two perpendicular directions of length 1. Export the series again."
        )
    groups: list[list[int]] = []  # indices of the frames of each orientation
    for index, cosine in enumerate(cosines):
        for group in groups:
            if np.abs(cosines[group[0]] - cosine).max() <= _ANGLE:
                group.append(index)
                break
        else:
            groups.append([index])
    if len(groups) > 1:
        groups.sort(key=len, reverse=True)
        parts = [
            f"{np.round(cosines[g[0]], 3).tolist()} in {names([frames[n].name for n in g], 3)}"
            for g in groups[:4]
        ]
        raise ImageError(
            f"{where}: slices of {len(groups)} orientations in one series (a localizer, or slices turned "
            f"around an axis): "
            f"{'; '.join(parts)}. One volume needs one orientation: move the others to another folder, or "
            f"read them file by file."
        )
    _same(
        frames,
        where,
        "PixelSpacing",
        [str(f.pixel_spacing and tuple(round(s, 3) for s in f.pixel_spacing)) for f in frames],
    )
    right = cosines[0, :3] / np.linalg.norm(cosines[0, :3])
    down = cosines[0, 3:] - right * (right @ cosines[0, 3:])
    return right, down / np.linalg.norm(down)


def _with_positions(frames, where, right, down):
    normal = np.cross(right, down)
    positions = np.stack([f.position for f in frames])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    spacing = frames[0].pixel_spacing
    if len(frames) == 1:
        between = frames[0].thickness or 1.0
        step = normal * between
        notes: tuple[str, ...] = ()
    else:
        ordered = [frames[n] for n in order]
        between = _check_gaps(ordered, along[order], where)
        step = (positions[order[-1]] - positions[order[0]]) / (len(frames) - 1)
        _check_line(ordered, positions[order], step, where)
        notes = _tilt_notes(frames, normal, step)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = (
        step,
        down * (spacing or (1, 1))[0],
        right * (spacing or (1, 1))[1],
    )
    affine[:3, 3] = positions[order[0]]
    sequence = tuple(int(n) for n in order)
    if spacing is None:
        return Arrangement(sequence, None, None, notes, affine)
    return Arrangement(sequence, (float(between), *spacing), affine, notes, affine)


def _check_gaps(ordered, along, where) -> float:
    """Return the distance between neighbouring slice planes in mm; raise ImageError when it varies."""
    gaps = np.diff(along)
    double = np.flatnonzero(gaps < 1e-3)
    if double.size:
        pairs = [f"{ordered[n].name} and {ordered[n + 1].name} (at {along[n]:.2f} mm)" for n in double]
        raise ImageError(
            f"{where}: slices lie at the same position: {names(pairs, 3)}. Copies of a file, or several time "
            "points, echoes or diffusion weights in one series: keep one image per position."
        )
    usual = float(np.median(gaps)) if len(gaps) > 2 else float(gaps.min())
    allowed = min(max(_GAP * usual, _ROUNDING_MM), _GAP_LIMIT * usual)
    odd = np.flatnonzero(np.abs(gaps - usual) > allowed)
    if odd.size == 0:
        return float((along[-1] - along[0]) / len(gaps))
    parts = []
    for n in odd[:3]:
        missing = round(gaps[n] / usual) - 1
        exactly_missing = missing >= 1 and abs(gaps[n] - (missing + 1) * usual) <= allowed
        why = f": {missing} missing" if exactly_missing else ""
        parts.append(f"{gaps[n]:.2f} mm between {ordered[n].name} and {ordered[n + 1].name}{why}")
    more = f" and {odd.size - 3} more" if odd.size > 3 else ""
    raise ImageError(
        f"{where}: gaps between slices are irregular: usually {usual:.2f} mm, but {'; '.join(parts)}{more}. "
        "Fetch the missing slices, or put each evenly spaced part into its own folder."
    )


def _check_line(ordered, positions, step, where):
    """Raise ImageError unless first pixels lie on one line; a jump inside the plane would shift slices."""
    away = positions - positions[0]
    direction = step / np.linalg.norm(step)
    off = np.linalg.norm(away - np.outer(away @ direction, direction), axis=1)
    allowed = max(0.25 * min(ordered[0].pixel_spacing or (1.0,)), _ROUNDING_MM)
    if off.max() > allowed:
        worst = ordered[int(off.argmax())]
        raise ImageError(
            f"{where}: slices are shifted against one another: {worst.name} is {off.max():.2f} mm off the "
            f"line through the first and "
            "last slice. The series was put together from several scans: separate them."
        )


def _tilt_notes(frames, normal, step) -> tuple[str, ...]:
    """Return a note on a tilted gantry, which moves slices inside their own plane and shears the affine."""
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    stated = frames[0].gantry_tilt or 0.0
    if tilt > _TILT_DEGREES:
        return (
            f"tilted gantry: slices are sheared by {tilt:.1f} degrees against their normal (header: "
            f"{stated:g}); the affine says so",
        )
    if abs(stated) > _TILT_DEGREES:
        return (
            f"GantryDetectorTilt is {stated:g} degrees, but the positions show no shear: probably corrected "
            f"by the scanner",
        )
    return ()


def _without_positions(frames, where):
    """Arrange slices without positions in the file's order, or by InstanceNumber across files."""
    spacing = frames[0].pixel_spacing
    thickness = frames[0].thickness if len(frames) > 1 else frames[0].thickness or 1.0
    full = (thickness, *spacing) if spacing and thickness else None
    if len({f.path for f in frames}) == 1:
        note = () if len(frames) == 1 else ("frames have no position: kept in the order of the file",)
        return Arrangement(tuple(range(len(frames))), full, None, note)
    if any(f.instance_number is None for f in frames):
        lacking = names([f.name for f in frames if f.instance_number is None])
        raise ImageError(
            f"{where}: slices have neither a position nor an InstanceNumber ({lacking}); read them file by "
            f"file."
        )
    keys = [(f.instance_number, f.index) for f in frames]
    double = (
        [f.name for f, key in zip(frames, keys) if keys.count(key) > 1] if len(set(keys)) < len(keys) else []
    )
    if double:
        raise ImageError(
            f"{where}: slices have no position, and one InstanceNumber in several: {names(double)}; read "
            f"them file by file."
        )
    order = sorted(range(len(frames)), key=keys.__getitem__)
    return Arrangement(tuple(order), full, None, ("slices have no position: ordered by InstanceNumber",))
