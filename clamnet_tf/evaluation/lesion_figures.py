"""Compute the figures of metrics.json that count lesions: `lesions`, `froc` and `surface_dice`.

An image is a volume, where slices lie on one another, and otherwise a single slice. Recall, precision and F1
are measured on the images of patients with a lesion, false marks also on those of patients without one; the
two are never averaged together. FROC counts false positives on the images of both, as is usual.
"""

import numpy as np
from scipy import sparse

from clamnet_tf.evaluation import bootstrap
from clamnet_tf.evaluation.cases import Evaluation, PatientCounts
from clamnet_tf.evaluation.lesion_walk import CANDIDATE_SHARE
from clamnet_tf.metrics.components import MATCH_IOU, VolumeLesions
from clamnet_tf.metrics.detection import FALSE_PER_IMAGE, best_hits, froc, froc_curve
from clamnet_tf.metrics.ranking import EDGES
from clamnet_tf.metrics.surface import TOLERANCES_MM, TOLERANCES_PX

RULE = (
    f"components of pixels that touch at a side or a corner, through the slices of a volume; a lesion is "
    f"found when the intersection over union with a mark is at least {MATCH_IOU:g}, each mark and each "
    f"lesion taken once, the highest overlap first"
)
FROC_RULE = (
    f"candidates are the components of the probability map at {CANDIDATE_SHARE:g} of the threshold, scored "
    f"by their highest probability; one hits the lesion in which the pixel of that probability lies"
)
SURFACE_RULE = (
    "per slice with truth: share of the border pixels (4-neighbour outside) of truth and mask that lie "
    "within the tolerance of the other border; empty or missing mask = 0; mean over slices"
)
SIZES = ("small", "medium", "large")
BOUNDS = {"ml": (1.0, 10.0), "px": (1024.0, 9216.0)}
"""Smallest medium and smallest large lesion: in ml, or in pixels (of 32 x 32 and 96 x 96, as in COCO) where a
spacing is unknown."""
NO_IMAGE = "no image has a reference mask of every slice"
NO_LESION = "no image with a reference mask of every slice has a lesion"
NO_MARK = "nothing is marked in the patients with a lesion"
NO_SIZE = "no lesion and no false mark of this size"
_CURVE_POINTS = 120
_NONE = {"mean": None, "low": None, "high": None}


def lesion_metrics(evaluation: Evaluation, samples: int, seed: int) -> tuple[dict, dict]:
    """Return ({"lesions": ..., "froc": ..., "surface_dice": ...}, reasons for what is None).

    Args:
        evaluation: Result of the walk.
        samples: Number of bootstrap samples.
        seed: Seed of the bootstrap.
    """
    reasons: dict[str, str] = {}
    patients = [counts for counts in evaluation.counts if counts.lesions]
    unit = "px"
    if patients and all(volume.pixel_ml is not None for counts in patients for volume in counts.lesions):
        unit = "ml"
    return {
        "lesions": _lesions(evaluation, patients, unit, samples, seed, reasons),
        "froc": _froc(patients, evaluation.marking.threshold, samples, seed, reasons),
        "surface_dice": _surface(evaluation, samples, seed, reasons),
    }, reasons


def _lesions(evaluation, patients: list[PatientCounts], unit: str, samples, seed, reasons) -> dict:
    """Return recall, precision and F1 of lesions, overall and by size, and false marks per image."""
    tables = np.array([_table(counts, unit) for counts in patients]).reshape(-1, len(SIZES), 3)
    with_lesion = np.array([_lesion_count(counts) > 0 for counts in patients], bool)
    images = np.array([len(counts.lesions) for counts in patients], int)
    false = tables[..., 2].sum(axis=1)
    if not patients:
        reasons["lesions"] = NO_IMAGE
    elif not with_lesion.any():
        reasons["lesions"] = NO_LESION
    overall = _scores(tables[with_lesion].sum(axis=1), samples, seed)
    for name, score in overall.items():
        if score["mean"] is None:
            reasons[f"lesions.{name}"] = reasons.get("lesions", NO_MARK)
    sizes = []
    for index, name in enumerate(SIZES):
        part = tables[with_lesion, index]
        scores = _scores(part, samples, seed)
        if not part.any():
            reasons[f"lesions.{name}"] = reasons.get("lesions", NO_SIZE)
        bounds = (0.0, *BOUNDS[unit], None)
        sizes.append(
            {"name": name, "from": bounds[index], "below": bounds[index + 1]}
            | {"lesions": int(part[:, :2].sum()), "false_marks": int(part[:, 2].sum()), **scores}
        )
    false_marks = {
        key: _pooled(false[group], images[group], samples, seed) | {"images": int(images[group].sum())}
        for key, group in (("with_lesion", with_lesion), ("without_lesion", ~with_lesion))
    }
    return {
        "rule": RULE,
        "patients": int(with_lesion.sum()),
        "images": int(images[with_lesion].sum()),
        "volumes": sum(volume.slices > 1 for counts in patients for volume in counts.lesions),
        "images_incomplete": sum(counts.volumes_incomplete for counts in evaluation.counts),
        "lesions": int(tables[..., :2].sum()),
        "found": int(tables[..., 0].sum()),
        "marks": int(tables[with_lesion][..., [0, 2]].sum()),
        **overall,
        "false_marks_per_image": false_marks,
        "size_unit": unit,
        "by_size": sizes,
    }


def _table(counts: PatientCounts, unit: str) -> np.ndarray:
    """Count the lesions of one patient: (sizes, 3) found lesions, missed lesions, false marks of each size.

    A right mark counts with its lesion, a false one by its own size.
    """
    table = np.zeros((len(SIZES), 3), int)
    for volume in counts.lesions:
        scale = volume.pixel_ml if unit == "ml" and volume.pixel_ml is not None else 1.0
        lesion_size, mark_size = (
            np.searchsorted(BOUNDS[unit], sizes * scale, side="right")
            for sizes in (volume.lesion_sizes, volume.mark_sizes)
        )
        np.add.at(table, (lesion_size, np.where(volume.lesion_found, 0, 1)), 1)
        np.add.at(table, (mark_size[~volume.mark_right], 2), 1)
    return table


def _scores(table: np.ndarray, samples: int, seed: int) -> dict:
    """Return recall, precision and F1 with intervals from (patients, 3) found, missed and false."""
    found, missed, false = table.astype(float).T.reshape(3, -1)
    return {
        "recall": _pooled(found, found + missed, samples, seed),
        "precision": _pooled(found, found + false, samples, seed),
        "f1": _pooled(2 * found, 2 * found + missed + false, samples, seed),
    }


def _pooled(sums, counts, samples: int, seed: int) -> dict:
    """Return sum(sums) / sum(counts) with its interval over patients, all None when there is nothing."""
    return dict(_NONE) if not np.sum(counts) else bootstrap.pooled(sums, counts, samples, seed)._asdict()


def _lesion_count(counts: PatientCounts) -> int:
    return sum(volume.lesion_sizes.size for volume in counts.lesions)


def _froc(patients: list[PatientCounts], threshold: float, samples: int, seed: int, reasons: dict) -> dict:
    """Return the FROC: sensitivity at each number of false positives per image, their mean and the curve."""
    lesions = np.array([_lesion_count(counts) for counts in patients], float)
    images = np.array([len(counts.lesions) for counts in patients], float)
    row = {
        "rule": FROC_RULE,
        "candidate_cut": CANDIDATE_SHARE * float(threshold),
        "patients": len(patients),
        "images": int(images.sum()),
        "images_without_lesion": sum(
            not volume.lesion_sizes.size for counts in patients for volume in counts.lesions
        ),
        "lesions": int(lesions.sum()),
    }
    if not lesions.sum():
        reasons["froc"] = NO_LESION if patients else NO_IMAGE
        return row | {
            "points": [{"false_per_image": limit, **_NONE} for limit in FALSE_PER_IMAGE],
            "cpm": dict(_NONE),
            "curve": [],
        }
    found, false = _candidate_counts(patients)
    drawn = bootstrap.multiplicities(len(patients), samples, seed)
    resampled = np.concatenate(
        [
            froc((found.T @ part.T).T, (false.T @ part.T).T, part @ lesions, part @ images)
            for part in np.array_split(drawn, 20)
        ]
    )
    totals = (found.sum(axis=0), false.sum(axis=0), lesions.sum(), images.sum())
    values = froc(*(np.asarray(total) for total in totals))
    points = [
        {"false_per_image": limit}
        | bootstrap.between(float(value), resampled[:, index], len(patients))._asdict()
        for index, (limit, value) in enumerate(zip(FALSE_PER_IMAGE, values))
    ]
    cpm = bootstrap.between(float(values.mean()), resampled.mean(axis=1), len(patients))
    sensitivity, per_image = froc_curve(*(np.asarray(total) for total in totals))
    return row | {"points": points, "cpm": cpm._asdict(), "curve": _curve(per_image, sensitivity)}


def _candidate_counts(patients: list[PatientCounts]):
    """Return found lesions and false positives by score, two sparse arrays (patients, bins of EDGES)."""
    places: list[tuple[list, list]] = [([], []), ([], [])]
    for index, counts in enumerate(patients):
        for volume in counts.lesions:
            for (rows, columns), scores in zip(places, _best_hits(volume)):
                bins = np.searchsorted(EDGES, np.asarray(scores, np.float32), side="right") - 1
                rows += [index] * bins.size
                columns += bins.tolist()
    return [
        sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(patients), EDGES.size)).tocsr()
        for rows, columns in places
    ]


def _best_hits(volume: VolumeLesions):
    return best_hits(volume.candidate_scores, volume.candidate_lesion)


def _curve(per_image: np.ndarray, sensitivity: np.ndarray) -> list[list[float]]:
    """Return the corners of the curve as [false positives per image, sensitivity], at most _CURVE_POINTS, up
    to twice the last of FALSE_PER_IMAGE.
    """
    pairs = np.unique(np.stack([per_image, sensitivity], axis=1), axis=0)
    pairs = pairs[pairs[:, 0] <= 2 * FALSE_PER_IMAGE[-1]]
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), _CURVE_POINTS)).round().astype(int))
    return pairs[chosen].tolist()


def _surface(evaluation: Evaluation, samples: int, seed: int, reasons: dict) -> dict:
    """Return the normalised surface Dice at each tolerance, mean over slices with a lesion."""
    rows = [row for row in evaluation.slices if row["truth_px"]]
    mm = bool(rows) and all(row["hd95_mm"] is not None for row in rows)
    unit, tolerances = ("mm", TOLERANCES_MM) if mm else ("px", TOLERANCES_PX)
    names = sorted({row["patient"] for row in rows})
    index = {name: number for number, name in enumerate(names)}
    patient = np.array([index[row["patient"]] for row in rows], int)
    if not rows:
        reasons["surface_dice"] = "no slice has a lesion in its reference mask"
    at = []
    for tolerance in tolerances:
        values = np.array([row[f"nsd_{tolerance}{unit}"] for row in rows], float)
        sums = np.bincount(patient, weights=values, minlength=len(names))
        counts = np.bincount(patient, minlength=len(names))
        at.append({"tolerance": tolerance, **_pooled(sums, counts, samples, seed)})
    return {
        "rule": SURFACE_RULE,
        "unit": unit,
        "slices": len(rows),
        "patients": len(names),
        "tolerances": at,
    }
