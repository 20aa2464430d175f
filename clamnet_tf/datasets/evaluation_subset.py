"""Which cases `evaluate` measures, and on which side of the split they stand."""

import dataclasses
from pathlib import Path

from clamnet_tf.datasets.split import read_split, split_manifest
from clamnet_tf.errors import DataError


def choose_cases(manifest, run, split, split_file, *, drawn, with_train=False):
    """The manifest cut down to `split`; all cases when None. with_train: the training side stays as well,
    where there is one.

    Sides come from `split_file`, else from the manifest, else, for the run's own cohort, from the run folder.
    A zoo entry has no file of its split; there `drawn`, the SplitSection of its recipe, draws the same sides
    again. drawn: None for other data than the recipe's cohort.

    Raises:
        DataError: a side was named but the cases have none.
    """
    if split is None:
        return manifest
    patients = list(dict.fromkeys(case.patient for case in manifest.cases))
    if split_file is None and not all(case.split for case in manifest.cases):
        if drawn is None:
            raise DataError(
                f"--split {split}: the data names no split. Add --split-file, for example {run.split}, or "
                f"leave out --split."
            )
        if run.split.is_file():
            split_file = run.split
        else:
            manifest = split_manifest(manifest, drawn, both_classes=False)
    sides = {case.patient: case.split for case in manifest.cases}
    if split_file is not None:
        sides = read_split(Path(split_file), patients, manifest.hidden)
    kept = {split, "train"} if with_train else {split}
    cases = tuple(
        dataclasses.replace(case, split=sides[case.patient])
        for case in manifest.cases
        if sides[case.patient] in kept
    )
    if split not in {case.split for case in cases}:
        raise DataError(f"--split {split}: no case is on that side of the split.")
    return dataclasses.replace(manifest, cases=cases)
