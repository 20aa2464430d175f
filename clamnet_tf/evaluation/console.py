"""Make the lines that `fit` and `evaluate` print at their end, from metrics.json."""

from clamnet_tf.evaluation.per_class import class_headline
from clamnet_tf.reporting.method_words import method_in_words
from clamnet_tf.reporting.wording import (
    best_simple,
    count,
    headline_key,
    measured_on,
    number,
    percent,
    taught_by_labels,
    verdict,
    within,
)


def headline(metrics: dict) -> list[str]:
    """Return the lines: whether anything was learned, our Dice, the whole organ and the best simple method,
    the verdict, false marks, classes.
    """
    key = headline_key(metrics)
    dice, lines = metrics[key], _learning(metrics)
    if dice["mean"] is None:
        lines.append(f"Dice not measured: {metrics['reasons']['dice_volume']}.")
    elif key == "dice_slice":
        lines.append(
            f"Dice per outlined slice: {number(dice['mean'], 3)} ({within(dice) or 'no interval'}) on "
            f"{measured_on(metrics)}; no patient is fully outlined"
        )
    else:
        bound = number(metrics["oracle"]["dice_volume"]["mean"], 3)
        lines.append(
            f"Dice per patient volume: {number(dice['mean'], 3)} ({within(dice) or 'no interval'}) on "
            f"{measured_on(metrics)}; "
            f"threshold {metrics['threshold']:.3f} chosen without masks (best possible with masks: {bound})"
        )
    lines += _simple(metrics, key)
    taught = taught_by_labels(metrics.get("labels", {}).get("taught"))
    if taught:
        patients = number(metrics["detection"]["patients"]["auroc"]["mean"], 3)
        lines.append(f"  {taught}; patient AUROC {patients} (highest slice score)")
    lines.append("  " + "; ".join(_false_marks(metrics)))
    if (asymmetry := metrics.get("asymmetry")) and asymmetry["auroc"]["mean"] is not None:
        value, plain = asymmetry["auroc"], asymmetry["auroc_score"]
        lines.append(
            f"  compared with the other breast ({asymmetry['rule']}): AUROC {number(value['mean'], 2)} "
            f"({within(value) or 'no interval'}) on {count(asymmetry['images'], 'image')}, "
            f"{number(plain['mean'], 2)} without the comparison"
        )
    if (lesions := metrics.get("lesions")) and lesions["recall"]["mean"] is not None:
        lines.append(
            f"  lesions found: {lesions['found']} of {lesions['lesions']} (F1 of lesions "
            f"{number(lesions['f1']['mean'], 2)})"
        )
    taught = metrics.get("masks", {}).get("taught", {}).get("patients", 0)
    if taught:
        lines.append(f"  masks of {count(taught, 'patient')} taught; none of them was measured")
    return [*lines, *(f"  Note: {note}" for note in metrics.get("notes", ())), *class_headline(metrics)]


def _learning(metrics: dict) -> list[str]:
    """Return the sentences of learning.json, the first one being the verdict; none without that file."""
    first, *more = metrics["learning"]["sentences"] if metrics.get("learning") else [None]
    return [] if first is None else [first, *(f"  {sentence}" for sentence in more)]


def _simple(metrics: dict, key: str) -> list[str]:
    """Return the lines on the whole organ, on the best simple method, and the verdict."""
    scores = {
        name: row[key]["mean"] for name, row in metrics["baselines"].items() if row[key]["mean"] is not None
    }
    lines = [f"  whole organ marked: {scores['whole_organ']:.3f}"] if "whole_organ" in scores else []
    best = best_simple(metrics)
    if best is not None and len(scores) > 1:
        lines.append(
            f"  best of {count(len(scores), 'simple method')} (picked with masks): "
            f"{best[1][key]['mean']:.3f} ({method_in_words(best[0])})"
        )
    sentence = verdict(metrics)
    return [*lines, f"  {sentence}"] if sentence else lines


def _false_marks(metrics: dict):
    """Yield one phrase per metric of slices and patients without a lesion."""
    yield f"slice AUROC {number(metrics['auroc_slice'], 3)}"
    if metrics["normal_area"] is None:
        yield "no normal slice to look for false marks"
    else:
        yield f"marked area on normal slices {100 * metrics['normal_area']:.2f} % of the organ"
    if metrics["specificity_patient"] is not None:
        patients = count(metrics["patients_without_lesion"], "patient")
        yield f"{percent(metrics['specificity_patient'])} of {patients} without a lesion left unmarked"
