"""Lesions, FROC and surface Dice of metrics.json: by hand, against panoptica, and null with a reason."""

import dataclasses
import json

import numpy as np
import pytest

from clamnet_tf.evaluation import lesion_figures
from clamnet_tf.evaluation.bootstrap import pooled
from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule

SHAPE = (24, 24)
ORGAN = np.ones(SHAPE, bool)


def square(row, column, side=4, value=1.0):
    picture = np.zeros(SHAPE, np.float32)
    picture[row : row + side, column : column + side] = value
    return picture


def case(patient, index, truth, probability, **more):
    content = {"volume": patient, "truth": None if truth is None else truth > 0}
    label = 1 if truth is None else int(truth.any())
    return SliceCase(patient, f"{patient}.nii", index, label, ORGAN, probability, **content | more)


def measured(cases, threshold=0.5, samples=200):
    return compute_metrics(evaluate_slices(cases, ThresholdRule(threshold, "by hand")), samples=samples)


NOTHING = np.zeros(SHAPE, np.float32)


@pytest.fixture
def by_hand():
    """Patient a: one lesion through two slices, found, and a false mark. b: two lesions, one missed. c: none,
    one false mark in two slices.
    """
    return [
        case("a", 0, square(2, 2), square(2, 2, value=0.9)),
        case("a", 1, square(3, 3), square(3, 3, value=0.8) + square(15, 15, value=0.6)),
        case("b", 0, square(2, 2) + square(12, 12), square(12, 13, value=0.7)),
        case("b", 1, NOTHING, NOTHING),
        case("c", 0, NOTHING, square(9, 9, value=0.55)),
        case("c", 1, NOTHING, square(9, 9, value=0.95)),
    ]


def test_lesions_by_hand(by_hand):
    lesions = measured(by_hand)["lesions"]
    assert (lesions["lesions"], lesions["found"], lesions["marks"]) == (3, 2, 3)
    assert (lesions["patients"], lesions["images"], lesions["volumes"]) == (2, 2, 3)
    means = [lesions[name]["mean"] for name in ("recall", "precision", "f1")]
    assert means == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    assert lesions["recall"] == pytest.approx(pooled([1, 1], [1, 2], 200)._asdict())
    false = lesions["false_marks_per_image"]
    assert (false["with_lesion"]["mean"], false["without_lesion"]["mean"]) == (0.5, 1.0)
    assert (false["with_lesion"]["images"], false["without_lesion"]["images"]) == (2, 1)


def test_slices_that_stand_alone_are_images_of_their_own(by_hand):
    alone = [dataclasses.replace(one, volume=None, image=f"{number}") for number, one in enumerate(by_hand)]
    lesions = measured(alone)["lesions"]
    assert (lesions["lesions"], lesions["found"], lesions["images"], lesions["volumes"]) == (4, 3, 4, 0)
    gap = [dataclasses.replace(one, follows=False) for one in by_hand]
    lesions = measured(gap)["lesions"]
    assert (lesions["lesions"], lesions["found"], lesions["images"], lesions["volumes"]) == (4, 3, 2, 3)


def test_sizes_are_in_ml_where_every_spacing_is_known(by_hand):
    rows = measured(by_hand)["lesions"]
    assert rows["size_unit"] == "px" and rows["by_size"][0]["lesions"] == 3
    # a pixel of 10 x 10 x 2 mm has 0.2 ml: lesions of 6.4, 3.2 and 3.2 ml, and a false mark of 3.2 ml
    spaced = [dataclasses.replace(one, spacing_mm=(2.0, 10.0, 10.0)) for one in by_hand]
    rows = measured(spaced)["lesions"]
    assert rows["size_unit"] == "ml"
    assert [row["lesions"] for row in rows["by_size"]] == [0, 3, 0]
    assert [row["false_marks"] for row in rows["by_size"]] == [0, 1, 0]
    assert rows["by_size"][1]["f1"]["mean"] == pytest.approx(2 / 3)
    assert rows["by_size"][0]["recall"]["mean"] is None
    assert measured(spaced)["reasons"]["lesions.small"] == lesion_figures.NO_SIZE
    # one unknown spacing, and all sizes are in pixels
    spaced[-1] = dataclasses.replace(spaced[-1], spacing_mm=None)
    spaced[-2] = dataclasses.replace(spaced[-2], spacing_mm=None)
    assert measured(spaced)["lesions"]["size_unit"] == "px"


def test_froc_by_hand(by_hand):
    # from above: 0.95 false (c), 0.9 hit (a), 0.7 hit (b), 0.6 false (a); 3 images, 3 lesions
    froc = measured(by_hand)["froc"]
    means = [point["mean"] for point in froc["points"]]
    assert means == pytest.approx([0, 0, 2 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert froc["cpm"]["mean"] == pytest.approx(5 * (2 / 3) / 7)
    assert (froc["images"], froc["images_without_lesion"], froc["lesions"]) == (3, 1, 3)
    assert froc["candidate_cut"] == 0.25
    assert froc["curve"][0] == [0, 0] and froc["curve"][-1] == pytest.approx([2 / 3, 2 / 3])
    for point in froc["points"][2:]:
        assert point["low"] <= point["mean"] <= point["high"]


def test_the_same_lesions_as_in_whole_volumes(build_cases):
    """The walk over the made-up test set finds what scipy finds in the stacked volumes."""
    from scipy import ndimage

    cases = [dataclasses.replace(one, volume=one.patient) for one in build_cases(missing=())]
    found = measured(cases, 0.4)["lesions"]
    truth, marks = 0, 0
    for patient in dict.fromkeys(one.patient for one in cases):
        of_patient = [one for one in cases if one.patient == patient]
        truth += ndimage.label(np.stack([one.truth for one in of_patient]), np.ones((3, 3, 3)))[1]
        marked = np.stack([(one.probability.astype(np.float32) >= 0.4) & one.organ for one in of_patient])
        marks += ndimage.label(marked, np.ones((3, 3, 3)))[1]
    assert (found["lesions"], found["marks"]) == (truth, marks)


def test_a_volume_with_a_slice_of_unknown_truth_is_left_out(by_hand):
    by_hand[1] = dataclasses.replace(by_hand[1], truth=None)
    lesions = measured(by_hand)["lesions"]
    assert (lesions["lesions"], lesions["images"], lesions["images_incomplete"]) == (2, 1, 1)


def test_a_missing_prediction_misses_its_lesions(by_hand):
    by_hand[2] = dataclasses.replace(by_hand[2], probability=None)
    found = measured(by_hand)
    assert found["lesions"]["found"] == 1
    assert found["surface_dice"]["tolerances"][0]["mean"] == pytest.approx((1 + 24 / 36 + 0) / 3)


def test_surface_dice(by_hand):
    surface = measured(by_hand[:2])["surface_dice"]
    # the second slice has a false mark of 12 border pixels far away: 24 of 36 border pixels agree
    assert surface["unit"] == "px" and surface["slices"] == 2 and surface["patients"] == 1
    assert [row["tolerance"] for row in surface["tolerances"]] == [2]
    assert surface["tolerances"][0]["mean"] == pytest.approx((1 + 24 / 36) / 2)
    assert surface["tolerances"][0]["low"] is None  # one patient
    spaced = [dataclasses.replace(one, spacing_mm=(5.0, 0.5, 0.5)) for one in by_hand]
    surface = measured(spaced)["surface_dice"]
    assert surface["unit"] == "mm" and [row["tolerance"] for row in surface["tolerances"]] == [2, 5]
    assert surface["tolerances"][0]["mean"] <= surface["tolerances"][1]["mean"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("no lesion", lesion_figures.NO_LESION), ("no truth", lesion_figures.NO_IMAGE)],
)
def test_where_nothing_can_be_measured_there_is_a_reason(kind, reason):
    truth = NOTHING if kind == "no lesion" else None
    cases = [case(f"p{number}", 0, truth, square(3, 3, value=0.8)) for number in range(3)]
    found = measured(cases)
    assert found["lesions"]["recall"] == {"mean": None, "low": None, "high": None}
    assert found["froc"]["cpm"]["mean"] is None and found["froc"]["curve"] == []
    assert all(point["mean"] is None for point in found["froc"]["points"])
    for name in ("lesions", "lesions.f1", "froc"):
        assert found["reasons"][name] == reason
    assert found["surface_dice"]["tolerances"][0]["mean"] is None and found["reasons"]["surface_dice"]
    false = found["lesions"]["false_marks_per_image"]["without_lesion"]
    assert false["mean"] == (1.0 if kind == "no lesion" else None)
    assert "NaN" not in json.dumps(found)


def test_nothing_marked_has_no_precision(by_hand):
    found = measured([dataclasses.replace(one, probability=NOTHING) for one in by_hand])
    assert found["lesions"]["recall"]["mean"] == 0 and found["lesions"]["f1"]["mean"] == 0
    assert found["lesions"]["precision"]["mean"] is None
    assert found["reasons"]["lesions.precision"] == lesion_figures.NO_MARK
    assert found["froc"]["cpm"]["mean"] == 0
