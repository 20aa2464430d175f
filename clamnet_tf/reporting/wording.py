"""The figures in words that a radiologist reads, each with its interval."""

import math

FLOOR = 0.1
"""Mean Dice below which a method is said not to mark the lesion. Were mark and lesion equally large, less
than a tenth of either would be shared; the gallery of the report calls such a lesion missed as well. Which of
two methods below it is ahead is not worth a sentence."""


def number(value: float | None, digits: int = 2) -> str:
    """A score; "not measured" for None."""
    return "not measured" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share 0..1 in per cent: one digit after the point below 10 %, none above; 0.04 % is "below 0.1 %".
    The space does not break.
    """
    if value is None:
        return "not measured"
    if 0 < value < 0.0005:
        return "below 0.1\u00a0%"
    return f"{100 * value:.1f}\u00a0%" if 0 < value < 0.0995 else f"{100 * value:.0f}\u00a0%"


def within(interval: dict | None, form=number) -> str:
    """ "95 % interval 0.52 to 0.69", or an empty string when there is none."""
    if not interval or interval.get("low") is None:
        return ""
    return f"95\u00a0% interval {form(interval['low'])} to {form(interval['high'])}"


def distance_key(figures: dict) -> str:
    """Which of the two HD95 keys the figures hold."""
    return "hd95_mm" if "hd95_mm" in figures else "hd95_px"


def headline_key(figures: dict) -> str:
    """ "dice_volume", or "dice_slice" where no patient with a lesion is outlined whole but single slices
    are.
    """
    return (
        "dice_slice"
        if figures["dice_volume"]["mean"] is None and figures["dice_slice"]["mean"] is not None
        else "dice_volume"
    )


def difference_key(figures: dict) -> str:
    """Which difference of a baseline belongs to the headline."""
    return "difference_slice" if headline_key(figures) == "dice_slice" else "difference"


def measured_on(figures: dict) -> str:
    """ "12 patients with a lesion", or "10 outlined slices": what the headline is a mean over."""
    dice = figures[headline_key(figures)]
    return (
        count(dice["slices"], "outlined slice")
        if "slices" in dice
        else f"{count(dice['patients'], 'patient')} with a lesion"
    )


def best_simple(figures: dict) -> tuple[str, dict] | None:
    """(name, row) of the simple method with the highest headline Dice, picked with the masks; None when none
    was measured.
    """
    key = headline_key(figures)
    found = {name: row for name, row in figures["baselines"].items() if row[key]["mean"] is not None}
    return max(found.items(), key=lambda each: each[1][key]["mean"]) if found else None


def summary(figures: dict) -> list[str]:
    """The headline sentences, most important first; figures that were not measured are left out."""
    intervals, said = figures["intervals"], [*_overlap(figures)]
    if figures["pointing_game"] is not None:
        said.append(
            f"In {percent(figures['pointing_game'])} of the slices with a lesion, the most suspicious point "
            f"lies inside the lesion{_in(intervals['pointing_game'])}."
        )
    if figures["auroc_slice"] is not None:
        pairs = math.floor(100 * figures["auroc_slice"] + 0.5)
        said.append(
            f"Shown an abnormal and a normal slice, it gives the abnormal one the higher score in {pairs} "
            f"of 100 such pairs{_in(intervals['auroc_slice'])}."
        )
    if figures["normal_area"] is not None:
        said.append(
            f"On normal slices it falsely marks {percent(figures['normal_area'])} of the organ on average; "
            f"{percent(figures['specificity_slice'])} of these slices stay without any mark."
        )
    if figures["specificity_patient"] is not None:
        said.append(
            f"Of the {count(figures['patients_without_lesion'], 'patient')} without a lesion, "
            f"{percent(figures['specificity_patient'])} "
            f"stay without any mark{_in(intervals['specificity_patient'])}; "
            f"{percent(figures['normal_area_patient'])} of their organ is falsely marked on average."
        )
    if figures["slices_missing"]:
        said.append(
            f"{count(figures['slices_missing'], 'slice')} had no prediction and counted as the worst case "
            f"everywhere."
        )
    if figures["label_conflicts"]:
        said.append(
            f"On {count(figures['label_conflicts'], 'slice')} label and reference mask contradict each "
            f"other: check the labels."
        )
    return said


def _overlap(figures: dict) -> list[str]:
    """The headline Dice in a sentence, and what limits it."""
    key = headline_key(figures)
    dice, said = figures[key], []
    if dice["mean"] is None:
        return said
    known = [within(dice)] if within(dice) else []
    if key == "dice_volume":
        over = f"averaged over the {measured_on(figures)}"
        known.append(f"half of them reach {number(dice['median'])} or more")
    else:
        over = f"averaged over {measured_on(figures)}; no patient is outlined whole"
    said.append(
        f"Marked region and reference outline overlap with a Dice score of {number(dice['mean'])}, {over}"
        + (f" ({'; '.join(known)})." if known else ".")
    )
    if dice["mean"] < FLOOR:
        said.append(f"It does not mark the lesion: a Dice score below {number(FLOOR)} is hardly any overlap.")
    if key == "dice_volume" and figures["patients_incomplete"]:
        patients = count(figures["patients_incomplete"], "further patient")
        said.append(f"{patients} could not be counted there, since slices with a lesion are not outlined.")
    return said


def against(name: str, ours: float | None, theirs: float | None, difference: dict) -> tuple[str, str]:
    """(kind, sentence) on ours and another method's mean Dice, and the paired difference ours - theirs on the
    same patients or slices.

    better, worse; open: the interval of the difference includes 0, or there is none; neither: both lie below
    FLOOR, whatever the interval.
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


def verdict(figures: dict, called=str) -> str:
    """What the comparison with all simple methods together comes to, with its figures; empty without any.

    called: name of a method in metrics.json -> what it is called in the sentence.
    """
    best, key, difference = best_simple(figures), headline_key(figures), difference_key(figures)
    if best is None or figures[key]["mean"] is None:
        return ""
    ours, highest = figures[key]["mean"], best[1][key]["mean"]
    rows = {name: row for name, row in figures["baselines"].items() if row[key]["mean"] is not None}
    top = called(best[0]) + (", picked with the masks" if len(rows) > 1 else "")
    if max(ours, highest) < FLOOR:
        return (
            f"Neither the network nor any simple method marks the lesion: Dice {number(ours)}, and "
            f"{number(highest)} for the best of them ({called(best[0])})."
        )
    kinds = {name: against(name, ours, row[key]["mean"], row[difference])[0] for name, row in rows.items()}
    named = {kind: [called(name) for name, its in kinds.items() if its == kind] for kind in ("worse", "open")}
    where = f"on these {measured_on(figures)}"
    if not named["worse"] and not named["open"]:
        return (
            f"The network does better than every simple method {where}: Dice {number(ours)} against at most "
            f"{number(highest)} "
            f"({called(best[0])}); the intervals of all differences leave out 0."
        )
    parts = [f"The network does WORSE than {_listed(named['worse'])}"] if named["worse"] else []
    if named["open"]:
        parts.append(
            f"{'it' if parts else 'The network'} is NOT shown to be better than {_listed(named['open'])}"
        )
    failing = " It does not mark the lesion." if ours < FLOOR else ""
    return (
        f"{', and '.join(parts)} {where}: Dice {number(ours)}, and {number(highest)} for the best simple "
        f"method ({top}).{failing}"
    )


def whole_organ(figures: dict) -> str:
    """What marking the whole organ gives, beside the network's figure; empty where it was not measured."""
    key, row = headline_key(figures), figures["baselines"].get("whole_organ")
    if row is None or row[key]["mean"] is None or figures[key]["mean"] is None:
        return ""
    difference = row[difference_key(figures)]
    kind, _ = against("", figures[key]["mean"], row[key]["mean"], difference)
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
        f"{number(figures[key]['mean'])} "
        f"(difference {signed(difference['mean'])}{', ' + interval if interval else ''}): {reading}."
    )


def signed(value: float) -> str:
    """+0.02, −0.30; a difference that rounds to nothing is 0.00."""
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "\u2212")


def _listed(names: list[str]) -> str:
    """The first three, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def count(amount: int, thing: str) -> str:
    """ "1 slice", "12 slices"."""
    return f"{amount} {thing}" if amount == 1 else f"{amount} {thing}s"


def _in(interval: dict) -> str:
    text = within(interval, percent)
    return f" ({text})" if text else ""


def consistency(inference) -> str | None:
    """What is done to the maps of a volume after the network, from a recipe's `inference` section; None when
    nothing is.
    """
    steps = []
    if inference.axial_smoothing:
        steps.append(f"averaged over neighbouring slices (deviation {inference.axial_smoothing:g} slices)")
    if inference.keep_largest_component:
        twins = ", those with a twin on the other side weighing less" if inference.suppress_bilateral else ""
        steps.append(
            f"connected bodies lighter than {percent(inference.keep_largest_component)} of the heaviest left "
            f"out{twins}"
        )
    if inference.intensity_refinement:
        steps.append(f"adjusted to the volume's own intensities (weight {inference.intensity_refinement:g})")
    return "; ".join([*steps, "single heads are shown without this"]) if steps else None
