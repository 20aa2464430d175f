"""Who is compared, worked by hand: a cohort with many normals, one of lesions alone, missing predictions,
unknown truth.
"""

import numpy as np
import pytest

from clamnet_tf.evaluation.bootstrap import interval, paired
from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule

ORGAN = np.ones((10, 10), bool)
EMPTY = np.zeros((10, 10), bool)


def pixels(count, first=0, value=1.0):
    """A map with `value` at `count` pixels from pixel `first` on, 0 elsewhere."""
    found = np.zeros(100)
    found[first : first + count] = value
    return found.reshape(10, 10)


LESION = pixels(4) > 0


def one(patient, probability, truth=EMPTY, number=0, **masks):
    """A slice with 100 pixels of organ; masks: of the baselines "all" (everything), and "other", by default
    nothing.
    """
    baselines = {"all": ORGAN, "other": EMPTY} | masks
    return SliceCase(
        patient,
        f"{patient}_{number}.png",
        number,
        int(truth is not EMPTY),
        ORGAN,
        probability,
        truth,
        baselines=baselines,
    )


def found_of(*cases):
    evaluation = evaluate_slices(cases, ThresholdRule(0.5, "by hand"))
    return compute_metrics(evaluation, samples=200), {row["patient"]: row for row in evaluation.patients}


def mixed():
    """3 patients with a lesion of 4 pixels, 5 without one.

    a: 2 pixels hit and 2 beside it; a second slice without a lesion has 5 false ones. Volume: 2 x 2 / (4 + 9)
    = 4/13, IoU 2/11; slice: 4/8.
    b: nothing is marked, though a cut of 0.4 would have found it exactly. c: 6 pixels are marked elsewhere.
    n1 to n5: 10, 1, 0, 0, 0 pixels. "all" marks everything, "other" marks b exactly, c with 4 pixels too
    many, and all of n3.
    """
    return [
        one("a", pixels(4, 2), LESION),
        one("a", pixels(5), number=1),
        one("n1", pixels(10)),
        one("b", pixels(4, 0, 0.4), LESION, other=LESION),
        one("n2", pixels(1)),
        one("n3", pixels(100, 0, 0.4), other=ORGAN),
        one("c", pixels(6, 50), LESION, other=pixels(8) > 0),
        one("n4", pixels(0)),
        one("n5", pixels(0)),
    ]


A = 4 / 13


def test_overlaps_are_of_the_patients_with_a_lesion_and_a_missed_one_counts_0():
    found, rows = found_of(*mixed())
    assert (found["patients"], found["patients_with_lesion"], found["patients_without_lesion"]) == (8, 3, 5)
    assert (found["patients_incomplete"], found["patients_blank"]) == (0, 0)
    dice = found["dice_volume"]
    assert (dice["mean"], dice["median"], dice["patients"]) == (pytest.approx(A / 3), 0, 3)
    assert (dice["low"], dice["high"]) == pytest.approx(interval([A, 0, 0], samples=200)[1:])
    assert found["iou"] == pytest.approx(2 / 11 / 3)
    assert (found["dice_slice"]["mean"], found["dice_slice"]["slices"]) == (pytest.approx(0.5 / 3), 3)
    assert [rows[name]["dice"] for name in ("a", "b", "c")] == [pytest.approx(A), 0, 0]
    for name in ("n1", "n2", "n3", "n4", "n5"):
        assert [
            rows[name][key]
            for key in ("dice", "iou", "sensitivity", "precision", "dice_slice", "dice_all", "dice_other")
        ] == [None] * 7
        assert [rows[name][key] for key in ("hd95_px", "pointing")] == [None] * 2


def test_false_marks_are_of_the_patients_and_slices_without_one():
    found, rows = found_of(*mixed())
    assert found["specificity_patient"] == 3 / 5 and found["normal_area_patient"] == pytest.approx(
        (0.1 + 0.01) / 5
    )
    assert found["specificity_slice"] == 3 / 6 and found["normal_area"] == pytest.approx(
        (0.05 + 0.1 + 0.01) / 6
    )  # with the second slice of a
    assert [rows[f"n{number}"]["marked_share"] for number in range(1, 6)] == pytest.approx(
        [0.1, 0.01, 0, 0, 0]
    )
    assert [rows[name][f"marked_share{end}"] for name in "abc" for end in ("", "_all", "_other")] == [
        None
    ] * 9
    assert [rows["n3"][f"marked_share_{name}"] for name in ("all", "other")] == [1, 1] and rows["n4"][
        "marked_share_other"
    ] == 0
    assert (
        found["intervals"]["specificity_patient"]["low"],
        found["intervals"]["specificity_patient"]["high"],
    ) == pytest.approx(interval([0, 0, 1, 1, 1], samples=200)[1:])


def test_baselines_are_measured_on_the_same_patients():
    found, rows = found_of(*mixed())
    # everything marked: a 2 x 4 / (4 + 200), since both of its slices are marked, b and c 2 x 4 / (4 + 100)
    organ = [8 / 204, 8 / 104, 8 / 104]
    row = found["baselines"]["all"]
    assert (row["dice_volume"]["mean"], row["dice_volume"]["patients"]) == (pytest.approx(np.mean(organ)), 3)
    assert tuple(row["difference"].values()) == pytest.approx(paired([A, 0, 0], organ, samples=200))
    assert row["difference"]["mean"] == pytest.approx(A / 3 - np.mean(organ))
    assert (row["dice_slice"]["mean"], row["dice_slice"]["slices"]) == (pytest.approx(8 / 104), 3)
    assert row["difference_slice"]["mean"] == pytest.approx(0.5 / 3 - 8 / 104)
    assert [
        row[name]
        for name in ("normal_area", "specificity_slice", "normal_area_patient", "specificity_patient")
    ] == [1, 0, 1, 0]
    # "other": a nothing, b exactly, c 2 x 4 / (4 + 8)
    row, others = found["baselines"]["other"], [0, 1, 2 / 3]
    assert row["dice_volume"]["mean"] == pytest.approx(5 / 9) and row["difference"]["mean"] == pytest.approx(
        A / 3 - 5 / 9
    )
    assert row["dice_volume"]["median"] == pytest.approx(2 / 3) and tuple(
        row["difference"].values()
    ) == pytest.approx(paired([A, 0, 0], others, samples=200))
    assert [
        row[name]
        for name in ("normal_area", "specificity_slice", "normal_area_patient", "specificity_patient")
    ] == pytest.approx([1 / 6, 5 / 6, 1 / 5, 4 / 5])
    assert [rows[name]["dice_other"] for name in "abc"] == pytest.approx(others)


def test_the_oracle_looks_at_patients_with_a_lesion_alone():
    found, _ = found_of(*mixed())
    assert found["oracle"]["dice_volume"]["mean"] == pytest.approx(
        (A + 1 + 0) / 3
    )  # at 0.4, where all of n3 would be marked
    assert (found["oracle"]["dice_volume"]["patients"], 0 < found["oracle"]["threshold"] <= 0.4) == (3, True)


def test_a_cohort_in_which_all_have_a_lesion():
    found, _ = found_of(
        one("a", pixels(4), LESION, other=LESION),
        one("b", pixels(2), LESION),
        one("c", pixels(0), LESION, other=LESION),
    )
    dice = [1, 4 / 6, 0]
    assert (
        found["dice_volume"]["mean"] == pytest.approx(np.mean(dice)) and found["dice_volume"]["patients"] == 3
    )
    assert found["baselines"]["other"]["difference"]["mean"] == pytest.approx(np.mean(dice) - 2 / 3)
    for name in ("normal_area", "specificity_slice", "normal_area_patient", "specificity_patient"):
        assert (
            found[name] is None
            and found["baselines"]["all"][name] is None
            and "without a lesion" in found["reasons"]["specificity_patient"]
        )


def test_a_cohort_in_which_nobody_has_one():
    found, _ = found_of(one("a", pixels(4)), one("b", pixels(0)))
    assert found["dice_volume"]["mean"] is None and found["baselines"]["all"]["dice_volume"]["mean"] is None
    assert (
        found["baselines"]["all"]["difference"] == {"mean": None, "low": None, "high": None}
        and found["oracle"]["threshold"] is None
    )
    assert (
        found["specificity_patient"],
        found["normal_area_patient"],
        found["baselines"]["other"]["specificity_patient"],
    ) == (0.5, pytest.approx(0.02), 1)


def test_missing_predictions_are_the_worst_on_either_side():
    found, rows = found_of(
        one("a", None, LESION, all=None),
        one("n", None, all=None),
        one("b", pixels(4), LESION),
        one("m", pixels(0)),
    )
    assert (found["dice_volume"]["mean"], rows["a"]["dice"], rows["a"]["dice_all"]) == (0.5, 0, 0)
    assert (rows["n"]["marked_share"], rows["n"]["marked_share_all"], found["specificity_patient"]) == (
        1,
        1,
        0.5,
    )
    assert rows["a"]["hd95_px"] == pytest.approx(np.hypot(10, 10)) and rows["a"]["pointing"] == 0
    assert found["baselines"]["all"]["difference"]["mean"] == pytest.approx(0.5 - (0 + 8 / 104) / 2)


def test_a_patient_with_a_lesion_that_is_not_outlined_has_slices_and_no_volume():
    half = [
        one("a", pixels(2), LESION, other=LESION),
        one("a", pixels(3), None, number=1),
    ]  # the second slice: abnormal, no mask
    found, rows = found_of(*half, one("n", pixels(0)))
    assert (
        found["dice_volume"]["mean"] is None
        and "no patient with a lesion has reference masks" in found["reasons"]["dice_volume"]
    )
    assert (
        found["patients_incomplete"],
        found["patients_with_lesion"],
        found["patients_without_lesion"],
    ) == (1, 0, 1)
    assert (found["dice_slice"]["mean"], found["baselines"]["other"]["dice_slice"]["mean"]) == (
        pytest.approx(2 / 3),
        1,
    )
    assert found["baselines"]["other"]["difference_slice"]["mean"] == pytest.approx(2 / 3 - 1)
    assert (
        rows["a"]["dice"],
        rows["a"]["outlined_slices"],
        rows["a"]["dice_slice"],
        rows["a"]["dice_slice_other"],
    ) == (None, 1, pytest.approx(2 / 3), 1)
    whole, _ = found_of(*half, one("b", pixels(4), LESION))
    assert (whole["dice_volume"]["mean"], whole["dice_volume"]["patients"], whole["patients_incomplete"]) == (
        1,
        1,
        1,
    )
    assert whole["dice_slice"]["mean"] == pytest.approx((2 / 3 + 1) / 2)


def test_a_patient_without_any_organ_is_not_a_success():
    blank = SliceCase("x", "x.png", 0, 0, EMPTY, pixels(0), EMPTY, baselines={"all": EMPTY, "other": EMPTY})
    found, rows = found_of(one("a", pixels(4), LESION), one("n", pixels(1)), blank)
    assert (found["specificity_patient"], found["patients_without_lesion"], found["patients_blank"]) == (
        0,
        1,
        1,
    )
    assert rows["x"]["marked_share"] is None


@pytest.mark.parametrize("normals", [0, 3, 40])
def test_differences_are_the_differences_of_the_means(rng, normals):
    """What a page says of a difference and of the two figures beside it can never contradict one another."""
    cases = []
    for number in range(12 + normals):
        truth = EMPTY if number >= 12 else pixels(int(rng.integers(1, 60)), int(rng.integers(0, 40))) > 0
        for place in range(2):
            cases.append(
                one(
                    f"p{number}",
                    rng.random((10, 10)) ** 3,
                    truth,
                    place,
                    other=rng.random((10, 10)) < rng.choice([0, 0.3]),
                )
            )
    found, _ = found_of(*cases)
    assert found["dice_volume"]["patients"] == 12
    for row in found["baselines"].values():
        assert row["dice_volume"]["patients"] == 12 and row["dice_slice"]["slices"] == 24
        assert row["difference"]["mean"] == pytest.approx(
            found["dice_volume"]["mean"] - row["dice_volume"]["mean"]
        )
        assert row["difference_slice"]["mean"] == pytest.approx(
            found["dice_slice"]["mean"] - row["dice_slice"]["mean"]
        )
        assert row["difference"]["low"] <= row["difference"]["mean"] <= row["difference"]["high"]


def test_spacing_that_some_slices_lack_gives_no_millimetres():
    import dataclasses

    cases = [one("a", pixels(4), LESION), one("a", pixels(4, 10), LESION, number=1)]
    _, rows = found_of(dataclasses.replace(cases[0], spacing_mm=(1, 2, 2)), cases[1])
    assert rows["a"]["hd95_mm"] is None and rows["a"]["hd95_px"] > 0
