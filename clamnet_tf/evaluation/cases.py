"""Slice by slice through the reference list: rows for `cases.csv` and `patients.csv`, and the counts behind
the figures.

The list of slices that OUGHT to have a prediction is walked, not the list of predictions: a missing one
(None) is an error row and counts as the worst case, that is the truth turned inside out: every pixel of the
lesion missed, all other pixels of the organ marked, score 0 when the slice is abnormal and 1 when it is
normal, HD95 the diagonal. Only counts and histograms are kept, so memory grows with patients and not with
pixels.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from clamnet_tf import spreadsheet
from clamnet_tf.errors import DataError
from clamnet_tf.files import atomic_path
from clamnet_tf.inference.thresholding import ThresholdRule
from clamnet_tf.metrics.localisation import image_score, marked_fraction, pointing_game
from clamnet_tf.metrics.overlap import Overlap, count_overlap, dice, iou, precision, sensitivity
from clamnet_tf.metrics.ranking import EDGES, histogram
from clamnet_tf.metrics.surface import diagonal, hd95
from clamnet_tf.texts import HANDLER

OURS = "ours"


@dataclass(frozen=True, eq=False)
class SliceCase:
    """One slice of the reference list with what was predicted for it. All arrays on the ORIGINAL grid (H,
    W).
    """

    patient: str
    image: str
    """File, as in the manifest."""
    slice_index: int
    """Index inside the file; 0 for a single picture."""
    label: int | None
    """0 normal, 1.. abnormal, None unknown."""
    organ: np.ndarray
    """Bool."""
    probability: np.ndarray | None
    """Float 0..1; None: the prediction is missing."""
    truth: np.ndarray | None = None
    """Bool, or a label map; None: no mask exists. A normal slice without a mask is taken as empty."""
    mask: np.ndarray | None = None
    """What is marked, where it is not `probability` alone that decides: bool, or a label map. None:
    probability is cut.
    """
    heads: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    """Probability maps per head."""
    baselines: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    """Masks (bool) of other methods, by name."""
    spacing_mm: tuple[float, float, float] | None = None
    """Between slices, rows, columns."""
    site: str | None = None
    picture: np.ndarray | None = None
    """Image (H, W) or (H, W, C) to show in the report, any units."""


@dataclass(eq=False)
class PatientCounts:
    """What is summed over a patient's slices. Keys of the dicts: "ours", head names, baseline names."""

    patient: str
    site: str | None
    slices: int = 0
    known: int = 0
    missing: int = 0
    organ_px: int = 0
    overlaps: dict[str, Overlap] = field(default_factory=dict)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    slice_dice: dict[str, list[float]] = field(default_factory=dict)
    """Dice of each slice with truth, in the order of the slices, for every name the same slices."""
    normal_areas: dict[str, list[float]] = field(default_factory=dict)
    """Marked share of the organ of each slice without truth; slices without an organ are left out."""
    truth_ml: float | None = 0.0
    marked_ml: float | None = 0.0

    @property
    def complete(self) -> bool:
        """The truth of every slice is known; otherwise the patient has no volume to be scored."""
        return self.known == self.slices

    @property
    def with_lesion(self) -> bool:
        """Overlaps of volumes are measured on these patients, and on no others."""
        return self.complete and self.overlaps[OURS].truth > 0

    @property
    def without_lesion(self) -> bool:
        """False marks of patients are measured on these patients; one who shows no organ at all is not among
        them.
        """
        return self.complete and not self.overlaps[OURS].truth and self.organ_px > 0

    def marked_share(self, name: str) -> float | None:
        """Marked share of the organ over all slices, 0..1; None for a patient who is not known to be without
        a lesion.
        """
        return self.overlaps[name].marked / self.organ_px if self.without_lesion else None


@dataclass(eq=False)
class Evaluation:
    """All that figures.py and report.py need. `slices` in the order of the reference list, `patients` by
    first slice.
    """

    marking: ThresholdRule
    slices: list[dict]
    patients: list[dict]
    counts: list[PatientCounts]
    heads: tuple[str, ...]
    baselines: tuple[str, ...]


def evaluate_slices(
    cases: Iterable[SliceCase],
    marking: ThresholdRule,
    collect: Callable[[SliceCase, np.ndarray | None, dict], None] | None = None,
) -> Evaluation:
    """Walk the reference list once. `collect(case, mask or None, row)` sees each slice, e.g. to keep
    pictures.

    Raises DataError: no slices, a slice named twice, shapes that differ, probabilities outside of 0..1.
    """
    walk = Walk(marking, collect)
    for case in cases:
        walk.add(case)
    return walk.evaluation()


class Walk:
    """`evaluate_slices` for lists that come slice by slice: `add` each of them, then take the
    `evaluation`.
    """

    def __init__(self, marking: ThresholdRule, collect=None):
        self.marking, self.collect = marking, collect
        self._slices, self._patients, self._seen = [], {}, set()
        self._heads, self._baselines = (), ()

    def add(self, case: SliceCase) -> dict:
        """Count a slice; its row. DataError as in `evaluate_slices`."""
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
                f"{case.image}: slice {case.slice_index} names heads {list(case.heads)} and baselines "
                f"{list(case.baselines)}; the first slice "
                f"names {list(self._heads)} and {list(self._baselines)}. Give every slice the same names, "
                f"None where one is missing."
            )
        self._seen.add(key)
        _check(case)
        counts = self._patients.setdefault(case.patient, PatientCounts(case.patient, case.site))
        row, mask = _slice_row(case, self.marking, counts)
        self._slices.append(row)
        if self.collect is not None:
            self.collect(case, mask, row)
        return row

    def evaluation(self) -> Evaluation:
        """All that was added. DataError when it is nothing."""
        if not self._slices:
            raise DataError(
                "The reference list is empty: there is no slice to evaluate. Name a split that holds cases."
            )
        rows_of = {name: [] for name in self._patients}
        for row in self._slices:
            rows_of[row["patient"]].append(row)
        counts = list(self._patients.values())
        rows = [_patient_row(each, rows_of[each.patient], self._heads + self._baselines) for each in counts]
        return Evaluation(self.marking, self._slices, rows, counts, self._heads, self._baselines)


def _slice_row(
    case: SliceCase, marking: ThresholdRule, counts: PatientCounts
) -> tuple[dict, np.ndarray | None]:
    organ = np.asarray(case.organ, bool)
    truth = case.truth if case.truth is None else np.asarray(case.truth, bool)
    if truth is None and case.label == 0:
        truth = np.zeros(organ.shape, bool)
    worst = organ if truth is None else organ & ~truth
    missing = case.probability is None
    probability = np.where(organ, worst if missing else case.probability, 0).astype(np.float32)
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
    }
    row |= {
        "missing": missing,
        "organ_px": int(organ.sum()),
        "truth_px": None,
        "marked_px": int(mask.sum()),
        "both_px": None,
    }
    row |= dict.fromkeys(("dice", "iou", "hd95_px", "hd95_mm", "pointing"))
    row["score"] = (
        float(case.label == 0)
        if missing and case.label is not None
        else image_score(probability, organ, marking.pooling_power)
    )
    row["marked_fraction"] = marked_fraction(mask, organ)
    counts.slices += 1
    counts.missing += missing
    if truth is not None:
        overlap = count_overlap(truth, mask)
        row |= {"truth_px": overlap.truth, "both_px": overlap.true_positive}
        if overlap.truth:
            in_plane = case.spacing_mm and tuple(case.spacing_mm[1:])
            row |= {"dice": dice(overlap), "iou": iou(overlap)}
            row["hd95_px"] = diagonal(organ.shape) if missing else hd95(truth, mask)
            if in_plane:
                row["hd95_mm"] = diagonal(organ.shape, in_plane) if missing else hd95(truth, mask, in_plane)
            row["pointing"] = 0.0 if missing else pointing_game(probability, truth, organ)
        _count_patient(case, marking, counts, truth, worst, probability, mask)
    return row, None if missing else mask if case.mask is None else case.mask


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
        name: worst if each is None else np.asarray(each, bool) & organ
        for name, each in case.baselines.items()
    }
    for name, marked in masks.items():
        found = count_overlap(truth, marked)
        _add(counts.overlaps, name, found)
        if found.truth:
            counts.slice_dice.setdefault(name, []).append(dice(found))
        elif (fraction := marked_fraction(marked, organ)) is not None:
            counts.normal_areas.setdefault(name, []).append(fraction)
    if case.spacing_mm is None or counts.truth_ml is None:
        counts.truth_ml = counts.marked_ml = None
    else:
        pixel_ml = math.prod(case.spacing_mm) / 1000
        counts.truth_ml += int(truth.sum()) * pixel_ml
        counts.marked_ml += int(mask.sum()) * pixel_ml


def _patient_row(counts: PatientCounts, rows: list[dict], others: tuple[str, ...]) -> dict:
    """A row of patients.csv: overlaps of a patient with a lesion, the marked share of one without, nothing of
    both together.
    """
    ours = counts.overlaps.get(OURS) if counts.complete else None
    row = {
        "patient": counts.patient,
        "site": counts.site,
        "slices": counts.slices,
        "slices_with_truth": counts.known,
        "missing": counts.missing,
    }
    row["slices_positive"] = sum(map(is_abnormal, rows))
    for name in ("truth", "marked", "both"):
        row[f"{name}_px"] = getattr(ours, name) if ours else None
    row |= {"truth_ml": counts.truth_ml if ours else None, "marked_ml": counts.marked_ml if ours else None}
    for name, score in (("dice", dice), ("iou", iou), ("sensitivity", sensitivity), ("precision", precision)):
        row[name] = score(ours) if counts.with_lesion else None
    outlined = [each for each in rows if each["truth_px"]]
    for name in ("hd95_px", "hd95_mm", "pointing"):
        values = [each[name] for each in outlined]
        row[name] = None if None in values else mean_of(values)
    row["normal_area"] = mean_of(each["marked_fraction"] for each in rows if is_normal(each))
    row |= {
        "outlined_slices": len(outlined),
        "dice_slice": mean_of(counts.slice_dice.get(OURS, ())),
        "marked_share": counts.marked_share(OURS),
    }
    row |= {f"dice_{name}": dice(counts.overlaps[name]) if counts.with_lesion else None for name in others}
    row |= {f"dice_slice_{name}": mean_of(counts.slice_dice.get(name, ())) for name in others}
    return row | {f"marked_share_{name}": counts.marked_share(name) for name in others}


def is_normal(row: dict) -> bool:
    """A slice that ought to stay unmarked: no truth pixel (without a mask: label 0)."""
    return row["truth_px"] == 0 if row["truth_px"] is not None else row["label"] == 0


def is_abnormal(row: dict) -> bool:
    """A slice with truth pixels (without a mask: a label above 0)."""
    return bool(row["label"] if row["truth_px"] is None else row["truth_px"])


def mean_of(values) -> float | None:
    """Mean of the values that are not None; None without any."""
    values = [value for value in values if value is not None]
    return float(np.mean(values)) if values else None


def write_rows(path, rows: list[dict]) -> None:
    """CSV with one header line; None is an empty field, floats have 6 significant digits."""
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors=HANDLER) as stream,
    ):
        stream.write(spreadsheet.line(rows[0]))
        for row in rows:
            stream.write(
                spreadsheet.line(
                    f"{value:.6g}" if isinstance(value, float) else value for value in row.values()
                )
            )


def _add(table: dict, name: str, value) -> None:
    table[name] = table[name] + value if name in table else value


def _check(case: SliceCase) -> None:
    """Shapes and ranges of one slice."""
    where = f"{case.image}: slice {case.slice_index} of patient {case.patient}"
    if OURS in case.heads or OURS in case.baselines or set(case.heads) & set(case.baselines):
        raise DataError(f'{where}: heads and baselines need names of their own, and "{OURS}" is taken.')
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
