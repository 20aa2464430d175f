"""Put metrics into words that a radiologist reads, each with its interval."""

import math
from pathlib import Path

from clamnet_tf.reporting.method_words import method_in_words

FLOOR = 0.1
"""Mean Dice below which a method is reported as not marking the lesion. If mark and lesion were equally
large, less than a tenth of either would overlap; the gallery of the report calls such a lesion missed, too.
Which of two methods below it scores higher is not reported.
"""


def number(value: float | None, digits: int = 2) -> str:
    """Format a score; None becomes "not measured"."""
    return "not measured" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """Format a share 0..1 in per cent, with a non-breaking space.

    Below 10 % there is one digit after the point, above there is none; 0.04 % becomes "below 0.1 %", None
    "not measured".
    """
    if value is None:
        return "not measured"
    if 0 < value < 0.0005:
        return "below 0.1\u00a0%"
    return f"{100 * value:.1f}\u00a0%" if 0 < value < 0.0995 else f"{100 * value:.0f}\u00a0%"


def within(interval: dict | None, form=number) -> str:
    """Return "95 % interval 0.52 to 0.69", or an empty string when there is no interval."""
    if not interval or interval.get("low") is None:
        return ""
    return f"95\u00a0% interval {form(interval['low'])} to {form(interval['high'])}"


def distance_key(metrics: dict) -> str:
    """Return which of the two HD95 keys the metrics have."""
    return "hd95_mm" if "hd95_mm" in metrics else "hd95_px"


def headline_key(metrics: dict) -> str:
    """Return the key of the headline metric.

    It is "dice_volume", or "dice_slice" where single slices are outlined but no patient with a lesion is
    fully outlined.
    """
    return (
        "dice_slice"
        if metrics["dice_volume"]["mean"] is None and metrics["dice_slice"]["mean"] is not None
        else "dice_volume"
    )


def difference_key(metrics: dict) -> str:
    """Return the key of a baseline's difference that belongs to the headline metric."""
    return "difference_slice" if headline_key(metrics) == "dice_slice" else "difference"


def measured_on(metrics: dict) -> str:
    """Say what the headline is a mean over: "12 patients with a lesion" or "10 outlined slices"."""
    dice = metrics[headline_key(metrics)]
    return (
        count(dice["slices"], "outlined slice")
        if "slices" in dice
        else f"{count(dice['patients'], 'patient')} with a lesion"
    )


def best_simple(metrics: dict) -> tuple[str, dict] | None:
    """Return (name, row) of the simple method with the highest headline Dice, or None when none was measured.

    The choice uses the masks.
    """
    key = headline_key(metrics)
    measured = {name: row for name, row in metrics["baselines"].items() if row[key]["mean"] is not None}
    return max(measured.items(), key=lambda item: item[1][key]["mean"]) if measured else None


def _near(metrics: dict) -> str:
    """Say in how many slices the highest probability is in or near the lesion.

    Evaluations of earlier versions did not measure it.
    """
    near = metrics.get("pointing_near")
    if near is None:
        return ""
    return (
        f", and in {percent(near)} inside or within 1/28 of the image's longer side of it"
        f"{_in(metrics['intervals']['pointing_near'])}"
    )


def summary(metrics: dict) -> list[str]:
    """Return the headline sentences, most important first; metrics that were not measured are left out."""
    intervals, sentences = metrics["intervals"], [*_overlap(metrics)]
    if metrics["pointing_game"] is not None:
        sentences.append(
            f"In {percent(metrics['pointing_game'])} of the slices with a lesion, the pixel of highest "
            f"probability lies inside the lesion{_in(intervals['pointing_game'])}{_near(metrics)}."
        )
    if metrics["auroc_slice"] is not None:
        pairs = math.floor(100 * metrics["auroc_slice"] + 0.5)
        sentences.append(
            f"Given an abnormal and a normal slice, the network scores the abnormal one higher in {pairs} "
            f"of 100 such pairs{_in(intervals['auroc_slice'])}."
        )
    if metrics["normal_area"] is not None:
        sentences.append(
            f"On normal slices it falsely marks {percent(metrics['normal_area'])} of the organ on average; "
            f"{percent(metrics['specificity_slice'])} of these slices have no mark at all."
        )
    if metrics["specificity_patient"] is not None:
        sentences.append(
            f"Of the {count(metrics['patients_without_lesion'], 'patient')} without a lesion, "
            f"{percent(metrics['specificity_patient'])} "
            f"have no mark at all{_in(intervals['specificity_patient'])}; "
            f"on average {percent(metrics['normal_area_patient'])} of their organ is falsely marked."
        )
    if metrics["slices_missing"]:
        sentences.append(
            f"{count(metrics['slices_missing'], 'slice')} had no prediction and counted as the worst case in "
            f"every metric."
        )
    if metrics["label_conflicts"]:
        sentences.append(
            f"In {count(metrics['label_conflicts'], 'slice')} the label and the reference mask contradict "
            f"each other: check the labels."
        )
    return sentences


def _overlap(metrics: dict) -> list[str]:
    """Return sentences on the headline Dice and on what limits it."""
    key = headline_key(metrics)
    dice, sentences = metrics[key], []
    if dice["mean"] is None:
        return sentences
    details = [within(dice)] if within(dice) else []
    if key == "dice_volume":
        over = f"averaged over the {measured_on(metrics)}"
        details.append(f"half of them reach {number(dice['median'])} or more")
    else:
        over = f"averaged over {measured_on(metrics)}; no patient is fully outlined"
    sentences.append(
        f"The marked region and the reference overlap with a Dice score of {number(dice['mean'])}, {over}"
        + (f" ({'; '.join(details)})." if details else ".")
    )
    if dice["mean"] < FLOOR:
        sentences.append(
            f"It does not mark the lesion: a Dice score below {number(FLOOR)} is hardly any overlap."
        )
    if key == "dice_volume" and metrics["patients_incomplete"]:
        patients = count(metrics["patients_incomplete"], "further patient")
        sentences.append(f"{patients} could not be included, because slices with a lesion are not outlined.")
    return sentences


def against(name: str, ours: float | None, theirs: float | None, difference: dict) -> tuple[str, str]:
    """Compare ours with another method.

    Args:
        name: Name of the other method.
        ours: Our mean Dice, or None.
        theirs: The other method's mean Dice, or None.
        difference: mean, low and high of the paired differences ours - theirs, on the same patients or
            slices.

    Returns:
        (kind, sentence). The kind is "better" or "worse"; "open" when the interval of the difference includes
        0 or does not exist; "neither" when both lie below FLOOR, whatever the interval.
    """
    if None not in (ours, theirs) and max(ours, theirs) < FLOOR:
        return "neither", f"neither it nor {name} marks the lesion"
    if difference["mean"] is None or difference["low"] is None:
        return "open", "no interval, so nothing is shown"
    if difference["low"] > 0:
        return "better", f"better than {name}"
    if difference["high"] < 0:
        return "worse", f"worse than {name}"
    return "open", f"not shown to differ from {name}: the interval includes 0"


def verdict(metrics: dict) -> str:
    """Summarise the comparison with all simple methods, with its numbers; empty when there is nothing to
    compare.

    Args:
        metrics: Content of metrics.json.
    """
    best, key, difference = best_simple(metrics), headline_key(metrics), difference_key(metrics)
    if best is None or metrics[key]["mean"] is None:
        return ""
    ours, highest = metrics[key]["mean"], best[1][key]["mean"]
    rows = {name: row for name, row in metrics["baselines"].items() if row[key]["mean"] is not None}
    top = method_in_words(best[0]) + (", picked with the masks" if len(rows) > 1 else "")
    if max(ours, highest) < FLOOR:
        return (
            f"Neither the network nor any simple method marks the lesion: Dice {number(ours)}, and "
            f"{number(highest)} for the best of them ({method_in_words(best[0])})."
        )
    kinds = {name: against(name, ours, row[key]["mean"], row[difference])[0] for name, row in rows.items()}
    methods_of = {
        kind: [method_in_words(name) for name, method_kind in kinds.items() if method_kind == kind]
        for kind in ("worse", "open")
    }
    where = f"on these {measured_on(metrics)}"
    if not methods_of["worse"] and not methods_of["open"]:
        return (
            f"The network does better than every simple method {where}: Dice {number(ours)} against at most "
            f"{number(highest)} ({method_in_words(best[0])}); no interval of a difference includes 0."
        )
    parts = [f"The network does WORSE than {_listed(methods_of['worse'])}"] if methods_of["worse"] else []
    if methods_of["open"]:
        parts.append(
            f"{'it' if parts else 'The network'} is NOT shown to be better than {_listed(methods_of['open'])}"
        )
    failing = " It does not mark the lesion." if ours < FLOOR else ""
    return (
        f"{', and '.join(parts)} {where}: Dice {number(ours)}, and {number(highest)} for the best simple "
        f"method ({top}).{failing}"
    )


def whole_organ(metrics: dict) -> str:
    """Compare the network with marking the whole organ; empty where that was not measured."""
    key, row = headline_key(metrics), metrics["baselines"].get("whole_organ")
    if row is None or row[key]["mean"] is None or metrics[key]["mean"] is None:
        return ""
    difference = row[difference_key(metrics)]
    kind, _ = against("", metrics[key]["mean"], row[key]["mean"], difference)
    reading = {
        "better": "the network does better",
        "worse": "the network does WORSE",
        "neither": "neither marks the lesion",
        "open": "no difference is shown"
        if difference["low"] is not None
        else "there is no interval, so nothing is shown",
    }[kind]
    interval = within(difference, signed)
    return (
        f"Marking the whole organ gives a Dice score of {number(row[key]['mean'])} where the network has "
        f"{number(metrics[key]['mean'])} "
        f"(difference {signed(difference['mean'])}{', ' + interval if interval else ''}): {reading}."
    )


def signed(value: float) -> str:
    """Format a difference: +0.02, −0.30; one that rounds to zero is 0.00."""
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "\u2212")


def _listed(names: list[str]) -> str:
    """List the first three names and say how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def count(amount: int, thing: str) -> str:
    """Format a number of things: "1 slice", "12 slices"."""
    return f"{amount} {thing}" if amount == 1 else f"{amount} {thing}s"


def _in(interval: dict) -> str:
    """Return an interval in parentheses, with a leading space, or an empty string."""
    text = within(interval, percent)
    return f" ({text})" if text else ""


def levels(counts: dict) -> str:
    """Return what labels speak of: "slice", "study" or "slice and study".

    Args:
        counts: Number of slices by "slice" and "study".
    """
    return " and ".join(level for level in ("slice", "study") if counts.get(level)) or "slice"


def taught_by_labels(level: str | None) -> str:
    """Say which kind of label taught; empty for labels of slices alone, and for masks.

    Args:
        level: As `levels` returns it; None: masks taught.
    """
    return {
        "study": "Labels of studies taught: which slices of an abnormal study show the lesion was estimated",
        "slice and study": "Labels of slices and of studies taught: which slices of an abnormal study show "
        "the lesion was estimated",
    }.get(level or "", "")


def consistency(inference) -> str | None:
    """Say what is done to the maps of a volume after the network; None when nothing is.

    Args:
        inference: Section `inference` of a recipe.
    """
    steps = []
    if inference.axial_smoothing:
        steps.append(f"smoothed across slices (standard deviation {inference.axial_smoothing:g} slices)")
    if inference.keep_largest_component:
        twins = (
            "; components with a mirror image on the other side weigh less"
            if inference.suppress_bilateral
            else ""
        )
        steps.append(
            f"connected components below {percent(inference.keep_largest_component)} of the heaviest one "
            f"removed{twins}"
        )
    if inference.intensity_refinement:
        steps.append(f"adjusted to the volume's own intensities (weight {inference.intensity_refinement:g})")
    if inference.volume_threshold == "border_contrast":
        steps.append(
            "in each volume, grown or shrunk to where the image has the most contrast across the border"
        )
    return "; ".join([*steps, "the table of heads is without these steps"]) if steps else None


def data_name(data: dict) -> str:
    """Return the name of the data of metrics.json; evaluations before 28 November 2026 have their folder
    alone.

    Args:
        data: its part `data`.
    """
    return data.get("name") or Path(data["root"]).name


def atlas_comparison(section) -> str | None:
    """Say what an atlas of normal slices compares each pixel with; None without an atlas.

    Args:
        section: Section `data.normal_atlas` of a recipe, or None.
    """
    if section is None:
        return None
    normal = "the same position in the organ" if section.places else "the whole organ"
    return f"deviation from an atlas of normal training slices, each pixel compared with {normal}"
