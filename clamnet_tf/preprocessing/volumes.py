"""From cases to volumes: which files make one volume, and reading it with every check that concerns several
files.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.expected_images import ExpectedImages, check_hounsfield, read_expected
from clamnet_tf.datasets.layouts.listing import natural_key
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.slice_numbers import volume_slice
from clamnet_tf.datasets.stacking import Single, stack_files, stored_affine, turn_of
from clamnet_tf.errors import DataError
from clamnet_tf.imaging.orientation import IDENTITY
from clamnet_tf.imaging.volume import Grid, Volume
from clamnet_tf.preprocessing.mask_orientation import read_mask_of


@dataclass(frozen=True)
class Group:
    """Indices of the cases that may form one volume, in the order of their slices."""

    cases: tuple[int, ...]


def group_cases(manifest: Manifest) -> list[Group]:
    """Cases of one patient and series together; without series but with position, one group per patient; else
    one per file.

    Inside a group: by position when every case has one, else by the natural order of file names; then by
    slice_index. Groups come in the order of their first case.
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
    return [_in_order(manifest.cases, indices) for indices in groups.values()]


def _in_order(cases, indices) -> Group:
    """The group of the cases at `indices`, in the order of their positions, or of their names where these do
    not tell.
    """
    places = {cases[index].position for index in indices}
    positioned = None not in places

    def order(index):
        case = cases[index]
        if positioned and len(places) == len(
            indices
        ):  # no two alike: names, which take long, say nothing more
            return case.position
        name = [natural_key(part) for part in case.image.parts]
        return (
            case.position if positioned else 0.0,
            name,
            -1 if case.slice_index is None else case.slice_index,
        )

    return Group(tuple(sorted(indices, key=order)))


@dataclass(frozen=True)
class AssembledVolume:
    """One volume, ready for the organ step.

    array: (S, H, W, C) float32, chosen channels, every slice of the volume; axial where its files have a
    place in the patient
    wanted: per kept slice (index along axis 0, index of its case, slice inside its file, position 0..1 in the
    volume)
    grids: the way back to the files: of the one file of several slices, or of each file of one slice, in
    order
    affines: per grid, 4x4, (slice, row, column, 1) of the stack -> mm, LPS; None = unknown. The stack: slices
        of DICOM as their files hold them, in the order of position; of all other files `array` itself
    axes, flips: how `array` was taken from the stack, see `imaging.orientation.reorient`
    cases: per grid, index of its case
    excluded: bool (S, H, W) like `array`, where no patient is shown (see `imaging.volume.Volume`), None =
    nowhere
    notes: what was accepted or changed to read it, beside the notes of the grids
    """

    array: np.ndarray
    wanted: tuple[tuple[int, int, int, float], ...]
    spacing_mm: tuple[float, float, float] | None
    organ: np.ndarray | None
    grids: tuple[Grid, ...]
    affines: tuple[np.ndarray | None, ...]
    axes: tuple[int, int, int] = IDENTITY[0]
    flips: tuple[bool, bool, bool] = IDENTITY[1]
    cases: tuple[int, ...] = (0,)
    excluded: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def assemble(
    manifest: Manifest,
    group: Group,
    *,
    channels,
    dicom_backend: str,
    with_organ: bool,
    expected: ExpectedImages = ExpectedImages(),
) -> list[AssembledVolume]:
    """Read the files of `group`: single-slice files become one volume, each file of several slices its own.

    DataError for sizes or channel counts that differ inside the volume, a slice the file does not have, a
    channel it does not have, an image that is not what `expected` says; ImageError (from imaging) for a file
    that cannot be read.
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
        wanted = _wanted(path, volume, manifest, indices)
        if len(array) == 1:
            single.append(Single(path, indices[0], array, organ, volume, notes))
        else:
            geometry = (volume.spacing_mm, organ, (volume.grid,), (stored_affine(volume),), *turn_of(volume))
            volumes.append(AssembledVolume(array, wanted, *geometry, (indices[0],), volume.excluded, notes))
    if single:
        stack = stack_files(manifest, single)
        volumes.append(
            AssembledVolume(
                stack.array,
                stack.wanted,
                stack.spacing_mm,
                stack.organ,
                stack.grids,
                stack.affines,
                stack.axes,
                stack.flips,
                stack.cases,
                stack.excluded,
                stack.notes,
            )
        )
    return [_checked(manifest, volume, expected) for volume in volumes]


def _checked(manifest: Manifest, volume: AssembledVolume, expected: ExpectedImages) -> AssembledVolume:
    path = manifest.cases[volume.wanted[0][1]].image
    notes = check_hounsfield(path, volume.array, expected, all(grid.eight_bits for grid in volume.grids))
    return replace(volume, notes=(*volume.notes, *notes)) if notes else volume


def slice_hash(image: np.ndarray) -> str:
    """sha256 of shape and values of one slice (H, W, C); '' when every channel is constant (blank: no
    evidence of leakage).
    """
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
            f"{path}: data.channels asks for channel {max(channels)}, the image has {count} "
            f"(0..{count - 1}); change data.channels."
        )
    return np.ascontiguousarray(array[..., list(channels)])


def _organ(case: Case, volume: Volume) -> tuple[np.ndarray, tuple[str, ...]]:
    """(bool (slices, rows, columns), notes on how the mask was read)."""
    if case.organ is None:
        raise DataError(
            f"{case.image}: organ.method is 'given', but the manifest has no organ mask for this image; "
            f"fill its column 'organ' or use organ.method=foreground."
        )
    mask = read_mask_of(case.organ, case.image, lambda path: volume)
    if mask.values.shape != volume.array.shape[:3]:
        raise DataError(
            f"{case.organ}: organ mask of shape {mask.values.shape}, its image {case.image} has "
            f"{volume.array.shape[:3]} (slices, rows, columns)."
        )
    return mask.values > 0, tuple(f"organ mask: {note}" for note in mask.notes)


def _wanted(path, volume: Volume, manifest, indices):
    """Kept slices of one file, see AssembledVolume; DataError for a slice that it does not have."""
    count, wanted = len(volume.array), []
    for index in indices:
        asked = manifest.cases[index].slice_index
        numbers = range(count) if asked is None else [volume_slice(path, volume, asked)]
        wanted += [(number, index, number, number / (count - 1) if count > 1 else 0.5) for number in numbers]
    return tuple(sorted(wanted))
