"""Translate the numbers of a table's column `slice` into slices of a volume.

The numbers are those of the file, however the volume was turned after reading.
"""

from clamnet_tf.errors import DataError
from clamnet_tf.imaging.volume import Volume

_MEANING = {
    "nifti": "k of img[:, :, k] as the file stores it, from 0",
    "picture": "the page, from 0",
    "npy": "the index along the first axis, from 0",
}


def volume_slice(path, volume: Volume, name: int | str) -> int:
    """Return the index along axis 0 of `volume.array` of the slice that a table calls `asked`.

    Args:
        path: the file or folder, named in messages.
        volume: the volume that `imaging.readers.read_volume` gives for it.
        asked: for NIfTI k of img[:, :, k]; for a multi-frame file the frame and for a picture the page, from
            0; for a DICOM folder InstanceNumber; for any DICOM also a SOPInstanceUID.

    Raises:
        DataError: there is no such slice, or the file's slices are not axial, so that no stored slice is a
            slice of the volume.
    """
    grid = volume.grid
    if len(volume.array) > 1 and grid.axes[0] != (2 if grid.kind == "nifti" else 0):
        raise DataError(
            f"{path}: slice {name} is labelled, but the file stores {_plane_of_slices(grid)} slices, and "
            "volumes are turned to axial ones: no stored slice is a slice of the volume. "
            "Label the volume as a whole, or save it with axial slices and label those."
        )
    if isinstance(name, str):
        matches = [
            index for index, reference in enumerate(grid.references) if reference.sop_instance_uid == name
        ]
    else:
        matches = [index for index, reference in enumerate(grid.references) if reference.number == name]
    if len(matches) != 1:
        raise DataError(f"{path}: slice {name} is asked for, {_existing_slices(volume)}.")
    index = matches[0]
    if grid.kind == "dicom" and grid.flips[0]:
        index = len(volume.array) - 1 - index
    return index


def slice_number(volume: Volume, index: int) -> int:
    """Return the number by which tables call the slice at `index` along axis 0 of `volume.array`.

    The index itself is returned where the file has no numbers. For a volume whose stored slices are not axial
    it is the index along the file's own axis that runs between head and feet.
    """
    grid = volume.grid
    if grid.kind != "dicom":
        return grid.references[index].number
    if grid.axes[0]:
        return index
    number = grid.references[len(grid.references) - 1 - index if grid.flips[0] else index].number
    return index if number is None else number


def _plane_of_slices(grid) -> str:
    stack_axis = 2 if grid.kind == "nifti" else 0
    return "coronal" if grid.axes[1] == stack_axis else "sagittal"


def _existing_slices(volume: Volume) -> str:
    references = volume.grid.references
    numbers = [reference.number for reference in references]
    if None in numbers:
        return "but its images have no InstanceNumber, or one in several; give SOPInstanceUIDs"
    one_file = len({reference.path for reference in references}) == 1
    kind = volume.grid.kind
    meaning = _MEANING.get(kind) or (
        "the frame, from 0" if one_file else "InstanceNumber, or a SOPInstanceUID"
    )
    return f"the file has {len(numbers)} slice(s), numbered {min(numbers)} to {max(numbers)} ({meaning})"
