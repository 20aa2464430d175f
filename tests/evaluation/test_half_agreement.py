"""Agreement of two networks: Dice by hand, chance agreement, and halves of the patients."""

from dataclasses import dataclass

import numpy as np
import pytest

from clamnet_tf.evaluation.half_agreement import NO_MARKS, ONE_PATIENT, agreement
from clamnet_tf.preprocessing.slice_table import SliceTable
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.training.half_trainings import LEFT_OUT, half_recipe, halves_of
from clamnet_tf.training.teacher_search import with_teacher


@dataclass
class Prepared:
    """What the split into halves reads of prepared slices."""

    images: np.ndarray
    organ: np.ndarray
    table: SliceTable


def square(row, column, size=4):
    mask = np.zeros((16, 16), bool)
    mask[row : row + size, column : column + size] = True
    return mask


def test_agreement_is_the_dice_of_the_same_slice_against_that_of_other_patients():
    patient, position = np.array(["a", "a", "b"]), np.array([0.1, 0.9, 0.1])
    first = np.stack([square(0, 0), square(8, 8), square(0, 0)])
    second = np.stack([square(0, 2), square(8, 8), square(4, 0)])
    found = agreement(first, second, patient, position)
    # same: 8 of 16 pixels, all, none; other: a0 and a1 against b; b against a0 (8 of 16) and a1 (none)
    assert found["same"]["mean"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert found["other"]["mean"] == pytest.approx((0 + 0 + 0.25) / 3)
    assert found["difference"]["mean"] == pytest.approx((1.5 - 0.25) / 3)
    assert (found["slices"], found["patients"], found["reason"]) == (3, 2, None)


def test_networks_that_find_the_lesion_agree_more_than_by_place(rng):
    patient = np.repeat([f"p{index}" for index in range(8)], 3)
    position = np.tile([0.2, 0.5, 0.8], 8)
    places = rng.integers(0, 12, (24, 2))
    lesions = np.stack([square(*place) for place in places])
    found = agreement(lesions, lesions, patient, position)
    assert found["same"]["mean"] == 1 and found["difference"]["low"] > 0.5
    anywhere = np.stack([square(*place) for place in rng.permutation(places)])
    assert agreement(lesions, anywhere, patient, position)["difference"]["low"] < 0
    always = np.stack([square(6, 6)] * 24)
    same_place = agreement(always, always, patient, position)
    assert same_place["same"]["mean"] == same_place["other"]["mean"] == 1
    assert same_place["difference"]["low"] <= 0


def test_nothing_to_compare_is_said():
    empty = np.zeros((2, 16, 16), bool)
    assert agreement(empty, empty, np.array(["a", "b"]), np.zeros(2))["reason"] == NO_MARKS
    assert agreement(empty, empty, np.array(["a", "a"]), np.zeros(2))["reason"] == ONE_PATIENT


def test_halves_share_no_patient_and_have_both_labels():
    count, of = 20, np.repeat(np.arange(10), 2)
    columns = {name: np.zeros(count) for name in SliceTable.__dataclass_fields__}
    columns |= {
        "patient": np.array([f"p{index}" for index in of]),
        "site": np.full(count, ""),
        "markers": np.full(count, ""),
        "label": of % 2,
        "by_study": np.zeros(count, bool),
        "area": np.ones(count),
        "split": np.where(of < 8, "train", "val"),
    }
    images = np.zeros((count, 4, 4, 1), np.float16)
    prepared = Prepared(images, images[..., 0], SliceTable(**columns))
    recipe = load_recipe("mri_carcinoma")
    halves = [half.table for half in halves_of(recipe, prepared)]
    members = [set(table.patient[table.split == "train"]) for table in halves]
    assert len(members[0]) == len(members[1]) == 4 and not members[0] & members[1]
    for table in halves:
        assert set(table.label[table.split == "train"]) == {0, 1}
        assert (table.split == "val").sum() == 4 and (table.split == LEFT_OUT).sum() == 8
    short = [half_recipe(recipe, index) for index in range(2)]
    assert short[0].training.seed != short[1].training.seed
    assert short[0].optimizer_steps == pytest.approx(recipe.optimizer_steps / 2, abs=2)


def test_halves_of_classifiers_alone_have_no_student_either():
    recipe = load_recipe("xray_trauma")
    short = half_recipe(recipe, 0)
    assert (short.self_training.teacher, short.self_training.rounds) == ("attribution", 0)
    assert short.attribution.classifier.steps == recipe.attribution.classifier.steps // 2
    assert with_teacher(recipe, "normal_atlas").self_training.rounds == 1  # a teacher that trains nothing
