"""Choose the slices that the report shows, while the evaluation runs.

Small copies are kept, not the full arrays. Patients are ordered from best to worst; each contributes the
slice with the largest lesion, its best and its worst slice. Normal slices come last: those with the most
false marks, then some spread evenly over the rest.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from clamnet_tf.evaluation.cases import SliceCase, is_normal
from clamnet_tf.reporting.overlays import by_number, display_gray

LIMIT = 60
NORMAL_SHARE = 5
"""One picture in NORMAL_SHARE is of a normal slice."""
SIDE = 320
"""Longest side of a kept copy, in pixels."""


@dataclass(frozen=True, eq=False)
class GalleryItem:
    """Hold one slice as the report shows it, cropped to the organ with a small margin and at most SIDE pixels
    long.

    All arrays have the same shape (h, w).
    """

    patient: str
    name: str
    """Name of the slice, for example its file."""
    slice_index: int
    normal: bool
    """True: nothing should be marked."""
    gray: np.ndarray
    """Grey values, uint8."""
    marked: np.ndarray | None
    """Marked pixels: bool, or class numbers (uint8); None: the prediction is missing."""
    truth: np.ndarray | None = None
    """Reference mask: bool, or class numbers (uint8); None: there is no mask."""
    heat: np.ndarray | None = None
    """Probability, float 0..1."""
    dice: float | None = None
    patient_dice: float | None = None
    truth_px: int | None = None
    """Number of lesion pixels on the original grid."""
    marked_px: int | None = None
    marked_fraction: float | None = None
    """Marked share of the organ, 0..1; like `marked_px` on the original grid."""
    role: str = ""
    """Why the slice is shown, in words."""


def gallery_item(
    case: SliceCase, mask: np.ndarray | None, row: dict, channel: int | None = None
) -> GalleryItem:
    """Make the small copy of one slice.

    Args:
        case: Slice with a picture.
        mask: (H, W) bool or class numbers, on the grid of the case; None: the prediction is missing.
        row: Row of the slice, from evaluation.walk.
        channel: Channel to show; None: the middle one.
    """
    box = _around(case.organ)
    factor = min(1.0, SIDE / max(box[0].stop - box[0].start, box[1].stop - box[1].start))

    def shrink(array, mode):
        part = Image.fromarray(np.ascontiguousarray(array[box]))
        size = (max(1, round(part.width * factor)), max(1, round(part.height * factor)))
        return np.asarray(part if factor == 1 else part.resize(size, mode))

    def shrink_mask(array):
        if array is None:
            return None
        parts = {
            value: shrink(class_mask * np.uint8(255), Image.Resampling.BILINEAR) >= 128
            for value, class_mask in by_number(array)
        }
        if not parts or np.asarray(array).dtype == bool:
            return parts.get(
                1, np.zeros(shrink(np.asarray(array, np.uint8), Image.Resampling.BILINEAR).shape, bool)
            )
        return np.max(
            [np.where(class_mask, np.uint8(value), np.uint8(0)) for value, class_mask in parts.items()],
            axis=0,
        )

    heat = None
    if case.probability is not None:
        inside = np.where(case.organ, case.probability, 0).astype(np.float32)
        heat = shrink(inside, Image.Resampling.BILINEAR).astype(np.float16)
    return GalleryItem(
        patient=case.patient,
        name=case.image,
        slice_index=case.slice_index,
        normal=is_normal(row),
        gray=shrink(display_gray(case.picture, channel, case.organ), Image.Resampling.BICUBIC),
        marked=shrink_mask(mask),
        truth=shrink_mask(case.truth),
        heat=heat,
        **{name: row[name] for name in ("dice", "truth_px", "marked_px", "marked_fraction")},
    )


class Gallery:
    """Collect candidates during an evaluation and choose among them at its end.

    Use it as `evaluate_slices(..., collect=gallery.add)`, then `gallery.choose(evaluation.patients)`. At most
    four small copies per patient are kept. Slices without a `picture` are skipped.
    """

    def __init__(self, limit: int = LIMIT, channel: int | None = None):
        self.limit, self.channel = limit, channel
        self._kept: dict[str, dict[str, tuple[float, GalleryItem]]] = {}

    def add(self, case: SliceCase, mask: np.ndarray | None, row: dict) -> None:
        """Keep a copy of the slice if it beats what is kept of its patient."""
        if case.picture is None or not row["organ_px"]:
            return
        item = None
        for role, value in _roles(row).items():
            candidates = self._kept.setdefault(case.patient, {})
            if role not in candidates or value > candidates[role][0]:
                item = item or gallery_item(case, mask, row, self.channel)
                candidates[role] = (value, item)

    def choose(self, patients: list[dict]) -> list[GalleryItem]:
        """Return at most `limit` items.

        Abnormal slices come first, patients from best to worst; then normal slices, most false marks first.

        Args:
            patients: Rows of patients.csv.
        """
        scores = {row["patient"]: row["dice"] for row in patients}
        order = {
            name: self._outlined(name) if score is None else score
            for name, score in scores.items()
            if name in self._kept
        }
        ranked = sorted(
            (name for name in self._kept if self._abnormal(name)),
            key=lambda name: (order[name] is None, -(order[name] or 0)),
        )
        normals = [
            item
            for candidates in self._kept.values()
            for role, (_, item) in candidates.items()
            if role == "most false marks"
        ]
        normals.sort(key=lambda item: -(item.marked_fraction or 0))
        room = min(
            len(normals),
            max(self.limit // NORMAL_SHARE, self.limit - sum(len(self._abnormal(name)) for name in ranked)),
        )
        normals = normals[: (room + 1) // 2] + _spread(normals[(room + 1) // 2 :], room // 2)
        ranked = _spread(ranked, self.limit - room)
        per_patient, remainder = divmod(self.limit - room, len(ranked)) if ranked else (0, 0)
        items = [
            item
            for rank, name in enumerate(ranked)
            for item in self._abnormal(name)[: per_patient + (rank < remainder)]
        ]
        items += [replace(item, role=_normal_role(item)) for item in normals]
        return [replace(item, patient_dice=scores[item.patient]) for item in items]

    def _outlined(self, patient: str) -> float | None:
        """Return the Dice of the slice with the patient's largest outlined lesion, or None when there is
        none.

        It ranks patients whose volume has no Dice because not all slices are outlined.
        """
        return (
            self._kept[patient]["largest lesion"][1].dice if "largest lesion" in self._kept[patient] else None
        )

    def _abnormal(self, patient: str) -> list[GalleryItem]:
        """Return a patient's abnormal candidates, each slice once, the most informative first."""
        items = {}
        for role in ("largest lesion", "largest mark", "worst slice", "best slice"):
            if role in self._kept[patient]:
                item = self._kept[patient][role][1]
                earlier = items.get(id(item))
                items[id(item)] = replace(item, role=f"{earlier.role}, {role}" if earlier else role)
        return list(items.values())


def _roles(row: dict) -> dict[str, float]:
    """Return the roles for which a slice competes, each with the value by which it competes."""
    if is_normal(row):
        return {"most false marks": row["marked_fraction"] or 0.0}
    if row["dice"] is None:
        return {"largest mark": float(row["marked_px"])}
    return {"largest lesion": float(row["truth_px"]), "best slice": row["dice"], "worst slice": -row["dice"]}


def _normal_role(item: GalleryItem) -> str:
    """Describe a normal slice in words."""
    if item.marked is None:
        return "normal slice without a prediction"
    return "normal slice, falsely marked" if item.marked_px else "normal slice, rightly left unmarked"


def _spread(values: list, count: int) -> list:
    """Return `count` of the values, evenly spaced, including the first and the last."""
    if count >= len(values):
        return values
    return [
        values[index] for index in sorted(set(np.linspace(0, len(values) - 1, count).round().astype(int)))
    ]


def _around(organ: np.ndarray) -> tuple[slice, slice]:
    """Return the bounding box of the organ with a margin of 4 %; the whole image when there is no organ."""
    organ = np.asarray(organ, bool)
    if not organ.any():
        return slice(0, organ.shape[0]), slice(0, organ.shape[1])
    box = []
    for axis in (0, 1):
        occupied = np.flatnonzero(organ.any(axis=1 - axis))
        margin = max(2, round(0.04 * organ.shape[axis]))
        box.append(slice(max(0, occupied[0] - margin), min(organ.shape[axis], occupied[-1] + 1 + margin)))
    return box[0], box[1]
