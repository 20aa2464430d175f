"""Which slices the report shows, kept while the evaluation streams by; small copies, not the arrays
themselves.

Patients run from the best to the worst; of each: the slice with the largest lesion, its best and its worst
slice. At
the end come normal slices: those with the most false marks, and some spread evenly over the rest.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from clamnet_tf.evaluation.cases import SliceCase, is_normal
from clamnet_tf.reporting.overlays import by_number, display_gray

LIMIT = 60
NORMAL_SHARE = 5
"""One picture in so many is of a normal slice."""
SIDE = 320
"""Longest side of a kept copy, in pixels."""


@dataclass(frozen=True, eq=False)
class GalleryItem:
    """One slice as the report shows it: cut to the organ with a small margin and at most SIDE pixels long.
    Arrays (h, w).
    """

    patient: str
    name: str
    """What the slice is called, for example its file."""
    slice_index: int
    normal: bool
    """True: nothing ought to be marked."""
    gray: np.ndarray
    """uint8."""
    marked: np.ndarray | None
    """Bool, or the numbers of markers (uint8); None: the prediction is missing."""
    truth: np.ndarray | None = None
    """Likewise; None: no reference mask."""
    heat: np.ndarray | None = None
    """Probability, float 0..1."""
    dice: float | None = None
    patient_dice: float | None = None
    truth_px: int | None = None
    """On the original grid, as the next two."""
    marked_px: int | None = None
    marked_fraction: float | None = None
    """Of the organ."""
    role: str = ""
    """Why it is shown, in words."""


def gallery_item(
    case: SliceCase, mask: np.ndarray | None, row: dict, channel: int | None = None
) -> GalleryItem:
    """The small copy of one slice. case.picture must be there; `mask` (H, W) bool on the same grid, `row`
    from cases.py.
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
            value: shrink(one * np.uint8(255), Image.Resampling.BILINEAR) >= 128
            for value, one in by_number(array)
        }
        if not parts or np.asarray(array).dtype == bool:
            return parts.get(
                1, np.zeros(shrink(np.asarray(array, np.uint8), Image.Resampling.BILINEAR).shape, bool)
            )
        return np.max([np.where(one, np.uint8(value), np.uint8(0)) for value, one in parts.items()], axis=0)

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
    """Collects candidates: `evaluate_slices(..., collect=gallery.add)`, then
    `gallery.choose(evaluation.patients)`.

    Keeps at most four small copies per patient. A slice without a `picture` is passed over.
    """

    def __init__(self, limit: int = LIMIT, channel: int | None = None):
        self.limit, self.channel = limit, channel
        self._kept: dict[str, dict[str, tuple[float, GalleryItem]]] = {}

    def add(self, case: SliceCase, mask: np.ndarray | None, row: dict) -> None:
        """Look at one slice and keep a copy if it beats what is kept of its patient."""
        if case.picture is None or not row["organ_px"]:
            return
        item = None
        for role, value in _roles(row).items():
            kept = self._kept.setdefault(case.patient, {})
            if role not in kept or value > kept[role][0]:
                item = item or gallery_item(case, mask, row, self.channel)
                kept[role] = (value, item)

    def choose(self, patients: list[dict]) -> list[GalleryItem]:
        """At most `limit` items: abnormal slices of the patients best to worst, then normal ones, most false
        marks first.
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
            for kept in self._kept.values()
            for role, (_, item) in kept.items()
            if role == "most false marks"
        ]
        normals.sort(key=lambda item: -(item.marked_fraction or 0))
        room = min(
            len(normals),
            max(self.limit // NORMAL_SHARE, self.limit - sum(len(self._abnormal(name)) for name in ranked)),
        )
        normals = normals[: (room + 1) // 2] + _spread(normals[(room + 1) // 2 :], room // 2)
        ranked = _spread(ranked, self.limit - room)
        each, more = divmod(self.limit - room, len(ranked)) if ranked else (0, 0)
        shown = [
            item
            for place, name in enumerate(ranked)
            for item in self._abnormal(name)[: each + (place < more)]
        ]
        shown += [replace(item, role=_normal_role(item)) for item in normals]
        return [replace(item, patient_dice=scores[item.patient]) for item in shown]

    def _outlined(self, patient: str) -> float | None:
        """Dice of the largest outlined lesion of a patient whose volume has none, since other slices are not
        outlined; None without any.
        """
        return (
            self._kept[patient]["largest lesion"][1].dice if "largest lesion" in self._kept[patient] else None
        )

    def _abnormal(self, patient: str) -> list[GalleryItem]:
        """A patient's abnormal candidates, each slice once, the most telling first."""
        found = {}
        for role in ("largest lesion", "largest mark", "worst slice", "best slice"):
            if role in self._kept[patient]:
                item = self._kept[patient][role][1]
                known = found.get(id(item))
                found[id(item)] = replace(item, role=f"{known.role}, {role}" if known else role)
        return list(found.values())


def _roles(row: dict) -> dict[str, float]:
    """What a slice may be kept as, with the value by which it competes."""
    if is_normal(row):
        return {"most false marks": row["marked_fraction"] or 0.0}
    if row["dice"] is None:
        return {"largest mark": float(row["marked_px"])}
    return {"largest lesion": float(row["truth_px"]), "best slice": row["dice"], "worst slice": -row["dice"]}


def _normal_role(item: GalleryItem) -> str:
    if item.marked is None:
        return "normal slice without a prediction"
    return "normal slice, falsely marked" if item.marked_px else "normal slice, rightly left unmarked"


def _spread(values: list, count: int) -> list:
    """`count` of the values, evenly spaced, the first and the last among them."""
    if count >= len(values):
        return values
    return [
        values[place] for place in sorted(set(np.linspace(0, len(values) - 1, count).round().astype(int)))
    ]


def _around(organ: np.ndarray) -> tuple[slice, slice]:
    """Box of the organ with a margin of 4 %; the whole image when it is empty."""
    organ = np.asarray(organ, bool)
    if not organ.any():
        return slice(0, organ.shape[0]), slice(0, organ.shape[1])
    box = []
    for axis in (0, 1):
        places = np.flatnonzero(organ.any(axis=1 - axis))
        margin = max(2, round(0.04 * organ.shape[axis]))
        box.append(slice(max(0, places[0] - margin), min(organ.shape[axis], places[-1] + 1 + margin)))
    return box[0], box[1]
