"""Which slices are learned from: five patients, shuffled labels, and what neither may touch."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from clamnet_tf.datasets.stratify import draw_patients
from clamnet_tf.errors import DataError
from clamnet_tf.preprocessing.slice_table import SliceTable
from clamnet_tf.training.slices import TrainingSlices


def prepared(patients=20, slices=6, seed=0):
    """A Prepared of 4 x 4 pixels: the first 12 patients train, 4 val, 4 test; slice 0 of each is blank, the
    last has no label.
    """
    rng = np.random.default_rng(seed)
    count = patients * slices
    patient, index = np.divmod(np.arange(count), slices)
    text = np.full(count, "")
    label = rng.integers(0, 2, count)
    label[index == slices - 1] = -1
    area = np.where(index == 0, 0.0, 0.4)
    table = SliceTable(
        image=text,
        patient=np.array([f"p{number:02d}" for number in patient]),
        label=label,
        site=np.where(patient % 4, "A", "B"),
        series=text,
        slice_index=index,
        position=index / slices,
        area=area,
        eta=np.full(count, np.nan),
        split=np.where(patient < 12, "train", np.where(patient < 16, "val", "test")),
        box=np.zeros((count, 5), int),
        case=np.arange(count),
        pixel_hash=text,
        volume=patient,
        spacing=np.full((count, 3), np.nan),
        markers=text,
        by_study=np.zeros(count, bool),
    )
    return SimpleNamespace(
        table=table,
        images=np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones((1, 4, 4, 1)),
        organ=np.ones((count, 4, 4)),
    )


def sliced(source, **options):
    return TrainingSlices(source, minimum_organ_fraction=0.02, **options)


def test_blank_and_unlabelled_slices_are_left_out():
    source = prepared()
    slices = sliced(source)
    assert len(slices.rows) == 12 * 4 and set(source.table.split[slices.rows]) == {"train"}
    assert (source.table.label[slices.rows] >= 0).all() and (source.table.area[slices.rows] > 0).all()
    assert slices.table is source.table


@pytest.mark.parametrize("count", [1, 5, 12])
def test_so_many_patients_are_kept_and_all_their_slices(count):
    source = prepared()
    slices = sliced(source, patients=count, seed=3)
    kept = set(source.table.patient[slices.rows])
    assert len(kept) == count and len(slices.rows) == count * 4
    assert len(slices.validation()[0]) == 4 * 4  # all of them
    shown = slices.training_abnormal()[0][:, 0, 0, 0].astype(int)
    assert set(source.table.patient[shown]) <= kept and (source.table.label[shown] > 0).all()


def test_another_seed_keeps_other_patients_and_the_same_seed_the_same():
    source = prepared()
    kept = [
        tuple(sorted(set(source.table.patient[sliced(source, patients=5, seed=seed).rows])))
        for seed in (0, 1, 2, 0)
    ]
    assert len(set(kept)) == 3 and kept[0] == kept[3]


def test_more_patients_than_there_are():
    with pytest.raises(
        DataError,
        match="training.patients: expected at most the 12 patients of the training side, received 13; null "
        "takes all",
    ):
        sliced(prepared(), patients=13)


def test_kept_patients_without_an_abnormal_slice_are_told():
    source = prepared()
    healthy = dataclasses.replace(
        source.table, label=np.where(source.table.split == "train", 0, source.table.label)
    )
    with pytest.raises(DataError, match="no abnormal training slices .*training.patients, which keeps 2"):
        sliced(SimpleNamespace(table=healthy, images=source.images, organ=source.organ), patients=2)


def test_drawn_patients_are_stratified_by_labels_and_site():
    patients = {
        f"p{number:02d}": ({0, 1} if number < 30 else {0}, "A" if number % 3 else "B") for number in range(40)
    }
    for seed in range(5):
        drawn = draw_patients(patients, 8, seed)
        assert len(set(drawn)) == 8
        assert sum(patients[name][0] == {0} for name in drawn) == 2  # a quarter of them, as of all
        assert 2 <= sum(patients[name][1] == "B" for name in drawn) <= 4  # a third
    assert draw_patients(patients, 8, 0) == DRAWN  # the same on every machine
    assert (
        len(draw_patients({"a": ({0, 1}, ""), "b": ({0}, ""), "c": ({1}, "")}, 2, 0)) == 2
    )  # fewer than there are profiles


DRAWN = ["p10", "p11", "p16", "p18", "p21", "p28", "p30", "p34"]


@pytest.mark.parametrize("patients", [None, 5])
def test_shuffled_labels_keep_the_counts_and_leave_all_other_slices_alone(patients):
    source = prepared()
    before = source.table.label.copy()
    slices = sliced(source, patients=patients, shuffle_labels=True, seed=1)
    rows = slices.rows
    assert np.bincount(slices.table.label[rows]).tolist() == np.bincount(before[rows]).tolist()
    agreeing = (slices.table.label[rows] == before[rows]).mean()
    assert 0.2 < agreeing < 0.8  # about a half by chance
    others = np.setdiff1d(np.arange(len(before)), rows)
    np.testing.assert_array_equal(slices.table.label[others], before[others])
    np.testing.assert_array_equal(source.table.label, before)  # of the evaluation
    np.testing.assert_array_equal(slices.validation()[2], sliced(source).validation()[2])
    shown = slices.training_abnormal()[0][:, 0, 0, 0].astype(int)
    assert (slices.table.label[shown] > 0).all() and (
        before[shown] == 0
    ).any()  # the threshold sees them as shuffled
    again = sliced(source, patients=patients, shuffle_labels=True, seed=1)
    np.testing.assert_array_equal(again.table.label, slices.table.label)
    assert (
        sliced(source, patients=patients, shuffle_labels=True, seed=2).table.label != slices.table.label
    ).any()
