"""Assemble cases into volumes: decide which files make one volume, and read it with all checks across
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
from clamnet_tf.errors import DataError, UnfitImages
from clamnet_tf.imaging.volume import Volume
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.mask_orientation import read_mask_of


@dataclass(frozen=True)
class Group:
    """Indices of the cases that may form one volume, in the order of their slices."""

    cases: tuple[int, ...]


def group_cases(manifest: Manifest) -> list[Group]:
    """Group the cases that may form one volume.

    Cases of one patient and series belong together; without a series but with positions, all cases of a
    patient; otherwise each file is a group. Within a group, cases are ordered by position when every case has
    one, else by the natural order of file names; then by slice_index. Groups come in the order of their first
    case.
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
    """Return the group of the cases at `indices`, ordered by position, or by name where positions do not
    decide.
    """
    positions = {cases[index].position for index in indices}
    positioned = None not in positions

    def order(index):
        case = cases[index]
        if positioned and len(positions) == len(indices):
            return case.position  # No two are alike, so names, which take long, add nothing.
        name = [natural_key(part) for part in case.image.parts]
        return (
            case.position if positioned else 0.0,
            name,
            -1 if case.slice_index is None else case.slice_index,
        )

    return Group(tuple(sorted(indices, key=order)))


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

    Args:
        manifest: the cases.
        group: indices of the cases of one group.
        channels: indices of the channels to take; None: all.
        dicom_backend: which library reads DICOM.
        with_organ: whether the organ masks of the manifest are read too.
        expected: what the images must be like.

    Raises:
        DataError: sizes or channel counts differ inside the volume, a file lacks a slice or a channel that is
            asked for, or an image is not what `expected` says.
        ImageError: a file cannot be read.
    """
    sequences = manifest.cases[group.cases[0]].sequences
    if sequences is not None:
        from clamnet_tf.preprocessing.sequence_channels import stack_sequences  # loads pydicom

        of_reference = _assemble(
            manifest, group, None, dicom_backend, with_organ, replace(expected, channels=1)
        )
        volumes = [stack_sequences(volume, sequences, expected, dicom_backend) for volume in of_reference]
        path = manifest.cases[group.cases[0]].image
        volumes = [replace(volume, array=choose_channels(path, volume.array, channels)) for volume in volumes]
    else:
        volumes = _assemble(manifest, group, channels, dicom_backend, with_organ, expected)
    return [_checked(manifest, volume, expected) for volume in volumes]


def _assemble(manifest: Manifest, group: Group, channels, dicom_backend, with_organ, expected):
    """Return the volumes of a group whose files hold all channels, or those of the reference sequence."""
    volumes, single = [], []
    by_file: dict[Path, list[int]] = {}
    for index in group.cases:
        by_file.setdefault(manifest.cases[index].image, []).append(index)
    for path, indices in by_file.items():
        volume, notes = read_expected(path, expected, dicom_backend=dicom_backend)
        array = choose_channels(path, volume.array, channels)
        organ, mask_notes = _organ(manifest.cases[indices[0]], volume) if with_organ else (None, ())
        notes += mask_notes
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
    return volumes


def _checked(manifest: Manifest, volume: AssembledVolume, expected: ExpectedImages) -> AssembledVolume:
    path = manifest.cases[volume.wanted[0][1]].image
    notes = check_hounsfield(path, volume.array, expected, all(grid.eight_bits for grid in volume.grids))
    return replace(volume, notes=(*volume.notes, *notes)) if notes else volume


def slice_hash(image: np.ndarray) -> str:
    """Return the sha256 of shape and values of one slice (H, W, C).

    It is '' when every channel is constant: a blank slice is no evidence of leakage.
    """
    if all(channel.min() == channel.max() for channel in np.moveaxis(image, -1, 0)):
        return ""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image, dtype="<f4").data)
    return digest.hexdigest()


def choose_channels(path: Path, array: np.ndarray, channels) -> np.ndarray:
    """Return the chosen channels of an image (slices, rows, columns, channels); None: all of them.

    Raises:
        UnfitImages: the image lacks one of them.
    """
    if channels is None:
        return array
    count = array.shape[-1]
    if max(channels) >= count:
        raise UnfitImages(
            f"{path}: data.channels asks for channel {max(channels)}, the image has {count} "
            f"(0..{count - 1}); change data.channels."
        )
    return np.ascontiguousarray(array[..., list(channels)])


def _organ(case: Case, volume: Volume) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (bool (slices, rows, columns), notes on how the mask was read)."""
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
    """Return the requested slices of one file, see AssembledVolume; DataError for a slice that it lacks."""
    count, wanted = len(volume.array), []
    for index in indices:
        slice_index = manifest.cases[index].slice_index
        indices_of_file = range(count) if slice_index is None else [volume_slice(path, volume, slice_index)]
        wanted += [
            (number, index, number, number / (count - 1) if count > 1 else 0.5) for number in indices_of_file
        ]
    return tuple(sorted(wanted))
