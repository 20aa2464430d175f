"""Measure the lesion classes of a recipe: each class by itself, as if it were the only one, and all together.

All together: a pixel counts as marked whatever its class, and its probability is the highest of all classes.
By itself: truth, marks and probability of one class; a slice whose label excludes the class is normal for it.
So every metric of figures.py exists once more for each class that has a name. For a single class without a
name (UNNAMED) both are the same.
"""

from dataclasses import replace

import numpy as np

from clamnet_tf.datasets.classes import shown_classes
from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.reporting.wording import best_simple, headline_key, measured_on, number, within


def split_by_class(
    slice_case: SliceCase, maps: np.ndarray, heads: dict, trained, markers: str
) -> dict[str, SliceCase]:
    """Split a slice into one case for all classes together and one case per class.

    Args:
        slice_case: The slice without probability; its truth is a label map.
        maps: (H, W, classes) float 0..1 from trained.volume, on the original grid.
        heads: Name -> (H, W, classes) probabilities of that head of the network, measured for each class by
            itself.
        trained: inference.trained_model.Trained.
        markers: Names of the classes in the slice's label, joined by +. An abnormal slice that names none of
            them shows something else, so its label says nothing about these classes.

    Returns:
        {"": all classes together, name of a class: that class alone, ...}.
    """
    label = -1 if slice_case.label is None else slice_case.label
    present = shown_classes(np.array([label]), np.array([markers]), trained.classes)[0]
    known = slice_case.label == 0 or present.any()
    mask = trained.marking.mask(maps, slice_case.organ)
    together = replace(
        slice_case, probability=maps.max(axis=-1), mask=mask, label=slice_case.label if known else None
    )
    cases = {"": together}
    for index, name in enumerate(trained.classes):
        cases[name] = replace(
            slice_case,
            label=slice_case.label * int(present[index]) if known and slice_case.label is not None else None,
            probability=maps[..., index],
            mask=mask == index + 1,
            heads={head: head_maps[..., index] for head, head_maps in heads.items()},
            truth=None if slice_case.truth is None else slice_case.truth == index + 1,
        )
    return cases


def by_study(case: SliceCase) -> SliceCase:
    """Return the case of a slice whose label is that of its study: only its truth says what it shows itself.

    Every slice of a normal study is normal.
    """
    if not case.label:
        return replace(case, study_label=case.label)
    own = None if case.truth is None else int(np.any(case.truth))
    return replace(case, study_label=case.label, label=own)


def fit_sizes(classes, labels: np.ndarray, markers: np.ndarray) -> dict[str, tuple[np.ndarray, float]]:
    """Return the slices and the expected size to which intensity baselines are fitted.

    Args:
        classes: LesionClass of each class.
        labels: Labels of the abnormal training slices, column of a SliceTable.
        markers: Names of the classes in these slices' labels, column of a SliceTable.

    Returns:
        {"" or name of a class: ((slices,) bool, True where it is present; expected share of the organ,
        0..1)}.
    """
    present = shown_classes(labels, markers, [lesion_class.name for lesion_class in classes])
    sizes = {
        lesion_class.name: (present[:, index], lesion_class.prevalence)
        for index, lesion_class in enumerate(classes)
    }
    any_present = present.any(axis=1)
    together = present[any_present] @ np.array([lesion_class.prevalence for lesion_class in classes])
    return {
        "": (np.asarray(any_present), float(np.clip(together.mean(), 0, 1)) if any_present.any() else 1.0),
        **sizes,
    }


def add_columns(evaluation, of_classes: dict) -> None:
    """Add Dice, pixel counts and false marks of every class to the rows of slices and of patients."""
    for name, class_evaluation in of_classes.items():
        slice_keys = ("dice", "truth_px", "marked_px")
        for rows, class_rows, keys in (
            (evaluation.slices, class_evaluation.slices, slice_keys),
            (evaluation.patients, class_evaluation.patients, (*slice_keys, "marked_share")),
        ):
            for row, class_row in zip(rows, class_rows, strict=True):
                row |= {f"{name}_{key}": class_row[key] for key in keys}
        for row, class_row in zip(evaluation.slices, class_evaluation.slices, strict=True):
            row |= {f"{name}_label": class_row["label"], f"{name}_score": class_row["score"]}


def class_headline(metrics: dict) -> list[str]:
    """Return one line per named class: Dice with its interval, AUROC, false marks."""
    lines = []
    for name, class_metrics in metrics.get("markers", {}).items():
        key = headline_key(class_metrics)
        dice, best = class_metrics[key], best_simple(class_metrics)
        text = f"  {name}: Dice {number(dice['mean'], 3)}"
        text += (
            f" ({within(dice) or 'no interval'}) on {measured_on(class_metrics)}"
            if dice["mean"] is not None
            else ""
        )
        text += f", best simple method (picked with masks) {best[1][key]['mean']:.3f}" if best else ""
        area = (
            "no slice without it"
            if class_metrics["normal_area"] is None
            else f"marked area on slices without it {100 * class_metrics['normal_area']:.2f} %"
        )
        lines.append(f"{text}, slice AUROC {number(class_metrics['auroc_slice'], 3)}, {area}")
    return lines
