"""From cases to volumes: which files make one volume, and reading it with every check that concerns several files."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clamnet_tf.data.expected_images import ExpectedImages, check_hounsfield, read_expected
from clamnet_tf.data.folders.listing import natural_key
from clamnet_tf.data.manifest import Case, Manifest
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.mask_files import read_mask
from clamnet_tf.imaging.volume import Grid, Volume


@dataclass(frozen=True)
class Group:
    """Indices of the cases that may form one volume, in the order of their slices."""

    cases: tuple[int, ...]


def group_cases(manifest: Manifest) -> list[Group]:
    """Cases of one patient and series together; without series but with position, one group per patient; else one per file.

    Inside a group: by position when every case has one, else by the natural order of file names; then by slice_index.
    Groups come in the order of their first case.
    """
    groups: dict[tuple, list[int]] = {}
    for index, case in enumerate(manifest.cases):
        if case.series is not None:
            key = ("series", case.patient, case.series)
        elif case.position is not None:
            key = ("patient", case.patient)
        else:
            key = ("file", str(case.image))
        groups.setdefault(key, []).append(index)
    result = []
    for indices in groups.values():
        cases = manifest.cases
        places = {cases[index].position for index in indices}
        positioned = None not in places

        def order(index):
            case = cases[index]
            if positioned and len(places) == len(indices):  # no two alike: names, which take long, say nothing more
                return case.position
            name = [natural_key(part) for part in case.image.parts]
            return (case.position if positioned else 0.0, name, -1 if case.slice_index is None else case.slice_index)

        result.append(Group(tuple(sorted(indices, key=order))))
    return result


@dataclass(frozen=True)
class _Single:
    """One file of one slice: array (1, H, W, C) of the chosen channels, organ (1, H, W) or None."""

    path: Path
    case: int
    array: np.ndarray
    organ: np.ndarray | None
    volume: Volume
    notes: tuple[str, ...]


@dataclass(frozen=True)
class AssembledVolume:
    """One volume, ready for the organ step.

    array: (S, H, W, C) float32, chosen channels, every slice of the volume
    wanted: per kept slice (index along axis 0, index of its case, slice inside its file, position 0..1 in the volume)
    grids: the way back to the files: of the one file of several slices, or of each file of one slice, in order
    excluded: bool (S, H, W), where no patient is shown (see `imaging.volume.Volume`), None = nowhere
    notes: what was accepted or changed to read it
    affines: per grid, `imaging.volume.Volume.affine`: 4x4, (slice, row, column, 1) in the file -> mm, LPS; None = unknown
    """

    array: np.ndarray
    wanted: tuple[tuple[int, int, int, float], ...]
    spacing_mm: tuple[float, float, float] | None
    organ: np.ndarray | None
    grids: tuple[Grid, ...]
    affines: tuple[np.ndarray | None, ...]
    excluded: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def assemble(
    manifest: Manifest, group: Group, *, channels, dicom_backend: str, with_organ: bool, expected: ExpectedImages = ExpectedImages()
) -> list[AssembledVolume]:
    """Read the files of `group`: single-slice files become one volume, each file of several slices its own.

    DataError for sizes or channel counts that differ inside the volume, a slice the file does not have, a channel
    it does not have, an image that is not what `expected` says; ImageError (from imaging) for a file that cannot be read.
    """
    volumes, single = [], []
    by_file: dict[Path, list[int]] = {}
    for index in group.cases:
        by_file.setdefault(manifest.cases[index].image, []).append(index)
    for path, indices in by_file.items():
        volume, notes = read_expected(path, expected, dicom_backend=dicom_backend)
        array = _choose(path, volume.array, channels)
        organ, of_mask = _organ(manifest.cases[indices[0]], volume) if with_organ else (None, ())
        notes += of_mask
        if len(array) == 1:
            _check_slices(path, manifest, indices, 1)
            single.append(_Single(path, indices[0], array, organ, volume, notes))
        else:
            wanted = _wanted(path, manifest, indices, len(array))
            volumes.append(
                AssembledVolume(array, wanted, volume.spacing_mm, organ, (volume.grid,), (volume.affine,), volume.excluded, notes)
            )
    if single:
        volumes.append(_join(manifest, single))
    return [_checked(manifest, volume, expected) for volume in volumes]


def _checked(manifest: Manifest, volume: AssembledVolume, expected: ExpectedImages) -> AssembledVolume:
    path = manifest.cases[volume.wanted[0][1]].image
    notes = check_hounsfield(path, volume.array, expected, all(grid.eight_bits for grid in volume.grids))
    return replace(volume, notes=(*volume.notes, *notes)) if notes else volume


def slice_hash(image: np.ndarray) -> str:
    """sha256 of shape and values of one slice (H, W, C); '' when every channel is constant (blank: no evidence of leakage)."""
    if all(channel.min() == channel.max() for channel in np.moveaxis(image, -1, 0)):
        return ""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image, dtype="<f4").data)
    return digest.hexdigest()


def _choose(path, array, channels):
    if channels is None:
        return array
    count = array.shape[-1]
    if max(channels) >= count:
        raise DataError(
            f"{path}: data.channels asks for channel {max(channels)}, the image has {count} (0..{count - 1}); change data.channels."
        )
    return np.ascontiguousarray(array[..., list(channels)])


def _organ(case: Case, image: Volume) -> tuple[np.ndarray, tuple[str, ...]]:
    """(bool (slices, rows, columns), notes on how the mask was read)."""
    if case.organ is None:
        raise DataError(
            f"{case.image}: organ.method is 'given', but the manifest has no organ mask for this image; fill its column 'organ' or use organ.method=foreground."
        )
    mask = read_mask(case.organ, image=image)
    if mask.values.shape != image.array.shape[:3]:
        raise DataError(
            f"{case.organ}: organ mask of shape {mask.values.shape}, its image {case.image} has {image.array.shape[:3]} (slices, rows, columns)."
        )
    return mask.values > 0, tuple(f"organ mask: {note}" for note in mask.notes)


def _check_slices(path, manifest, indices, count):
    for index in indices:
        asked = manifest.cases[index].slice_index
        if asked is not None and asked >= count:
            raise DataError(f"{path}: slice {asked} is asked for, the file has {count} slice(s), numbered from 0.")


def _wanted(path, manifest, indices, count):
    _check_slices(path, manifest, indices, count)
    wanted = []
    for index in indices:
        asked = manifest.cases[index].slice_index
        wanted += [(number, index, number, number / (count - 1)) for number in (range(count) if asked is None else [asked])]
    return tuple(sorted(wanted))


def _join(manifest: Manifest, single: list[_Single]) -> AssembledVolume:
    first = single[0]
    for other in single[1:]:
        for what, axes in (("size", slice(1, 3)), ("channel count", slice(3, 4))):
            if other.array.shape[axes] != first.array.shape[axes]:
                raise DataError(
                    f"slices of one series differ in {what}: {first.path} has {_by(first, axes)}, {other.path} has {_by(other, axes)}; "
                    "give them different 'series' in a manifest.csv, or leave one out."
                )
    places = [manifest.cases[one.case].position for one in single]
    if None in places or places[0] == places[-1]:
        places = list(range(len(single)))
    span = places[-1] - places[0]
    wanted = tuple((number, one.case, 0, (place - places[0]) / span if span else 0.5) for number, (one, place) in enumerate(zip(single, places)))
    organ = None if first.organ is None else np.concatenate([one.organ for one in single])
    grids, affines = tuple(one.volume.grid for one in single), tuple(one.volume.affine for one in single)
    hidden = [one.volume.excluded for one in single]
    excluded = None
    if any(one is not None for one in hidden):
        excluded = np.concatenate([np.zeros(one.array.shape[:3], bool) if part is None else part for one, part in zip(single, hidden)])
    notes = tuple(dict.fromkeys(note for one in single for note in one.notes))
    return AssembledVolume(np.concatenate([one.array for one in single]), wanted, _spacing(single), organ, grids, affines, excluded, notes)


def _by(one: _Single, axes) -> str:
    return " x ".join(str(number) for number in one.array.shape[axes])


def _spacing(single: list[_Single]) -> tuple[float, float, float] | None:
    """Spacing of single-slice files: rows and columns as the files say (None unless all agree), slices by the median
    distance of their affines' origins along the normal when all have one."""
    spacings = {one.volume.spacing_mm for one in single}
    if len({spacing and spacing[1:] for spacing in spacings}) > 1 or None in spacings:
        return None
    affines = [one.volume.affine for one in single]
    between, rows, columns = first = single[0].volume.spacing_mm
    if len(single) > 1 and all(affine is not None for affine in affines):
        normal = np.cross(affines[0][:3, 1], affines[0][:3, 2])
        gaps = np.abs(np.diff([np.dot(affine[:3, 3], normal) for affine in affines])) / np.linalg.norm(normal)
        gaps = gaps[gaps > 0]
        between = float(np.median(gaps)) if len(gaps) else between
    return (between, rows, columns) if len(single) > 1 else first
