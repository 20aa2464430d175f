"""Rows and counts of slices and patients, worked by hand; missing predictions and unknown truth."""

import csv
import dataclasses

import numpy as np
import pytest

from clamnet_tf.errors import DataError
from clamnet_tf.evaluation.cases import SliceCase, write_rows
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule

ORGAN = np.ones((3, 4), bool)
TRUTH = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
EMPTY = np.zeros_like(TRUTH)
MARKING = ThresholdRule(0.5, "by hand")


def case(probability, truth=TRUTH, patient="p", image="a.png", label=1, **more):
    return SliceCase(
        patient=patient,
        image=image,
        slice_index=0,
        label=label,
        probability=probability,
        truth=truth,
        **{"organ": ORGAN, **more},
    )


def map_of(mask):
    return np.where(mask, 0.9, 0.1)


def evaluate(*cases, marking=MARKING):
    return evaluate_slices(cases, marking)


def test_a_slice_by_hand():
    marked = np.array([[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], bool)
    (row,) = evaluate(case(map_of(marked), spacing_mm=(5.0, 2.0, 1.0))).slices
    assert (row["truth_px"], row["marked_px"], row["both_px"], row["organ_px"]) == (4, 3, 2, 12)
    assert (row["dice"], row["iou"]) == (pytest.approx(4 / 7), pytest.approx(2 / 5))
    assert row["hd95_px"] == pytest.approx(1.0)
    assert row["hd95_mm"] == pytest.approx(2.0)
    assert row["pointing"] == pytest.approx(2 / 3)  # three tied maxima, two of them inside
    assert row["marked_fraction"] == 3 / 12


@pytest.mark.parametrize(("column", "expected"), [(4, (1, 1)), (6, (0, 1)), (7, (0, 0))])
def test_near_is_within_8_of_224_pixels_of_the_longer_side(column, expected):
    """Of 56 columns, 2: the lesion ends at column 4."""
    truth, probability = np.zeros((10, 56), bool), np.full((10, 56), 0.1)
    truth[3:6, 2:5] = True
    probability[4, column] = 0.9
    (row,) = evaluate(case(probability, truth, organ=np.ones(truth.shape, bool))).slices
    assert (row["pointing"], row["pointing_near"]) == expected


def test_a_patient_is_the_sum_of_the_slices():
    first, second = map_of(TRUTH), map_of(np.roll(TRUTH, 1, axis=1))
    evaluation = evaluate(
        case(first, spacing_mm=(10.0, 1.0, 1.0)), case(second, image="b.png", spacing_mm=(10.0, 1.0, 1.0))
    )
    (row,) = evaluation.patients
    assert row["dice"] == pytest.approx(
        2 * 6 / 16
    )  # not the mean of the slices' 1 and 0.5 by accident: both have 4 pixels
    assert (row["sensitivity"], row["precision"]) == (0.75, 0.75)
    assert (row["truth_ml"], row["marked_ml"]) == (pytest.approx(0.08), pytest.approx(0.08))
    assert row["hd95_px"] == pytest.approx(np.mean([each["hd95_px"] for each in evaluation.slices]))


def test_patients_keep_the_order_of_the_reference_list():
    evaluation = evaluate(
        case(map_of(TRUTH), patient="z"),
        case(map_of(TRUTH), patient="a"),
        case(map_of(EMPTY), EMPTY, patient="z", image="b.png", label=0),
    )
    assert [row["patient"] for row in evaluation.patients] == ["z", "a"]
    assert [row["slices"] for row in evaluation.patients] == [2, 1]


def test_a_missing_prediction_is_the_worst_there_is():
    missing, perfect = evaluate(case(None)), evaluate(case(map_of(TRUTH)))
    (row,) = missing.slices
    assert row["missing"] and (row["dice"], row["pointing"]) == (0, 0)
    assert row["hd95_px"] == 5  # the diagonal of 3 x 4
    assert row["marked_fraction"] == 8 / 12
    (normal,) = evaluate(case(None, EMPTY, label=0)).slices
    assert (normal["score"], normal["marked_fraction"]) == (1, 1)
    assert missing.slices[0]["score"] == 0 < perfect.slices[0]["score"]
    assert missing.patients[0]["missing"] == 1


@pytest.mark.parametrize("truth", [TRUTH, EMPTY], ids=["abnormal", "normal"])
def test_no_prediction_is_worse_than_a_missing_one(rng, truth):
    other = case(map_of(TRUTH), patient="p", image="b.png")
    label = int(truth.any())
    worst = evaluate(case(None, truth, label=label), other).patients[0]
    for _ in range(20):
        row = evaluate(case(rng.random(TRUTH.shape), truth, label=label), other).patients[0]
        assert row["dice"] >= worst["dice"]


def test_heads_and_baselines_are_counted_by_the_same_rule():
    heads = {"head_1": map_of(TRUTH) * 0.5, "head_2": None}
    evaluation = evaluate(
        case(map_of(TRUTH), heads=heads, baselines={"all": ORGAN, "none": EMPTY}),
        marking=ThresholdRule(0.5, "", head_thresholds={"head_1": 0.4}),
    )
    (row,) = evaluation.patients
    assert (row["dice_head_1"], row["dice_head_2"]) == (1, 0)
    assert (row["dice_all"], row["dice_none"]) == (pytest.approx(8 / 16), 0)


def test_truth_outside_of_the_organ_counts_as_missed():
    organ = ORGAN.copy()
    organ[0] = False
    (row,) = evaluate(dataclasses.replace(case(np.ones(TRUTH.shape)), organ=organ)).slices
    assert (row["both_px"], row["marked_px"]) == (2, 8)


def test_a_normal_slice_needs_no_mask():
    evaluation = evaluate(case(map_of(TRUTH)), case(map_of(EMPTY), None, label=0, image="b.png"))
    assert evaluation.slices[1]["truth_px"] == 0
    assert evaluation.patients[0]["dice"] == 1


def test_an_abnormal_slice_without_a_mask_leaves_its_patient_unscored():
    evaluation = evaluate(
        case(map_of(TRUTH)), case(map_of(TRUTH), None, image="b.png"), case(map_of(TRUTH), patient="q")
    )
    assert [row["dice"] for row in evaluation.patients] == [None, 1]
    assert evaluation.slices[1]["dice"] is None and evaluation.slices[1]["truth_px"] is None
    assert evaluation.patients[0]["slices_positive"] == 2


def test_without_any_lesion_no_patient_is_scored():
    evaluation = evaluate(
        case(map_of(TRUTH), None, patient="p"), case(map_of(TRUTH), EMPTY, label=0, patient="q")
    )
    assert [row["dice"] for row in evaluation.patients] == [None, None]


def test_postprocessing_is_part_of_the_result():
    speck = TRUTH.copy()
    speck[2, 3] = True
    assert (
        evaluate(case(map_of(speck)), marking=ThresholdRule(0.5, "", smallest_component=2 / 12)).slices[0][
            "dice"
        ]
        == 1
    )


def test_every_slice_is_shown_to_the_collector():
    seen = []
    evaluate_slices(
        [case(map_of(TRUTH)), case(None, image="b.png")], MARKING, lambda *each: seen.append(each)
    )
    assert [mask is None for _, mask, _ in seen] == [False, True]
    np.testing.assert_array_equal(seen[0][1], TRUTH)


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([], "reference list is empty"),
        ([case(map_of(TRUTH)), case(None)], "a.png: slice 0 of patient p is in the reference list twice"),
        ([case(np.zeros((4, 3)))], r"probability has shape \(4, 3\), its organ mask \(3, 4\)"),
        ([case(map_of(TRUTH) * 2)], r"probability must lie in 0..1; received 0.2..1.8"),
        ([case(np.full(TRUTH.shape, np.nan))], "probability must lie in 0..1; received nan"),
        ([case(map_of(TRUTH), heads={"ours": None})], "need different names"),
        (
            [case(map_of(TRUTH)), case(None, image="b.png", heads={"head_1": None})],
            r"has heads \['head_1'\].*first slice has \[\]",
        ),
    ],
)
def test_wrong_input_is_refused(cases, message):
    with pytest.raises(DataError, match=message):
        evaluate(*cases)


def test_rows_are_read_back_as_written(tmp_path):
    rows = evaluate(case(map_of(TRUTH)), case(map_of(EMPTY), EMPTY, label=0, image='odd, "name".png')).slices
    write_rows(tmp_path / "cases.csv", rows)
    with open(tmp_path / "cases.csv", newline="", encoding="utf-8") as stream:
        read = list(csv.DictReader(stream))
    assert list(read[0]) == list(rows[0])
    assert read[1]["image"] == 'odd, "name".png' and read[1]["dice"] == "" and read[0]["dice"] == "1"
    assert float(read[0]["score"]) == pytest.approx(rows[0]["score"], rel=1e-5)
