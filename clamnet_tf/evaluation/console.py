"""The lines that `fit` and `evaluate` print at their end, from the figures of metrics.json."""

from clamnet_tf.evaluation.per_class import class_headline
from clamnet_tf.reporting.wording import (
    best_simple,
    count,
    headline_key,
    measured_on,
    number,
    percent,
    verdict,
    within,
)


def headline(figures: dict) -> list[str]:
    """Ours, the whole organ and the best simple method beside it, the verdict, and false marks."""
    key = headline_key(figures)
    dice, lines = figures[key], []
    if dice["mean"] is None:
        lines.append(f"Dice not measured: {figures['reasons']['dice_volume']}.")
    elif key == "dice_slice":
        lines.append(
            f"Dice per outlined slice: {number(dice['mean'], 3)} ({within(dice) or 'no interval'}) on "
            f"{measured_on(figures)}; no patient is outlined whole"
        )
    else:
        bound = number(figures["oracle"]["dice_volume"]["mean"], 3)
        lines.append(
            f"Dice per patient volume: {number(dice['mean'], 3)} ({within(dice) or 'no interval'}) on "
            f"{measured_on(figures)}; "
            f"threshold {figures['threshold']:.3f} chosen without masks (best possible with masks: {bound})"
        )
    lines += _simple(figures, key)
    lines.append("  " + "; ".join(_false_marks(figures)))
    return [*lines, *(f"  Note: {note}" for note in figures.get("notes", ())), *class_headline(figures)]


def _simple(figures: dict, key: str) -> list[str]:
    """The whole organ, the best of the others, and the verdict."""
    scores = {
        name: row[key]["mean"] for name, row in figures["baselines"].items() if row[key]["mean"] is not None
    }
    lines = [f"  whole organ marked: {scores['whole_organ']:.3f}"] if "whole_organ" in scores else []
    best = best_simple(figures)
    if best is not None and len(scores) > 1:
        lines.append(
            f"  best of {count(len(scores), 'simple method')} (picked with masks): "
            f"{best[1][key]['mean']:.3f} ({best[0]})"
        )
    said = verdict(figures)
    return [*lines, f"  {said}"] if said else lines


def _false_marks(figures: dict):
    """What there is to say of slices and patients without a lesion."""
    yield f"slice AUROC {number(figures['auroc_slice'], 3)}"
    if figures["normal_area"] is None:
        yield "no normal slice to look for false marks"
    else:
        yield f"marked area on normal slices {100 * figures['normal_area']:.2f} % of the organ"
    if figures["specificity_patient"] is not None:
        patients = count(figures["patients_without_lesion"], "patient")
        yield f"{percent(figures['specificity_patient'])} of {patients} without a lesion left unmarked"
