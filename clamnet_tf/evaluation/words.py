"""The figures in words that a radiologist reads, each with its interval."""

import math


def number(value: float | None, digits: int = 2) -> str:
    """A score; "not measured" for None."""
    return "not measured" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share 0..1 in per cent: one digit after the point below 10 %, none above; 0.04 % is "below 0.1 %". The space does not break."""
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


def summary(figures: dict) -> list[str]:
    """The headline sentences, most important first; figures that were not measured are left out."""
    intervals, said = figures["intervals"], []
    primary = figures["dice_volume"]
    if primary["mean"] is not None:
        interval = within(primary)
        said.append(
            f"Marked region and reference outline overlap with a Dice score of {number(primary['mean'])} per patient on average "
            f"({interval + '; ' if interval else ''}half of the patients reach {number(primary['median'])} or more)."
        )
    if figures["pointing_game"] is not None:
        said.append(f"In {percent(figures['pointing_game'])} of the slices with a lesion, the most suspicious point lies inside the lesion{_in(intervals['pointing_game'])}.")
    if figures["auroc_slice"] is not None:
        pairs = math.floor(100 * figures["auroc_slice"] + 0.5)
        said.append(f"Shown an abnormal and a normal slice, it gives the abnormal one the higher score in {pairs} of 100 such pairs{_in(intervals['auroc_slice'])}.")
    if figures["normal_area"] is not None:
        said.append(
            f"On normal slices it falsely marks {percent(figures['normal_area'])} of the organ on average; "
            f"{percent(figures['specificity_slice'])} of these slices stay without any mark."
        )
    if figures["slices_missing"]:
        said.append(f"{count(figures['slices_missing'], 'slice')} had no prediction and counted as the worst case everywhere.")
    if figures["label_conflicts"]:
        said.append(f"On {count(figures['label_conflicts'], 'slice')} label and reference mask contradict each other: check the labels.")
    return said


def against(name: str, difference: dict) -> tuple[str, str]:
    """(kind, sentence) on the paired difference ours - theirs: better, worse or open when the interval includes 0."""
    if difference["mean"] is None or difference["low"] is None:
        return "open", "no interval, so nothing is shown"
    if difference["low"] > 0:
        return "better", f"better than {name}"
    if difference["high"] < 0:
        return "worse", f"worse than {name}"
    return "open", f"not shown to differ from {name}: the interval includes 0"


def verdict(baselines: dict) -> str:
    """One sentence on all the simple methods together; empty without any."""
    if not baselines:
        return ""
    kinds = {name: against(name, row["difference"])[0] for name, row in baselines.items()}
    if set(kinds.values()) == {"better"}:
        return "The network does better than every simple method on these patients, and the intervals of the differences leave out 0."
    short = [name for name, kind in kinds.items() if kind != "better"]
    listed = ", ".join(short[:3]) + (f" and {len(short) - 3} more" if len(short) > 3 else "")
    return f"The network is NOT shown to be better than {listed}: read the result accordingly."


def count(amount: int, thing: str) -> str:
    """ "1 slice", "12 slices"."""
    return f"{amount} {thing}" if amount == 1 else f"{amount} {thing}s"


def _in(interval: dict) -> str:
    text = within(interval, percent)
    return f" ({text})" if text else ""


def consistency(inference) -> str | None:
    """What is done to the maps of a volume after the network, from a recipe's `inference` section; None when nothing is."""
    steps = []
    if inference.through_plane:
        steps.append(f"averaged over neighbouring slices (deviation {inference.through_plane:g} slices)")
    if inference.main_component:
        twins = ", those with a twin on the other side weighing less" if inference.one_sided else ""
        steps.append(f"connected bodies lighter than {percent(inference.main_component)} of the heaviest left out{twins}")
    if inference.appearance:
        steps.append(f"adjusted to the volume's own intensities (weight {inference.appearance:g})")
    return "; ".join([*steps, "single heads are shown without this"]) if steps else None
