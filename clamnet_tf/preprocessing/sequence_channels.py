"""Make one image of several channels of the series or files of a study, on the grid of the reference series.

Every slice of the reference keeps its own place in the patient, so that gaps and tilts stay as they are; the
other sequences are interpolated linearly at the centres of its pixels.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from clamnet_tf.datasets.expected_images import ExpectedImages, read_expected
from clamnet_tf.datasets.sequence_files import SequenceGroup, SequenceImage
from clamnet_tf.errors import ImageError, UnfitImages
from clamnet_tf.imaging.examination import Examination, examination_of
from clamnet_tf.imaging.orientation import reorient, restore
from clamnet_tf.imaging.registration import rigid_transform
from clamnet_tf.imaging.resampling import resample
from clamnet_tf.imaging.volume import Volume
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume

LEAST_OVERLAP = 0.5
"""Share of the reference's voxels that a sequence must cover; less is another part of the body."""
_COMPLETE = 0.99  # from which share on nothing is said
_EVEN = 0.05  # allowed deviation of a step between slices, as a fraction of the usual step


def stack_sequences(
    volume: AssembledVolume, group: SequenceGroup, expected: ExpectedImages, dicom_backend: str
) -> AssembledVolume:
    """Return the reference volume of a study with one channel per sequence.

    Args:
        volume: the reference volume, one channel.
        group: the files of the study.
        expected: what the images must be like.
        dicom_backend: which library reads DICOM.

    Raises:
        UnfitImages: a sequence is missing that nothing can stand in for, has several channels, does not
            overlap the reference, or is of another day or patient.
        ImageError: a file cannot be read, or its position in the patient is not known.
        EnvironmentFailure: a package for registration is not installed.
    """
    reference = group.images[group.reference]
    _require_one_channel(reference, volume.array)
    channels: dict[int, np.ndarray] = {group.reference: volume.array[..., 0]}
    notes = list(group.notes)
    examination = examination_of(reference.files[0])
    for index, image in enumerate(group.images):
        if image.files and index != group.reference:
            notes += _check_examination(reference, examination, image, group.registration)
            read, more = _read(image, expected, dicom_backend)
            channels[index], placed = _on_reference(volume, reference, image, read, group.registration)
            notes += [*more, *placed]
    for index, image in enumerate(group.images):
        if not image.files:
            notes.append(_fill(group, channels, index))
    array = np.stack([channels[index] for index in range(len(group.images))], axis=-1)
    return replace(volume, array=array, notes=tuple(dict.fromkeys((*volume.notes, *notes))))


def _fill(group: SequenceGroup, channels: dict, index: int) -> str:
    """Put the filler in the place of a missing sequence, and return the note on it."""
    name, path = group.images[index].name, group.images[group.reference].files[0]
    filler = None if group.filler is None else group.images[group.filler]
    if group.filler is None or filler is None or not filler.files:
        names = ", ".join(image.name for image in group.images)
        why = (
            "the model was not trained with missing sequences"
            if filler is None
            else f"{filler.name}, which stands in for missing sequences, is not there either"
        )
        raise UnfitImages(
            f"{path}: its study has no {name}; expected {names}, and {why}. Add the series or file, or say "
            f"by data.sequences how {name} is recognised."
        )
    channels[index] = channels[group.filler]
    return f"ATTENTION: {name} is missing, {filler.name} stands in for it"


def _read(image: SequenceImage, expected: ExpectedImages, dicom_backend: str):
    """Return (Volume of one channel, notes)."""
    volume, notes = read_expected(
        image.files[0], replace(expected, channels=1), dicom_backend=dicom_backend, files=image.files
    )
    _require_one_channel(image, volume.array)
    return volume, tuple(f"{image.name}: {note}" for note in (*notes, *volume.grid.notes))


def _require_one_channel(image: SequenceImage, array: np.ndarray) -> None:
    if array.shape[-1] != 1:
        raise UnfitImages(
            f"{image.files[0]}: was taken for the sequence {image.name}, which is one channel; received "
            f"{array.shape[-1]} channels. Give every sequence a file of its own, or all of them as one file "
            "whose name matches none (data.sequences)."
        )


def _check_examination(
    reference: SequenceImage, expected: Examination, image: SequenceImage, registration: str
) -> tuple[str, ...]:
    """Refuse a sequence of another patient or day, and return a note on another frame of reference."""
    received, path = examination_of(image.files[0]), image.files[0]
    if expected.patient and received.patient and expected.patient != received.patient:
        raise UnfitImages(
            f"{path}: {image.name} has another PatientID than {reference.name} ({reference.files[0]}). "
            "Sequences of one image must be of one patient; sort the files by study."
        )
    if expected.date and received.date and expected.date != received.date:
        raise UnfitImages(
            f"{path}: {image.name} is of another day ({received.date}) than {reference.name} "
            f"({expected.date}, {reference.files[0]}). Sequences of one image must be of one examination; "
            "give each examination by itself."
        )
    frames = (expected.frame_of_reference, received.frame_of_reference)
    if registration == "none" and all(frames) and frames[0] != frames[1]:
        return (
            f"ATTENTION: {image.name} and {reference.name} have different frames of reference, so that their "
            "positions may not agree; data.registration: rigid brings them together",
        )
    return ()


def _on_reference(
    volume: AssembledVolume, reference: SequenceImage, image: SequenceImage, read: Volume, registration: str
) -> tuple[np.ndarray, list[str]]:
    """Return a sequence as (slices, rows, columns) of `volume.array`, and notes."""
    path, values = image.files[0], np.ascontiguousarray(read.array[..., 0])
    known = read.affine is not None, all(affine is not None for affine in volume.affines)
    if known == (False, False) and registration == "none":
        if values.shape != volume.array.shape[:3]:
            raise ImageError(
                f"{path}: neither {image.name} nor {reference.name} has a position in the patient, and "
                f"they differ in slices, rows and columns: {values.shape} and {volume.array.shape[:3]}. Give "
                "files with positions, or on one grid."
            )
        return values, [f"{image.name} and {reference.name} have no position and were laid pixel on pixel"]
    if read.affine is None or not known[1]:
        without = image.name if read.affine is None else reference.name
        raise ImageError(
            f"{path}: {without} has no position in the patient, so that {image.name} cannot be brought onto "
            f"{reference.name}. Give files with positions, for example as their converter wrote them."
        )
    stack = restore(volume.array[..., 0], volume.axes, volume.flips)
    affines = _slice_affines(volume, len(stack))
    notes: list[str] = []
    transform = None
    if registration == "rigid":
        transform, moved = rigid_transform(path, stack, _regular(path, affines), values, read.affine)
        notes.append(f"{image.name} was registered onto {reference.name}: moved by {moved}")
    resampled, inside = resample(values, read.affine, affines, stack.shape[1:], transform)
    share = float(inside.mean())
    if share < LEAST_OVERLAP:
        raise UnfitImages(
            f"{path}: {image.name} covers {share:.0%} of {reference.name} ({reference.files[0]}); expected "
            f"at least {LEAST_OVERLAP:.0%}, or they do not show the same part of the body. Check that both "
            "are of one examination and that their positions are right."
        )
    if share < _COMPLETE:
        notes.append(f"{image.name} covers {share:.0%} of {reference.name}; the rest was taken as background")
    return np.ascontiguousarray(reorient(resampled, volume.axes, volume.flips)), notes


def _slice_affines(volume: AssembledVolume, count: int) -> list[np.ndarray]:
    """Return per stored slice the 4x4 (0, row, column, 1) -> mm, LPS."""
    known = [affine for affine in volume.affines if affine is not None]
    if len(known) > 1 or count == 1:
        return known
    affines = []
    for index in range(count):
        affine = known[0].copy()
        affine[:3, 3] += index * affine[:3, 0]
        affines.append(affine)
    return affines


def _regular(path: Path, affines: list[np.ndarray]) -> np.ndarray:
    """Return the affine of all slices; ImageError where the gaps between them are uneven."""
    affine = affines[0].copy()
    if len(affines) > 1:
        steps = np.diff([each[:3, 3] for each in affines], axis=0)
        affine[:3, 0] = steps.mean(axis=0)
        if np.abs(steps - affine[:3, 0]).max() > _EVEN * np.linalg.norm(affine[:3, 0]):
            raise ImageError(
                f"{path}: cannot be registered onto a series with uneven gaps between its slices. Set "
                "data.registration: none."
            )
    return affine
