"""Figures in words: every sentence against the numbers it speaks of."""

import re

import numpy as np
import pytest

from clamnet_tf.evaluation import console
from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule
from clamnet_tf.reporting import wording

EMPTY = np.zeros((20, 20), bool)
ORGAN = np.ones((20, 20), bool)


def plain(text):
    return text.replace("\u00a0", " ").replace("\u2212", "-")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not measured"),
        (0, "0 %"),
        (0.0004, "below 0.1 %"),
        (0.0072, "0.7 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.5, "50 %"),
        (1, "100 %"),
    ],
)
def test_percent(value, text):
    assert plain(wording.percent(value)) == text


def test_interval():
    assert plain(wording.within({"low": 0.5, "high": 0.625})) == "95 % interval 0.50 to 0.62"
    assert wording.within({"low": None, "high": None}) == wording.within(None) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0.024, "+0.02"), (-0.3, "-0.30"), (0.004, "0.00"), (-0.004, "0.00"), (0.0, "0.00")]
)
def test_a_difference_has_its_sign(value, text):
    assert plain(wording.signed(value)) == text


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        (0.1, 0.3, "better"),
        (-0.1, 0.3, "open"),
        (0.0, 0.3, "open"),
        (-0.3, -0.1, "worse"),
        (None, None, "open"),
    ],
)
def test_a_difference_whose_interval_includes_zero_is_no_difference(low, high, kind):
    assert wording.against("otsu", 0.6, 0.5, {"mean": 0.1, "low": low, "high": high})[0] == kind


@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high", "kind"),
    [
        (0.0, 0.01, -0.02, -0.001, "neither"),
        (0.09, 0.02, 0.05, 0.09, "neither"),
        (0.0, 0.0, 0.0, 0.0, "neither"),
        (0.09, 0.0999, -0.1, 0.1, "neither"),
        (0.1, 0.02, 0.05, 0.1, "better"),
        (0.02, 0.1, -0.1, -0.05, "worse"),
        (0.05, 0.2, -0.3, 0.01, "open"),
    ],
)
def test_below_the_floor_neither_marks_the_lesion_whatever_the_interval(ours, theirs, low, high, kind):
    assert wording.against("otsu", ours, theirs, {"mean": ours - theirs, "low": low, "high": high})[0] == kind


def made(ours, others, slices=False, incomplete=0):
    """The part of metrics.json that a verdict reads; others: name -> (dice, low, high of the difference)."""
    none = {"mean": None, "low": None, "high": None}
    dice = {"mean": ours, "low": ours - 0.05, "high": ours + 0.05}
    rows = {}
    for name, (value, low, high) in others.items():
        score, difference = (
            {"mean": value, "low": 0, "high": 1},
            {"mean": ours - value, "low": low, "high": high},
        )
        rows[name] = {"dice_volume": none if slices else score, "difference": none if slices else difference}
        rows[name] |= {"dice_slice": score, "difference_slice": difference}
    return {
        "dice_volume": {**none, "median": None, "patients": 0}
        if slices
        else {**dice, "median": ours, "patients": 12},
        "dice_slice": {**dice, "slices": 40},
        "baselines": rows,
        "patients_incomplete": incomplete,
    }


BETTER, OPEN, WORSE = (0.1, 0.3), (-0.1, 0.1), (-0.3, -0.1)


@pytest.mark.parametrize("slices", [False, True], ids=["patients", "outlined slices"])
@pytest.mark.parametrize(
    ("ours", "others", "said", "not_said"),
    [
        (
            0.6,
            {"a": (0.4, *BETTER), "b": (0.3, *BETTER)},
            ["better than every simple method", "Dice 0.60 against at most 0.40 (a)"],
            ["NOT", "WORSE", "either"],
        ),
        (
            0.44,
            {"a": (0.44, *OPEN), "b": (0.2, *BETTER)},
            [
                "NOT shown to be better than a on these",
                "Dice 0.44, and 0.44 for the best simple method (a, picked with the masks).",
            ],
            ["WORSE", "every"],
        ),
        (
            0.4,
            {"a": (0.6, *WORSE), "b": (0.3, *BETTER)},
            ["does WORSE than a on these", "Dice 0.40, and 0.60 for the best simple method (a, picked"],
            ["NOT", "every"],
        ),
        (
            0.4,
            {"a": (0.6, *WORSE), "b": (0.4, *OPEN)},
            ["does WORSE than a, and it is NOT shown to be better than b on these"],
            ["every"],
        ),
        (
            0.00,
            {"a": (0.01, *WORSE), "b": (0.0, *OPEN)},
            [
                "Neither the network nor any simple method marks the lesion: Dice 0.00, and 0.01 for the "
                "best of them (a)"
            ],
            ["etter", "WORSE"],
        ),
        (
            0.09,
            {"a": (0.01, *BETTER)},
            ["Neither the network nor any simple method marks the lesion: Dice 0.09"],
            ["better"],
        ),
        (
            0.05,
            {"a": (0.2, *WORSE), "b": (0.02, *BETTER)},
            ["does WORSE than a on these", "It does not mark the lesion."],
            ["every", "Neither"],
        ),
        (
            0.5,
            {"a": (0.3, None, None)},
            ["NOT shown to be better than a"],
            ["every", "picked with the masks"],
        ),
        (0.5, dict.fromkeys("abcde", (0.5, *OPEN)), ["NOT shown to be better than a, b, c and 2 more"], []),
    ],
    ids="better,open,worse,worse and open,both bad,both bad though ahead,bad beside a good one,one "
    "patient,many".split(","),
)
def test_the_verdict(ours, others, said, not_said, slices):
    found = made(ours, others, slices)
    text = wording.verdict(found)
    for part in said:
        assert part in text, text
    for part in not_said:
        assert part not in text, text
    if "Neither" not in text:
        assert ("40 outlined slices" if slices else "12 patients with a lesion") in text
    assert wording.verdict(made(ours, {}, slices)) == ""


@pytest.mark.parametrize(
    ("ours", "organ", "reading"),
    [
        (0.444, (0.437, -0.03, 0.05), "no difference is shown"),
        (0.6, (0.4, *BETTER), "the network does better"),
        (0.2, (0.4, *WORSE), "the network does WORSE"),
        (0.0, (0.02, -0.03, -0.01), "neither marks the lesion"),
        (0.5, (0.4, None, None), "there is no interval, so nothing is shown"),
    ],
)
def test_the_whole_organ_stands_beside_the_network(ours, organ, reading):
    text = plain(wording.whole_organ(made(ours, {"whole_organ": organ})))
    assert f"a Dice score of {organ[0]:.2f} where the network has {ours:.2f}" in text and text.endswith(
        f": {reading}."
    )
    assert f"(difference {plain(wording.signed(ours - organ[0]))}" in text and ("95 % interval" in text) == (
        organ[1] is not None
    )
    assert wording.whole_organ(made(ours, {"otsu": organ})) == ""


def cohort(draw, patients=6, normals=9):
    """figures of a made-up cohort; draw(number, truth) -> (our mask, {"whole_organ": mask, "other":
    mask}).
    """
    cases = []
    for number in range(patients + normals):
        truth = EMPTY.copy()
        if number < patients:
            truth[5:8, 3 + number : 6 + number] = True
        ours, others = draw(number, truth)
        cases.append(
            SliceCase(
                f"p{number}",
                f"{number}.png",
                0,
                int(truth.any()),
                ORGAN,
                ours.astype(float),
                truth,
                baselines=others,
            )
        )
    return compute_metrics(evaluate_slices(cases, ThresholdRule(0.5, "by hand")), samples=300)


def test_the_fracture_case_reads_neither_marks_the_lesion():
    """Nothing is marked, mostly rightly: many normals are left alone, and every lesion is missed. It used to
    read "better than every simple method".
    """

    def draw(number, truth):
        ours = EMPTY.copy()
        ours[0, 0] = number % 5 == 0
        return ours, {"whole_organ": ORGAN, "other": np.roll(truth, 9, axis=0) if truth.any() else ORGAN}

    found = cohort(draw, patients=8, normals=40)
    assert found["dice_volume"]["mean"] == 0 < found["baselines"]["whole_organ"]["dice_volume"]["mean"] < 0.05
    text = wording.verdict(found)
    assert (
        text.startswith(
            "Neither the network nor any simple method marks the lesion: Dice 0.00, and 0.04 for the best "
            "of them (the whole organ marked)"
        )
        and "etter" not in text
    )
    said = plain(" ".join(wording.summary(found)))
    assert "It does not mark the lesion" in said and "averaged over the 8 patients with a lesion" in said
    assert "Of the 40 patients without a lesion, 80 % have no mark at all" in said
    lines = "\n".join(console.headline(found))
    assert (
        "Dice per patient volume: 0.000" in lines
        and "on 8 patients with a lesion" in lines
        and "Neither the network" in lines
        and "better" not in lines
    )
    assert (
        "80\u00a0% of 40 patients without a lesion left unmarked" in lines
        and "whole organ marked: 0.044" in lines
    )


@pytest.mark.parametrize("seed", range(12))
def test_no_sentence_contradicts_its_numbers(seed):
    """Random cohorts with more or fewer normals: what a verdict says of each method is what the figures
    beside it say.
    """
    rng = np.random.default_rng(seed)
    quality, false = rng.random(3), rng.random(3) ** 2

    def draw(number, truth):
        return_ = [
            (truth & (rng.random(truth.shape) < q)) | (~truth & (rng.random(truth.shape) < 0.1 * f))
            for q, f in zip(quality, false)
        ]
        return return_[0], {"whole_organ": ORGAN, "one": return_[1], "two": return_[2]}

    found = cohort(draw, patients=10, normals=int(rng.integers(0, 30)))
    ours, rows = found["dice_volume"]["mean"], found["baselines"]
    text, best = wording.verdict(found), max(row["dice_volume"]["mean"] for row in rows.values())
    kinds = {
        name: wording.against(name, ours, row["dice_volume"]["mean"], row["difference"])[0]
        for name, row in rows.items()
    }
    for name, kind in kinds.items():
        theirs = rows[name]["dice_volume"]["mean"]
        assert {
            "better": ours > theirs,
            "worse": ours < theirs,
            "neither": max(ours, theirs) < wording.FLOOR,
            "open": True,
        }[kind], (name, kind)
    if "every simple method" in text:
        assert ours > best and set(kinds.values()) == {"better"}
    if "WORSE" in text:
        assert ours < best and "worse" in kinds.values()
    assert ("Neither" in text) == (max(ours, best) < wording.FLOOR)
    assert f"{best:.2f}" in text and f"Dice {ours:.2f}" in text
    assert plain(console.headline(found)[0]).startswith(f"Dice per patient volume: {ours:.3f}")


def test_where_single_slices_are_outlined_their_dice_is_the_headline_everywhere():
    cases = []
    for patient in "abc":
        truth = EMPTY.copy()
        truth[4:8, 4:8] = True
        half = truth & (np.arange(20) < 6)
        cases.append(
            SliceCase(
                patient,
                f"{patient}.png",
                0,
                1,
                ORGAN,
                half.astype(float),
                truth,
                baselines={"whole_organ": ORGAN, "x": truth},
            )
        )
        cases.append(
            SliceCase(
                patient,
                f"{patient}.png",
                1,
                1,
                ORGAN,
                half.astype(float),
                None,
                baselines={"whole_organ": ORGAN, "x": truth},
            )
        )
    found = compute_metrics(evaluate_slices(cases, ThresholdRule(0.5, "by hand")), samples=100)
    dice, organ = 2 * 8 / (8 + 16), 2 * 16 / (16 + 400)
    assert found["dice_volume"]["mean"] is None and found["dice_slice"]["mean"] == pytest.approx(dice)
    lines = console.headline(found)
    assert lines[0].startswith(f"Dice per outlined slice: {dice:.3f}") and lines[0].endswith(
        "on 3 outlined slices; no patient is fully outlined"
    )
    assert (
        lines[1] == f"  whole organ marked: {organ:.3f}"
        and "best of 2 simple methods (picked with masks): 1.000 (x)" in lines[2]
    )
    assert "The network does WORSE than x on these 3 outlined slices: Dice 0.67" in lines[
        3
    ] and "not measured" not in "".join(lines[:4])
    assert wording.summary(found)[0].startswith(
        "The marked region and the reference overlap with a Dice score of 0.67, averaged over 3 outlined "
        "slices; no patient"
    )


def test_without_any_mask_nothing_is_said_of_overlap():
    found = compute_metrics(
        evaluate_slices(
            [SliceCase("a", "a.png", 0, 1, ORGAN, EMPTY * 1.0, None, baselines={"whole_organ": ORGAN})],
            ThresholdRule(0.5, ""),
        ),
        samples=50,
    )
    assert wording.verdict(found) == wording.whole_organ(found) == "" and not any(
        "Dice" in text for text in wording.summary(found)
    )
    lines = console.headline(found)
    assert (
        lines[0] == "Dice not measured: no slice has a lesion in its reference mask."
        and "no normal slice to look for false marks" in lines[1]
    )
    assert not re.search(r"0\.00 %", "".join(lines))


def test_patients_who_are_not_outlined_whole_are_named():
    assert "2 further patients could not be included" in " ".join(
        wording._overlap(made(0.5, {}, incomplete=2))
    )
    assert wording._overlap(made(0.5, {}))[0].count("12 patients with a lesion") == 1


def test_summary_of_a_whole_evaluation(evaluated):
    said = " ".join(wording.summary(evaluated[1]))
    for part in (
        "Dice score of 0.",
        "95\u00a0% interval",
        "lies inside the lesion",
        "of 100 such pairs",
        "falsely marks",
        "1 slice had no prediction",
    ):
        assert part in said
