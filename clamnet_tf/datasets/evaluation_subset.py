"""Choose the cases that `evaluate` measures, and the side of the split of each."""

import dataclasses
from pathlib import Path

from clamnet_tf.datasets.split import read_split, split_manifest
from clamnet_tf.errors import DataError


def choose_cases(manifest, run, split, split_file, *, drawn, with_train=False):
    """Return the manifest reduced to `split`, or with all cases when that is None.

    Sides come from `split_file`, else from the manifest, else, for the run's own cohort, from the run folder.
    A zoo entry has no file of its split; there `drawn` gives the same sides again.

    Args:
        manifest: the cases.
        run: the RunFolder of the model.
        split: train, val, test or None.
        split_file: path of a split file, or None.
        drawn: the SplitSection of the recipe that draws the sides; None for other data than the recipe's
            cohort.
        with_train: also keep the training side, where there is one.

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
    chosen_sides = {split, "train"} if with_train else {split}
    cases = tuple(
        dataclasses.replace(case, split=sides[case.patient])
        for case in manifest.cases
        if sides[case.patient] in chosen_sides
    )
    if split not in {case.split for case in cases}:
        raise DataError(f"--split {split}: no case is on that side of the split.")
    return dataclasses.replace(manifest, cases=cases)
