"""Several markers measured: each by itself, as if it were the only one, and all of them together as "marked or not".

Together: a pixel counts as marked whatever the marker, its probability is the highest of all. By itself: truth, marks and probability of one
marker; a slice whose label excludes it is normal for it. So every figure of figures.py is there once more per marker.
"""

from dataclasses import replace

import numpy as np

from clamnet_tf.data.markers import membership
from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.words import number, within


def split_by_marker(whole: SliceCase, maps: np.ndarray, trained, markers: str) -> dict[str, SliceCase]:
    """{"": all together, name: one marker ..} of a slice.

    whole: without probability; its truth holds the numbers of markers. maps: (H, W, M) of trained.volume. markers: those that its label
    names, joined by +; a slice that is abnormal and names none shows something else, so that its label says nothing here.
    """
    mask = trained.marking.mask(maps, whole.organ)
    known = whole.label == 0 or bool(markers)
    shown = membership(np.array([markers]), trained.markers)[0]
    cases = {"": replace(whole, probability=maps.max(axis=-1), mask=mask, label=whole.label if known else None)}
    for place, name in enumerate(trained.markers):
        cases[name] = replace(
            whole,
            label=int(shown[place]) if known and whole.label is not None else None,
            probability=maps[..., place],
            mask=mask == place + 1,
            truth=None if whole.truth is None else whole.truth == place + 1,
        )
    return cases


def fit_sizes(markers, column: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
    """What intensity baselines are fitted to: {"" or name: (which of the abnormal training slices, share of the organ)}.

    markers: of recipe.markers.markers_of. column: of a SliceTable, at the abnormal training slices.
    """
    shown = membership(column, [one.name for one in markers])
    found = {one.name: (shown[:, place], one.prevalence) for place, one in enumerate(markers)}
    some = shown.any(axis=1)
    together = shown[some] @ np.array([one.prevalence for one in markers])
    return {"": (some, float(np.clip(together.mean(), 0, 1)) if some.any() else 1.0), **found}


def add_columns(evaluation, of_markers: dict) -> None:
    """Dice and pixels of every marker beside those of all together, in the rows of slices and of patients."""
    for name, own in of_markers.items():
        for rows, theirs in ((evaluation.slices, own.slices), (evaluation.patients, own.patients)):
            for row, other in zip(rows, theirs, strict=True):
                row |= {f"{name}_{key}": other[key] for key in ("dice", "truth_px", "marked_px")}
        for row, other in zip(evaluation.slices, own.slices, strict=True):
            row |= {f"{name}_label": other["label"], f"{name}_score": other["score"]}


def marker_headline(figures: dict) -> list[str]:
    """A line per marker: Dice with its interval, AUROC, false marks."""
    lines = []
    for name, own in figures.get("markers", {}).items():
        dice = own["dice_volume"]
        text = f"  {name}: Dice {number(dice['mean'], 3)}" + (f" ({within(dice)}) on {dice['patients']} patients" if dice["mean"] is not None else "")
        scores = [entry["dice_volume"]["mean"] for entry in own["baselines"].values() if entry["dice_volume"]["mean"] is not None]
        text += f", best intensity baseline (picked with masks) {max(scores):.3f}" if scores else ""
        lines.append(f"{text}, slice AUROC {number(own['auroc_slice'], 3)}, marked where it is not {100 * (own['normal_area'] or 0):.2f} %")
    return lines
