"""Say whether a run has learned anything, from image labels of validation patients alone.

`judge` applies the rules in their order; `sentences` puts the outcome into words. See docs/method.md, section
"Was anything learned?", for what the figures are.
"""

from clamnet_tf.reporting.wording import count, number, percent

LEAST_PATIENTS = 6
"""Patients with an abnormal slice, and patients with a normal one, below which nothing is said. In
simulations of networks that learned nothing, the 95 % interval lay above 0.5 in 3 to 6 % with 6 patients of
each kind, and in 6 to 14 % with 3 (tests/evaluation/test_learning_check.py repeats the first).
"""
TOO_FEW, NOT_LEARNED, SHORTCUT, LEARNED = "too few patients", "not learned", "shortcut", "learned"
"""The verdicts; the first rule that applies decides, in this order."""
SEVERITY = (NOT_LEARNED, SHORTCUT, TOO_FEW, LEARNED)
"""The verdicts, worst first."""
WARNING = "WARNING: "
GROUP_WORDS = {
    "position": "slice position",
    "organ": "organ area",
    "padding": "padding",
    "sharpness": "sharpness",
    "size": "image size",
    "site": "site",
}
"""Group of shortcut features -> its name in sentences."""


def judge(outcome: dict) -> str:
    """Return the verdict on an outcome of `evaluation.learning_check`.

    TOO_FEW: fewer than LEAST_PATIENTS patients have an abnormal slice, or a normal one.
    NOT_LEARNED: the interval of the network's AUROC includes 0.5 or lies below it.
    SHORTCUT: the interval of the shortcut classifier's AUROC lies above 0.5, and that of the difference to
    the network's AUROC is not above 0.
    LEARNED: none of these.
    """
    patients, ours = outcome["patients"], outcome["auroc"]
    if min(patients["abnormal"], patients["normal"]) < LEAST_PATIENTS or ours["low"] is None:
        return TOO_FEW
    if ours["low"] <= 0.5:
        return NOT_LEARNED
    shortcut = outcome["shortcut"]
    if shortcut["auroc"]["low"] is not None and shortcut["auroc"]["low"] > 0.5:
        difference = shortcut["difference"]
        if difference["low"] is None or difference["low"] <= 0:
            return SHORTCUT
    return LEARNED


def sentences(outcome: dict, halves: dict | None = None, name: str = "") -> list[str]:
    """Return the sentences on one outcome: the verdict first, then what else was measured.

    Args:
        outcome: One outcome of `evaluation.learning_check`, with its verdict.
        halves: Agreement of two trainings on halves of the training patients; None: not run, and nothing is
            said of it.
        name: Lesion class that the outcome is of; empty for all together.
    """
    said = [_verdict_sentence(outcome, name), *_area_sentences(outcome)]
    if outcome["verdict"] != SHORTCUT:
        said += _shortcut_sentence(outcome)
    return [*said, *(half_sentences(halves) if halves else [])]


def headline(learning: dict) -> str:
    """Return the first sentence of learning.json."""
    return learning["sentences"][0]


def _verdict_sentence(outcome: dict, name: str) -> str:
    """Return the sentence that states the verdict, with its figures."""
    of = f" of {name}" if name else ""
    unit = outcome["unit"]
    if unit == "patient":
        abnormal = f"patients with {name}" if name else "patients with a finding"
        normal = "patients without it" if name else "those without one"
    else:
        abnormal = f"slices that show {name}" if name else "abnormal slices"
        normal = "slices that do not" if name else "normal ones"
    ours, patients = outcome["auroc"], outcome["patients"]
    measured = f"{unit} AUROC {_figure(ours)} on {count(patients['all'], 'validation patient')}"
    if outcome["verdict"] == TOO_FEW:
        known = "" if ours["mean"] is None else f" ({unit} AUROC {number(ours['mean'])})"
        numbers = (
            f"{patients['abnormal']} with {name or 'a finding'} and {patients['normal']} without "
            f"{'it' if name else 'one'}"
            if unit == "patient"
            else f"{_with(patients['abnormal'])} {abnormal} and {_with(patients['normal'])} {normal}"
        )
        return (
            f"{WARNING}there are too few validation patients to say whether this run has learned "
            f"anything{of}: {numbers}{known}; at least {LEAST_PATIENTS} of each are needed."
        )
    if outcome["verdict"] == NOT_LEARNED and ours["high"] < 0.5:
        return (
            f"{WARNING}this run scores {abnormal} lower than {normal}, which is worse than guessing: "
            f"{measured}. Check the labels."
        )
    if outcome["verdict"] == NOT_LEARNED:
        return (
            f"{WARNING}this run is not shown to have learned anything{of}: {measured}, and guessing has 0.5."
        )
    if outcome["verdict"] == SHORTCUT:
        shortcut = outcome["shortcut"]
        return (
            f"{WARNING}a shortcut may explain everything that this run has learned{of}: {measured}, and a "
            f"classifier that sees no lesion, only {_groups(shortcut)}, has {_figure(shortcut['auroc'])} "
            f"(difference {_difference(shortcut['difference'])}){_strongest(shortcut)}."
        )
    if unit == "patient":
        return f"The network tells {abnormal} from {normal}, none of whom it was trained on: {measured}."
    return f"The network tells {abnormal} from {normal} of patients it was not trained on: {measured}."


def _area_sentences(outcome: dict) -> list[str]:
    """Compare the marked area of abnormal and normal validation slices."""
    areas = outcome["marked_area"]
    abnormal, normal, difference = areas["abnormal"], areas["normal"], areas["difference"]
    if difference["mean"] is None:
        return []
    of_abnormal, of_normal = (
        ("validation patients with a finding", "in those without one")
        if outcome["unit"] == "patient"
        else ("abnormal validation slices", "in normal ones")
    )
    text = (
        f"It marks {percent(abnormal['mean'])} of the organ in {of_abnormal} and "
        f"{percent(normal['mean'])} {of_normal}"
    )
    if difference["low"] is None:
        return [f"{text}."]
    low, high = (f"{100 * difference[end]:.1f}".replace("-", "\u2212") for end in ("low", "high"))
    spread = f"95\u00a0% interval of the difference {low} to {high} percentage points"
    if difference["low"] <= 0:
        return [f"{text}, which is not shown to be more ({spread})."]
    return [f"{text} ({spread})."]


def _shortcut_sentence(outcome: dict) -> list[str]:
    """Say what the shortcut classifier reaches."""
    shortcut = outcome["shortcut"]
    if shortcut["auroc"]["mean"] is None:
        return [f"No shortcut was looked for: {shortcut['reason']}."] if shortcut["reason"] else []
    return [
        f"A classifier that sees no lesion, only {_groups(shortcut)}, has an AUROC of "
        f"{_figure(shortcut['auroc'])} on the same {outcome['unit']}s{_strongest(shortcut)}."
    ]


def half_sentences(halves: dict) -> list[str]:
    """Say how well two trainings on halves of the training patients agree on the same slices.

    Args:
        halves: same, other and difference (mean, low, high), slices, patients, shared (text or None), reason.
    """
    if halves["same"]["mean"] is None:
        return [f"The agreement of two halves could not be measured: {halves['reason']}."]
    text = (
        f"Two networks, each trained on one half of the training patients for half the steps, overlap in "
        f"what they mark in the same abnormal validation slice with a Dice score of "
        f"{_figure(halves['same'])}; in slices of different patients it is {_figure(halves['other'])}"
    )
    shared = f" Both halves share {halves['shared']}, which raises the agreement." if halves["shared"] else ""
    if halves["difference"]["low"] is None or halves["difference"]["low"] <= 0:
        return [f"{WARNING}{text}: what they agree on is not shown to depend on the slice.{shared}"]
    return [f"{text}. They agree on something in the image, which need not be the lesion.{shared}"]


def _figure(interval: dict) -> str:
    """Format "0.93 (95 % interval 0.88 to 0.97)"."""
    if interval["low"] is None:
        return number(interval["mean"])
    return f"{number(interval['mean'])} (95\u00a0% interval {interval['low']:.2f} to {interval['high']:.2f})"


def _difference(interval: dict) -> str:
    """Format the difference of two AUROC: "+0.01, \u22120.02 to +0.04"."""
    texts = [f"{interval[key]:+.2f}" for key in ("mean", "low", "high") if interval[key] is not None]
    text = texts[0] if len(texts) == 1 else f"{texts[0]}, 95\u00a0% interval {texts[1]} to {texts[2]}"
    return text.replace("-", "\u2212")


def _groups(shortcut: dict) -> str:
    """List the groups of features."""
    words = [GROUP_WORDS[group] for group in shortcut["features"]]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words) or "constants"


def _strongest(shortcut: dict) -> str:
    """Name the group of features that alone reaches most; empty where the classifier is not above chance."""
    strongest = shortcut["strongest"]
    if strongest is None or shortcut["auroc"]["low"] is None or shortcut["auroc"]["low"] <= 0.5:
        return ""
    return (
        f"; the strongest of these alone is {GROUP_WORDS[strongest['group']]} ({number(strongest['auroc'])})"
    )


def _with(patients: int) -> str:
    """Format "3 patients with"."""
    return f"{count(patients, 'patient')} with"
