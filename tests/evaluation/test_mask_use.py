"""Ignored pixels leave what is measured; the words of a report on which masks taught."""

import numpy as np

from clamnet_tf.evaluation.mask_use import patients_in_words, patients_of_uses, without_ignored
from clamnet_tf.preprocessing.mask_table import MEASURED, TAUGHT, MaskUse


def test_ignored_pixels_are_not_measured():
    truth = np.array([[0, 1, 255], [255, 2, 0]], np.uint8)
    known, kept = without_ignored(truth)
    assert known.tolist() == [[True, True, False], [False, True, True]]
    assert kept.tolist() == [[0, 1, 0], [0, 2, 0]] and kept.dtype == np.uint8


def test_a_slice_that_is_ignored_throughout_has_no_truth():
    known, kept = without_ignored(np.full((2, 3), 255, np.uint8))
    assert kept is None and (np.ones((2, 3), bool) & known).all()
    known, kept = without_ignored(None)
    assert kept is None and (np.ones((2, 3), bool) & known).all()


def test_a_report_names_the_patients():
    uses = [MaskUse(TAUGHT, name, "train", "a", 0, "m", "") for name in "AAB"]
    uses.append(MaskUse(MEASURED, "C", "test", "c", 0, "m", ""))
    found = patients_of_uses(uses)
    assert found == {TAUGHT: {"A": 2, "B": 1}, MEASURED: {"C": 1}}
    assert patients_in_words(found[TAUGHT]) == "2 patients, 3 slices: A, B"
    assert patients_in_words({}) == "none"
    many = patients_in_words({f"P{number}": 1 for number in range(20)})
    assert many.endswith("P11 and 8 more (masks.csv lists all)")
