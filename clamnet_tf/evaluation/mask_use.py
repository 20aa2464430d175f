"""Say which masks taught and which measure, and take ignored pixels out of what is measured."""

import numpy as np

from clamnet_tf.imaging.mask_values import IGNORED
from clamnet_tf.preprocessing.mask_table import (
    MEASURED,
    TAUGHT,
    MaskUse,
    check_not_taught,
    read_uses,
    slices_of,
    uses_of,
)

_SHOWN = 12


def mask_uses(run, manifest, prepared, rows) -> list[MaskUse]:
    """Return the masks that taught a run, and those that measure the slices `rows`.

    Args:
        run: RunFolder of the run.
        manifest: the cases that are evaluated.
        prepared: Prepared slices made from it, with the true names of patients.
        rows: row numbers of the slices.

    Raises:
        DataError: a patient of these slices has a mask that taught, so that nothing may be measured on it.
        RunError: the run's table of masks is damaged.
    """
    taught = read_uses(run.masks)
    check_not_taught(taught, slices_of(MEASURED, manifest, prepared.table, rows))
    return [*taught, *uses_of(MEASURED, manifest, prepared.table, rows)]


def patients_of_uses(uses: list[MaskUse]) -> dict[str, dict[str, int]]:
    """Return {TAUGHT or MEASURED: {patient: number of slices with a mask file}}, in order."""
    result: dict[str, dict[str, int]] = {TAUGHT: {}, MEASURED: {}}
    for use in uses:
        result[use.use][use.patient] = result[use.use].get(use.patient, 0) + 1
    return result


def patients_in_words(patients: dict[str, int]) -> str:
    """Return what a report says of the patients of one use, such as "2 patients, 60 slices: A, B"."""
    if not patients:
        return "none"
    names = list(patients)
    more = f" and {len(names) - _SHOWN} more (masks.csv lists all)" if len(names) > _SHOWN else ""
    kind = "patient" if len(names) == 1 else "patients"
    return f"{len(names)} {kind}, {sum(patients.values())} slices: {', '.join(names[:_SHOWN])}{more}"


def without_ignored(truth: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return which pixels of a slice are measured, and the truth without ignored pixels.

    An ignored pixel counts as if it were outside of the organ: it is neither lesion nor background. The truth
    of a slice that is ignored throughout is unknown.

    Args:
        truth: (H, W) uint8 label map with IGNORED, or None where there is no mask.

    Returns:
        (H, W) bool, or (1, 1) True where there is no mask; (H, W) uint8 label map, or None.
    """
    if truth is None:
        return np.ones((1, 1), bool), None
    known = truth != IGNORED
    return (known, np.where(known, truth, 0)) if known.any() else (np.ones((1, 1), bool), None)
