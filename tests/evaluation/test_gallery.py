"""Which slices are shown, and their small copies."""

import numpy as np
import pytest

from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.gallery import SIDE, Gallery
from clamnet_tf.evaluation.walk import evaluate_slices
from clamnet_tf.inference.thresholding import ThresholdRule


def walk(cases, limit=60):
    gallery = Gallery(limit)
    evaluation = evaluate_slices(cases, ThresholdRule(0.4, ""), collect=gallery.add)
    return evaluation, gallery.choose(evaluation.patients)


def test_patients_run_from_best_to_worst_then_normal_slices(evaluated):
    evaluation, _, items = evaluated
    scores = {row["patient"]: row["dice"] for row in evaluation.patients}
    abnormal = [item for item in items if not item.normal]
    ranks = [scores[item.patient] for item in abnormal]
    assert ranks == sorted(ranks, reverse=True) and set(scores) == {item.patient for item in abnormal}
    normal = items[len(abnormal) :]
    assert all(item.normal for item in normal) and len(normal) == 5
    assert normal[0].marked_fraction == max(item.marked_fraction for item in normal)
    assert all(item.patient_dice == scores[item.patient] for item in items)


def test_each_patient_shows_its_largest_best_and_worst_slice(evaluated):
    evaluation, _, items = evaluated
    for patient in {item.patient for item in items}:
        rows = [row for row in evaluation.slices if row["patient"] == patient and row["truth_px"]]
        shown = [item for item in items if item.patient == patient and not item.normal]
        assert len({item.name for item in shown}) == len(shown)
        assert {item.dice for item in shown} >= {
            min(row["dice"] for row in rows),
            max(row["dice"] for row in rows),
        }
        assert max(item.truth_px for item in shown) == max(row["truth_px"] for row in rows)


def test_a_missing_prediction_is_shown_as_such(evaluated):
    _, _, items = evaluated
    (item,) = [item for item in items if item.marked is None]
    assert (item.patient, item.dice, item.heat) == ("patient 1", 0, None) and "worst slice" in item.role


@pytest.mark.parametrize("limit", [4, 7, 12, 20])
def test_never_more_than_the_limit_and_always_best_and_worst(build_cases, limit):
    evaluation, items = walk(build_cases(patients=9, missing=()), limit)
    assert len(items) <= limit
    ranked = sorted(evaluation.patients, key=lambda row: row["dice"])
    if limit >= 7:
        assert {ranked[0]["patient"], ranked[-1]["patient"]} <= {
            item.patient for item in items if not item.normal
        }
    assert any(item.normal for item in items) or limit < 5


def test_copies_are_cut_to_the_organ_and_small(rng):
    organ = np.zeros((900, 1000), bool)
    organ[100:820, 200:900] = True
    truth = np.zeros_like(organ)
    truth[300:500, 300:500] = True
    _, (item,) = walk(
        [SliceCase("p", "p.png", 0, 1, organ, truth * 0.9, truth, picture=rng.random(organ.shape))]
    )
    assert max(item.gray.shape) == SIDE
    assert item.gray.shape == item.truth.shape == item.marked.shape == item.heat.shape
    assert item.truth.mean() == pytest.approx(200 * 200 / (792 * 780), rel=0.05)


def test_slices_without_picture_or_organ_are_passed_over():
    nothing = np.zeros((8, 8), bool)
    _, items = walk(
        [
            SliceCase("p", "a.png", 0, 1, ~nothing, nothing * 0.5, ~nothing),
            SliceCase("p", "b.png", 0, 0, nothing, nothing * 0.5, nothing, picture=np.ones((8, 8))),
        ]
    )
    assert items == []


def test_without_masks_the_largest_mark_is_shown(rng):
    organ = np.ones((20, 20), bool)
    cases = [
        SliceCase(
            f"p{number}", "a.png", number, 1, organ, rng.random((20, 20)), None, picture=rng.random((20, 20))
        )
        for number in range(3)
    ]
    _, items = walk(cases)
    assert [item.role for item in items] == ["largest mark"] * 3 and [
        item.patient_dice for item in items
    ] == [None] * 3


def test_patients_of_whom_some_slices_are_outlined_run_from_best_to_worst_and_come_first(rng):
    organ = np.ones((20, 20), bool)
    cases = []
    for number, share in enumerate((None, 4, 10, 7)):
        truth = np.zeros((20, 20), bool)
        truth[5:15, 5:15] = True
        found = np.zeros((20, 20), bool)
        found[5 : 5 + (share or 10), 5:15] = True
        outlined = SliceCase(
            f"p{number}",
            "a.png",
            0,
            1,
            organ,
            found * 0.9,
            None if share is None else truth,
            picture=rng.random((20, 20)),
        )
        cases += [
            outlined,
            SliceCase(f"p{number}", "b.png", 1, 1, organ, found * 0.9, None, picture=rng.random((20, 20))),
        ]
    _, items = walk(cases)
    first = list(dict.fromkeys(item.patient for item in items))
    assert first == ["p2", "p3", "p1", "p0"] and all(item.patient_dice is None for item in items)
