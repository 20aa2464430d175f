"""The lesion classes of a recipe measured: each by itself, as if it were the only one, and all together.

Together: a pixel counts as marked whatever its class, its probability is the highest of all. By itself:
truth, marks and probability of one class; a slice whose label excludes it is normal for it. So every figure
of figures.py is there once more per class that has a name. A single class without one, UNNAMED, is both at
once.
"""

from dataclasses import replace

import numpy as np

from clamnet_tf.datasets.classes import shown_classes
from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.reporting.wording import best_simple, headline_key, measured_on, number, within


def split_by_class(
    whole: SliceCase, maps: np.ndarray, heads: dict, trained, markers: str
) -> dict[str, SliceCase]:
    """Return {"": all classes together, name of a class: it alone ..} of a slice.

    Args:
        whole: the slice without probability; its truth is a label map.
        maps: (H, W, M) of trained.volume, on the original grid.
        heads: name -> (H, W, M) of that head of the network, measured for each class by itself.
        trained: inference.trained_model.Trained.
        markers: names of classes in its label, joined by +; a slice that is abnormal and names none of them
            shows something else, so that its label says nothing here.
    """
    label = -1 if whole.label is None else whole.label
    shown = shown_classes(np.array([label]), np.array([markers]), trained.classes)[0]
    known = whole.label == 0 or shown.any()
    mask = trained.marking.mask(maps, whole.organ)
    together = replace(whole, probability=maps.max(axis=-1), mask=mask, label=whole.label if known else None)
    cases = {"": together}
    for index, name in enumerate(trained.classes):
        cases[name] = replace(
            whole,
            label=whole.label * int(shown[index]) if known and whole.label is not None else None,
            probability=maps[..., index],
            mask=mask == index + 1,
            heads={head: each[..., index] for head, each in heads.items()},
            truth=None if whole.truth is None else whole.truth == index + 1,
        )
    return cases


def fit_sizes(classes, labels: np.ndarray, markers: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
    """Return what intensity baselines are fitted to: {"" or name: (slices that show it, share of the organ)}.

    Args:
        classes: LesionClass of each class. labels, markers: columns of a SliceTable, at the abnormal training
            slices.
    """
    shown = shown_classes(labels, markers, [one.name for one in classes])
    found = {one.name: (shown[:, index], one.prevalence) for index, one in enumerate(classes)}
    some = shown.any(axis=1)
    together = shown[some] @ np.array([one.prevalence for one in classes])
    return {"": (some, float(np.clip(together.mean(), 0, 1)) if some.any() else 1.0), **found}


def add_columns(evaluation, of_classes: dict) -> None:
    """Add Dice, pixels and false marks of every class to the rows of slices and of patients."""
    for name, own in of_classes.items():
        both = ("dice", "truth_px", "marked_px")
        for rows, theirs, keys in (
            (evaluation.slices, own.slices, both),
            (evaluation.patients, own.patients, (*both, "marked_share")),
        ):
            for row, other in zip(rows, theirs, strict=True):
                row |= {f"{name}_{key}": other[key] for key in keys}
        for row, other in zip(evaluation.slices, own.slices, strict=True):
            row |= {f"{name}_label": other["label"], f"{name}_score": other["score"]}


def class_headline(figures: dict) -> list[str]:
    """Return a line per class that has a name: Dice with its interval, AUROC, false marks."""
    lines = []
    for name, own in figures.get("markers", {}).items():
        key = headline_key(own)
        dice, best = own[key], best_simple(own)
        text = f"  {name}: Dice {number(dice['mean'], 3)}"
        text += (
            f" ({within(dice) or 'no interval'}) on {measured_on(own)}" if dice["mean"] is not None else ""
        )
        text += f", best simple method (picked with masks) {best[1][key]['mean']:.3f}" if best else ""
        area = (
            "no slice without it"
            if own["normal_area"] is None
            else f"marked where it is not {100 * own['normal_area']:.2f} %"
        )
        lines.append(f"{text}, slice AUROC {number(own['auroc_slice'], 3)}, {area}")
    return lines
