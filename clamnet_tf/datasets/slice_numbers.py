"""Which slice of a volume the column `slice` of a table means: numbers are those of the file, whatever
was turned inside."""

from clamnet_tf.errors import DataError
from clamnet_tf.imaging.volume import Volume

_MEANING = {
    "nifti": "k of img[:, :, k] as the file stores it, from 0",
    "picture": "the page, from 0",
    "npy": "the index along the first axis, from 0",
}


def volume_slice(path, volume: Volume, asked: int | str) -> int:
    """Return the index along axis 0 of `volume.array` of the slice that a table calls `asked`.

    Args:
        path: the file or folder, named in messages.
        volume: what `imaging.readers.read_volume` gives for it.
        asked: of NIfTI k of img[:, :, k]; of a multi-frame file the frame and of a picture the page,
            from 0; of a DICOM
            folder InstanceNumber; of DICOM also a SOPInstanceUID.

    Raises:
        DataError: there is no such slice, or the file's slices are not axial, so that none of them is a
            slice of the volume.
    """
    grid = volume.grid
    if len(volume.array) > 1 and grid.axes[0] != (2 if grid.kind == "nifti" else 0):
        raise DataError(
            f"{path}: slice {asked} is labelled, but the file stores {_planes(grid)} slices, and volumes are "
            f"brought to axial ones: no stored slice is a "
            "slice of the volume. Label the volume as a whole, or save it with axial slices and label those."
        )
    if isinstance(asked, str):
        found = [
            place for place, reference in enumerate(grid.references) if reference.sop_instance_uid == asked
        ]
    else:
        found = [place for place, reference in enumerate(grid.references) if reference.number == asked]
    if len(found) != 1:
        raise DataError(f"{path}: slice {asked} is asked for, {_what_there_is(volume)}.")
    place = found[0]
    if grid.kind == "dicom" and grid.flips[0]:
        place = len(volume.array) - 1 - place
    return place


def slice_number(volume: Volume, index: int) -> int:
    """Return what tables call the slice at `index` along axis 0 of `volume.array`; the index itself
    where the file has no numbers.

    Of a volume whose stored slices are not axial: the index along the file's own axis that runs between
    head and feet.
    """
    grid = volume.grid
    if grid.kind != "dicom":
        return grid.references[index].number
    if grid.axes[0]:
        return index
    number = grid.references[len(grid.references) - 1 - index if grid.flips[0] else index].number
    return index if number is None else number


def _planes(grid) -> str:
    stacked = 2 if grid.kind == "nifti" else 0
    return "coronal" if grid.axes[1] == stacked else "sagittal"


def _what_there_is(volume: Volume) -> str:
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
