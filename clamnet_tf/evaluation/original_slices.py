"""The pictures behind predictions: slices as volumes hold them, on the original grid."""

import numpy as np

from clamnet_tf.datasets.slice_numbers import slice_number
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.preprocessing.volumes import Group, assemble, group_cases


def original_slices(manifest, prepared, rows, data) -> list:
    """Return of each of `rows` (slice, its number in its file as the column `slice` of a table names it).

    A slice is (H, W, C) float32 before window and normalisation, with the recipe's channels (data:
    DataSection).
    """
    table, found, last = prepared.table, [], (None, None)
    several = np.bincount(table.case)  # slices per case
    for row in rows:
        case, index = int(table.case[row]), int(table.slice_index[row])
        if last[0] != case:
            last = (case, _open(manifest, case, int(several[case]), data, last))
        array, number = last[1]
        found.append((array[index], number(index)))
    return found


def _open(manifest, case: int, slices: int, data, last):
    """(array of the case's volume, slice index -> number in the file)."""
    image = manifest.cases[case].image
    if last[0] is not None and manifest.cases[last[0]].image == image:
        return last[1]
    volume = read_volume(image, dicom_backend=data.dicom_backend)
    if len(volume.array) == 1 and slices > 1:  # files of one slice that were turned to axial slices together
        group = _group_of(manifest, case)
        assembled = assemble(
            manifest, group, channels=data.channels, dicom_backend=data.dicom_backend, with_organ=False
        )
        return next(one.array for one in assembled if one.wanted[0][1] == case), int
    array = (
        volume.array
        if data.channels is None
        else np.ascontiguousarray(volume.array[..., list(data.channels)])
    )
    return array, lambda index: slice_number(volume, index)


def _group_of(manifest, case: int) -> Group:
    return next(group for group in group_cases(manifest) if case in group.cases)
