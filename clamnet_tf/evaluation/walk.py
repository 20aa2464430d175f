"""Walk through the reference list slice by slice; make the rows of `cases.csv` and `patients.csv`, and
counts.

The walk follows the list of slices that SHOULD have a prediction, not the list of predictions. A missing
prediction (None) counts as the worst case, which is the inverted truth: every pixel of the lesion is missed,
all other pixels of the organ are marked, the score is 0 when the slice is abnormal and 1 when it is normal,
HD95 is the diagonal and the surface Dice 0. Only counts and histograms are kept, so memory grows with the
number of patients and not with the number of pixels.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from clamnet_tf.errors import DataError
from clamnet_tf.evaluation.cases import (
    OURS,
    Evaluation,
    PatientCounts,
    SliceCase,
    is_abnormal,
    is_normal,
    mean_of,
)
from clamnet_tf.evaluation.lesion_walk import LesionWalk
from clamnet_tf.inference.thresholding import ThresholdRule
from clamnet_tf.metrics.localisation import image_score, marked_fraction, pointing_game
from clamnet_tf.metrics.overlap import count_overlap, dice, iou, precision, sensitivity
from clamnet_tf.metrics.ranking import EDGES, histogram
from clamnet_tf.metrics.surface import TOLERANCES_MM, TOLERANCES_PX, diagonal, hd95, surface_dice

NEAR = 8 / 224
"""Distance from a lesion that `pointing_near` allows, as a share of the longer side of the image."""
SURFACE_COLUMNS = tuple(
    f"nsd_{tolerance}{unit}"
    for unit, tolerances in (("px", TOLERANCES_PX), ("mm", TOLERANCES_MM))
    for tolerance in tolerances
)
"""Columns of cases.csv with the normalised surface Dice at each tolerance."""


def evaluate_slices(
    cases: Iterable[SliceCase],
    marking: ThresholdRule,
    collect: Callable[[SliceCase, np.ndarray | None, dict], None] | None = None,
) -> Evaluation:
    """Evaluate a complete reference list.

    Args:
        cases: Slices of the reference list, each once.
        marking: Rule that turns probabilities into masks.
        collect: Called as collect(case, mask or None, row) for each slice, for example to keep pictures.

    Raises:
        DataError: There is no slice, a slice is listed twice, shapes differ, or a probability is outside
            0..1.
    """
    walk = Walk(marking, collect)
    for case in cases:
        walk.add(case)
    return walk.evaluation()


class Walk:
    """Evaluate a reference list that arrives slice by slice: `add` each slice, then call `evaluation`."""

    def __init__(self, marking: ThresholdRule, collect=None):
        self.marking, self.collect = marking, collect
        self._lesions = LesionWalk(marking.threshold)
        self._slices: list[dict] = []
        self._patients: dict[str, PatientCounts] = {}
        self._seen: set[tuple] = set()
        self._heads: tuple[str, ...] = ()
        self._baselines: tuple[str, ...] = ()

    def add(self, case: SliceCase) -> dict:
        """Count one slice and return its row of cases.csv. Raises DataError like `evaluate_slices`."""
        key = (case.patient, case.image, case.slice_index)
        if key in self._seen:
            raise DataError(
                f"{case.image}: slice {case.slice_index} of patient {case.patient} is in the reference list "
                f"twice; remove one."
            )
        if not self._seen:
            self._heads, self._baselines = tuple(case.heads), tuple(case.baselines)
        elif (self._heads, self._baselines) != (tuple(case.heads), tuple(case.baselines)):
            raise DataError(
                f"{case.image}: slice {case.slice_index} has heads {list(case.heads)} and baselines "
                f"{list(case.baselines)}; the first slice has {list(self._heads)} and "
                f"{list(self._baselines)}. Give every slice the same names, with None for a missing one."
            )
        self._seen.add(key)
        _check(case)
        counts = self._patients.setdefault(case.patient, PatientCounts(case.patient, case.site))
        row, mask = _slice_row(case, self.marking, counts, self._lesions)
        self._slices.append(row)
        if self.collect is not None:
            self.collect(case, mask, row)
        return row

    def evaluation(self) -> Evaluation:
        """Return the evaluation of all slices that were added. Raises DataError when there is none."""
        if not self._slices:
            raise DataError(
                "The reference list is empty: there is no slice to evaluate. Name a split that has cases."
            )
        self._lesions.close()
        rows_of: dict[str, list[dict]] = {name: [] for name in self._patients}
        for row in self._slices:
            rows_of[row["patient"]].append(row)
        counts = list(self._patients.values())
        rows = [
            _patient_row(patient_counts, rows_of[patient_counts.patient], self._heads + self._baselines)
            for patient_counts in counts
        ]
        return Evaluation(self.marking, self._slices, rows, counts, self._heads, self._baselines)


def _slice_row(
    case: SliceCase, marking: ThresholdRule, counts: PatientCounts, lesions: LesionWalk
) -> tuple[dict, np.ndarray | None]:
    """Make the row of one slice, add the slice to its patient's counts, and return (row, mask to show or
    None).
    """
    organ = np.asarray(case.organ, bool)
    truth = case.truth if case.truth is None else np.asarray(case.truth, bool)
    if truth is None and case.label == 0:
        truth = np.zeros(organ.shape, bool)
    worst = organ if truth is None else organ & ~truth
    missing = case.probability is None
    present = worst if case.probability is None else case.probability
    probability = np.where(organ, present, 0).astype(np.float32)
    mask = (
        worst
        if missing
        else marking.cut(probability, organ)
        if case.mask is None
        else np.asarray(case.mask, bool) & organ
    )

    row = {
        "patient": case.patient,
        "image": case.image,
        "slice_index": case.slice_index,
        "site": case.site,
        "label": case.label,
        "study_label": case.study_label,
    }
    row |= {
        "missing": missing,
        "organ_px": int(organ.sum()),
        "truth_px": None,
        "marked_px": int(mask.sum()),
        "both_px": None,
    }
    row |= dict.fromkeys(("dice", "iou", "hd95_px", "hd95_mm", "pointing", "pointing_near", *SURFACE_COLUMNS))
    row["score"] = (
        float(case.label == 0)
        if missing and case.label is not None
        else image_score(probability, organ, marking.pooling_power)
    )
    row["marked_fraction"] = marked_fraction(mask, organ)
    counts.slices += 1
    counts.missing += missing
    lesions.add(case, counts, truth, mask, probability)
    if truth is not None:
        overlap = count_overlap(truth, mask)
        row |= {"truth_px": overlap.truth, "both_px": overlap.true_positive}
        if overlap.truth:
            in_plane = case.spacing_mm and tuple(case.spacing_mm[1:])
            row |= {"dice": dice(overlap), "iou": iou(overlap)}
            row["hd95_px"] = diagonal(organ.shape) if missing else hd95(truth, mask)
            if in_plane:
                row["hd95_mm"] = diagonal(organ.shape, in_plane) if missing else hd95(truth, mask, in_plane)
            row |= _surface_dice(truth, mask, in_plane, missing)
            near = NEAR * max(organ.shape)
            for name, tolerance in (("pointing", 0.0), ("pointing_near", near)):
                row[name] = 0.0 if missing else pointing_game(probability, truth, organ, tolerance)
        _count_patient(case, marking, counts, truth, worst, probability, mask)
    return row, None if missing else mask if case.mask is None else case.mask


def _surface_dice(truth, mask, in_plane, missing: bool) -> dict:
    """Return the columns of SURFACE_COLUMNS of a slice with a lesion; those in mm need `in_plane`."""
    row: dict[str, float] = {}
    for unit, tolerances, spacing in (("px", TOLERANCES_PX, None), ("mm", TOLERANCES_MM, in_plane)):
        if unit == "px" or in_plane:
            values = [0.0] * len(tolerances) if missing else surface_dice(truth, mask, tolerances, spacing)
            row |= {f"nsd_{tolerance}{unit}": value for tolerance, value in zip(tolerances, values or ())}
    return row


def _count_patient(case, marking, counts, truth, worst, probability, mask) -> None:
    """Add a slice with known truth to its patient's counts."""
    organ = np.asarray(case.organ, bool)
    counts.known += 1
    counts.organ_px += int(organ.sum())
    masks = {OURS: mask}
    _add(counts.histograms, OURS, histogram(probability, truth))
    for name, head in case.heads.items():
        values = np.where(organ, worst if head is None else head, 0).astype(np.float32)
        masks[name] = worst if head is None else marking.cut(values, organ, name)
        _add(counts.histograms, name, histogram(values, truth))
    masks |= {
        name: worst if baseline_mask is None else np.asarray(baseline_mask, bool) & organ
        for name, baseline_mask in case.baselines.items()
    }
    for name, marked in masks.items():
        overlap = count_overlap(truth, marked)
        _add(counts.overlaps, name, overlap)
        if overlap.truth:
            counts.slice_dice.setdefault(name, []).append(dice(overlap))
        elif (fraction := marked_fraction(marked, organ)) is not None:
            counts.normal_areas.setdefault(name, []).append(fraction)
    if case.spacing_mm is None or counts.truth_ml is None:
        counts.truth_ml = counts.marked_ml = None
    else:
        pixel_ml = math.prod(case.spacing_mm) / 1000
        counts.truth_ml += int(truth.sum()) * pixel_ml
        counts.marked_ml += int(mask.sum()) * pixel_ml


def _patient_row(counts: PatientCounts, rows: list[dict], method_names: tuple[str, ...]) -> dict:
    """Make a row of patients.csv.

    A patient with a lesion has overlaps, a patient without one has the marked share of the organ; nobody has
    both.
    """
    ours = counts.overlaps.get(OURS) if counts.complete else None
    row: dict[str, Any] = {
        "patient": counts.patient,
        "site": counts.site,
        "slices": counts.slices,
        "slices_with_truth": counts.known,
        "missing": counts.missing,
    }
    row["slices_positive"] = sum(map(is_abnormal, rows))
    row |= {
        "truth_px": ours.truth if ours else None,
        "marked_px": ours.marked if ours else None,
        "both_px": ours.true_positive if ours else None,
    }
    row |= {"truth_ml": counts.truth_ml if ours else None, "marked_ml": counts.marked_ml if ours else None}
    for name, score in (("dice", dice), ("iou", iou), ("sensitivity", sensitivity), ("precision", precision)):
        row[name] = score(ours) if ours and counts.with_lesion else None
    outlined = [slice_row for slice_row in rows if slice_row["truth_px"]]
    for name in ("hd95_px", "hd95_mm", "pointing"):
        values = [slice_row[name] for slice_row in outlined]
        row[name] = None if None in values else mean_of(values)
    row["normal_area"] = mean_of(slice_row["marked_fraction"] for slice_row in rows if is_normal(slice_row))
    row |= {
        "outlined_slices": len(outlined),
        "dice_slice": mean_of(counts.slice_dice.get(OURS, ())),
        "marked_share": counts.marked_share(OURS),
    }
    row |= {
        f"dice_{name}": dice(counts.overlaps[name]) if counts.with_lesion else None for name in method_names
    }
    row |= {f"dice_slice_{name}": mean_of(counts.slice_dice.get(name, ())) for name in method_names}
    return row | {f"marked_share_{name}": counts.marked_share(name) for name in method_names}


def _add(table: dict, name: str, value) -> None:
    table[name] = table[name] + value if name in table else value


def _check(case: SliceCase) -> None:
    """Check shapes, names and value ranges of one slice."""
    where = f"{case.image}: slice {case.slice_index} of patient {case.patient}"
    if OURS in case.heads or OURS in case.baselines or set(case.heads) & set(case.baselines):
        raise DataError(f'{where}: heads and baselines need different names, and none may be "{OURS}".')
    shape = np.shape(case.organ)
    maps = {"probability": case.probability, **case.heads}
    for name, array in {"truth": case.truth, "mask": case.mask, **maps, **case.baselines}.items():
        if array is not None and np.shape(array) != shape:
            raise DataError(
                f"{where}: {name} has shape {np.shape(array)}, its organ mask {shape}; bring both onto the "
                f"original grid (H, W)."
            )
    for name, array in maps.items():
        if array is not None and not (np.min(array) >= EDGES[0] and np.max(array) <= EDGES[-1]):
            raise DataError(
                f"{where}: {name} must lie in 0..1; received {np.min(array):g}..{np.max(array):g}."
            )
