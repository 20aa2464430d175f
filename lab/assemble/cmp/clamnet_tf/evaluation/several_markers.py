"""Several markers measured: each by itself, as if it were the only one, and all of them together as "marked or not".

Together: a pixel counts as marked whatever the marker, its probability is the highest of all. By itself: truth, marks and probability of one
marker; a slice whose label excludes it is normal for it. So every figure of figures.py is there once more per marker.
"""

from dataclasses import replace

import numpy as np

from clamnet_tf.data.markers import membership
from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.words import best_simple, headline_key, measured_on, number, within


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
    """Add Dice, pixels and false marks of every marker to the rows of all together, of slices and of patients."""
    for name, own in of_markers.items():
        both = ("dice", "truth_px", "marked_px")
        for rows, theirs, keys in ((evaluation.slices, own.slices, both), (evaluation.patients, own.patients, (*both, "marked_share"))):
            for row, other in zip(rows, theirs, strict=True):
                row |= {f"{name}_{key}": other[key] for key in keys}
        for row, other in zip(evaluation.slices, own.slices, strict=True):
            row |= {f"{name}_label": other["label"], f"{name}_score": other["score"]}


def marker_headline(figures: dict) -> list[str]:
    """A line per marker: Dice with its interval, AUROC, false marks."""
    lines = []
    for name, own in figures.get("markers", {}).items():
        key = headline_key(own)
        dice, best = own[key], best_simple(own)
        text = f"  {name}: Dice {number(dice['mean'], 3)}"
        text += f" ({within(dice) or 'no interval'}) on {measured_on(own)}" if dice["mean"] is not None else ""
        text += f", best simple method (picked with masks) {best[1][key]['mean']:.3f}" if best else ""
        area = "no slice without it" if own["normal_area"] is None else f"marked where it is not {100 * own['normal_area']:.2f} %"
        lines.append(f"{text}, slice AUROC {number(own['auroc_slice'], 3)}, {area}")
    return lines
