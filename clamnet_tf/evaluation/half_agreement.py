"""Measure without masks how far two networks, trained on different patients, mark the same pixels.

Two networks that learned what a lesion looks like mark the same places of a new slice. Two that learned
nothing, or only where lesions usually lie, agree on a slice no more than on slices of different patients.
Hence the Dice score of the marks in the same slice is compared with that of the first network's marks in this
slice and the second's in slices of other patients at about the same position. Only abnormal slices count.
"""

import numpy as np

from clamnet_tf.evaluation import bootstrap
from clamnet_tf.evaluation.validation_scores import spread_rows, volumes_of
from clamnet_tf.inference.trained_model import load_trained_model

OTHERS = 5
"""How many slices of other patients each slice is compared with."""
MOST_SLICES = 500
"""About how many validation slices are marked: of more, whole volumes are taken."""
NO_MARKS = "neither network marks anything in abnormal validation slices"
ONE_PATIENT = "fewer than two validation patients have an abnormal slice"
_NONE = {"mean": None, "low": None, "high": None}


def marks_of(run, recipe, prepared, rows) -> np.ndarray:
    """Return what the network of a finished run marks, (n, side, side) bool on the prepared grid.

    Args:
        run: RunFolder.
        recipe: Its recipe.
        prepared: Prepared slices.
        rows: (n,) rows of whole volumes, rising.
    """
    trained, marks = load_trained_model(run, recipe), []
    for volume_rows in volumes_of(prepared, rows):
        images = np.asarray(prepared.images[volume_rows], np.float32)
        organs = np.asarray(prepared.organ[volume_rows])
        probability = trained.probability.combine(trained.probability.heads(images))
        for maps, organ in zip(trained.volume(probability, images, organs), organs):
            marks.append(trained.marking.mask(maps, organ > 0) > 0)
    order = np.concatenate(list(volumes_of(prepared, rows)))
    return np.stack(marks)[np.argsort(order)]


def half_agreement(runs, recipe, prepared, *, least_area: float, steps: int, shared: str = "") -> dict:
    """Return the section `halves` of learning.json.

    Args:
        runs: RunFolders of the two networks.
        recipe: Their recipe.
        prepared: Prepared slices.
        least_area: Validation slices with this share of organ or less are left out, as in training.
        steps: Optimizer steps of each of them.
        shared: What both share beside the method, in words; empty when nothing.
    """
    table = prepared.table
    rows = spread_rows(prepared, np.flatnonzero(table.split == "val"), MOST_SLICES)
    counted = (table.label[rows] > 0) & (table.area[rows] > least_area)
    first, second = (marks_of(run, recipe, prepared, rows)[counted] for run in runs)
    rows = rows[counted]
    found = agreement(first, second, table.patient[rows], table.position[rows])
    return {**found, "steps": steps, "shared": shared or None}


def agreement(first, second, patient, position, samples: int = bootstrap.SAMPLES, seed: int = 0) -> dict:
    """Compare the marks of two networks on n abnormal slices.

    Args:
        first: (n, H, W) bool, marks of one network.
        second: (n, H, W) bool, marks of the other.
        patient: (n,) names of patients.
        position: (n,) positions in the volume, 0..1.
        samples: Number of bootstrap samples.
        seed: Seed of the bootstrap, and of the draw among equally near slices.

    Returns:
        same, other and difference (mean, low, high): Dice in the same slice, between slices of different
        patients, and their difference, over slices in which one of the two marks something; slices, patients,
        and the reason why nothing was measured, or None.
    """
    nothing = {"same": dict(_NONE), "other": dict(_NONE), "difference": dict(_NONE)}
    names, number = np.unique(patient, return_inverse=True)
    if len(names) < 2:
        return {**nothing, "slices": 0, "patients": len(names), "reason": ONE_PATIENT}
    rng, rows = np.random.default_rng(seed), []
    for index, own in enumerate(number):
        same = _dice(first[index], second[index])
        others = np.flatnonzero(number != own)
        near = np.lexsort((rng.random(len(others)), np.abs(position[others] - position[index])))[:OTHERS]
        other = [_dice(first[index], second[each]) for each in others[near]]
        known = [value for value in other if value is not None]
        if same is not None and known:
            rows.append((own, same, float(np.mean(known))))
    if not rows:
        return {**nothing, "slices": 0, "patients": 0, "reason": NO_MARKS}
    owner = np.array([row[0] for row in rows])
    of_same, of_other = np.array([row[1:] for row in rows]).T
    counts = np.bincount(owner, minlength=len(names))
    measured = {
        name: bootstrap.pooled(
            np.bincount(owner, weights=values, minlength=len(names)), counts, samples, seed
        )._asdict()
        for name, values in (("same", of_same), ("other", of_other), ("difference", of_same - of_other))
    }
    return {**measured, "slices": len(rows), "patients": int(np.count_nonzero(counts)), "reason": None}


def _dice(one: np.ndarray, two: np.ndarray) -> float | None:
    """Return the Dice score of two masks; None when both are empty."""
    total = np.count_nonzero(one) + np.count_nonzero(two)
    return 2 * np.count_nonzero(one & two) / total if total else None
