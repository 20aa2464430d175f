"""Read the original pictures of predicted slices, as volumes hold them."""

import numpy as np

from clamnet_tf.datasets.slice_numbers import slice_number
from clamnet_tf.imaging.readers import read_volume
from clamnet_tf.preprocessing.assembled_volume import AssembledVolume
from clamnet_tf.preprocessing.volumes import Group, assemble, group_cases


def original_slices(manifest, prepared, rows, data) -> list:
    """Read the original slices of some rows.

    Args:
        manifest: Manifest of the data.
        prepared: Prepared slices of the same data.
        rows: Row indices in the table of `prepared`.
        data: `data` section of the recipe (DataSection).

    Returns:
        Per row (slice, slice number). The slice is (H, W, C) float32 before window and normalisation, with
        the recipe's channels. The number is that of the slice in its file, as the column `slice` of a table
        gives it.
    """
    table, slices, last, studies = prepared.table, [], (None, None), _Studies(manifest, data)
    slices_per_case = np.bincount(table.case)  # slices per case
    for row in rows:
        case, index = int(table.case[row]), int(table.slice_index[row])
        if manifest.cases[case].sequences is not None:
            slices.append(studies.slice(case, index))
            continue
        if last[0] != case:
            last = (case, _open(manifest, case, int(slices_per_case[case]), data, last))
        array, number_of = last[1]
        slices.append((array[index], number_of(index)))
    return slices


def _open(manifest, case: int, slices: int, data, last):
    """Return (array of the case's volume, function from slice index to slice number in the file)."""
    image = manifest.cases[case].image
    if last[0] is not None and manifest.cases[last[0]].image == image:
        return last[1]
    volume = read_volume(image, dicom_backend=data.dicom_backend)
    if len(volume.array) == 1 and slices > 1:  # files of one slice that were turned to axial slices together
        group = _group_of(manifest, case)
        assembled = assemble(
            manifest, group, channels=data.channels, dicom_backend=data.dicom_backend, with_organ=False
        )
        return next(
            assembled_case.array for assembled_case in assembled if assembled_case.wanted[0][1] == case
        ), int
    array = (
        volume.array
        if data.channels is None
        else np.ascontiguousarray(volume.array[..., list(data.channels)])
    )
    return array, lambda index: slice_number(volume, index)


class _Studies:
    """Reads slices of studies with a file or series per sequence, one study in memory."""

    def __init__(self, manifest, data):
        self.manifest, self.data = manifest, data
        self.group = Group(())
        self.volumes: list[AssembledVolume] = []

    def slice(self, case: int, index: int):
        """Return (slice (H, W, C), its number in the file) of the slice `index` of a case."""
        if case not in self.group.cases:
            self.group = _group_of(self.manifest, case)
            self.volumes = assemble(
                self.manifest,
                self.group,
                channels=self.data.channels,
                dicom_backend=self.data.dicom_backend,
                with_organ=False,
            )
        for volume in self.volumes:
            for place, owner, inside, _ in volume.wanted:
                if (owner, inside) == (case, index):
                    number = _number(volume, place, case)
                    return volume.array[place], index if number is None else number
        raise KeyError((case, index))  # the table of prepared slices names wanted slices alone


def _number(volume: AssembledVolume, place: int, case: int) -> int | None:
    """Return the number of the slice at `place` in its file, or None where slices were turned."""
    if volume.axes[0]:
        return None
    if len(volume.grids) > 1:
        return volume.grids[volume.cases.index(case)].references[0].number
    references = volume.grids[0].references
    return references[len(references) - 1 - place if volume.flips[0] else place].number


def _group_of(manifest, case: int) -> Group:
    """Return the group of cases to which a case belongs."""
    return next(group for group in group_cases(manifest) if case in group.cases)
