"""Folds by patient and by site, against scikit-learn and by hand; the split of each fold."""

import collections
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, StratifiedKFold

from clamnet_tf.datasets.folds import draw_folds, fold_manifest
from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.errors import DataError
from clamnet_tf.recipe.schema_data import SplitSection


def cohort(labels, sites=None):
    """One patient per entry of `labels`, the labels of its images; `sites`: one site per patient."""
    return Manifest(
        Path("/data"),
        tuple(
            Case(
                Path(f"/data/p{number:03d}_{index}.png"),
                f"p{number:03d}",
                label,
                site=sites and sites[number],
            )
            for number, own in enumerate(labels)
            for index, label in enumerate(own)
        ),
    )


def abnormal_in(folds, labels):
    """(normal, abnormal) patients of each fold."""
    counts = []
    for fold in folds:
        kinds = [max(labels[int(patient[1:])]) > 0 for patient in fold.patients]
        counts.append((kinds.count(False), kinds.count(True)))
    return counts


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 7), st.integers(0, 40), st.integers(7, 40), st.integers(0, 10**6))
def test_every_patient_is_held_out_once_and_labels_are_spread_as_by_scikit_learn(k, normal, abnormal, seed):
    labels = [(0,)] * normal + [(1,)] * abnormal
    folds = draw_folds(cohort(labels), k, seed=seed)
    held_out = [patient for fold in folds for patient in fold.patients]
    assert sorted(held_out) == [f"p{number:03d}" for number in range(len(labels))]
    ours = abnormal_in(folds, labels)
    classes = np.array([max(own) for own in labels])
    if normal >= k:
        theirs = [
            collections.Counter(classes[test].tolist())
            for _, test in StratifiedKFold(k, shuffle=True, random_state=0).split(classes, classes)
        ]
        assert sorted(row[0] for row in ours) == sorted(row[0] for row in theirs)
        assert sorted(row[1] for row in ours) == sorted(row[1] for row in theirs)
    sizes = list(map(sum, ours))
    assert max(sizes) - min(sizes) <= 1


def test_the_draw_is_the_same_on_every_machine_and_another_for_another_seed():
    labels = [(0, 1)] * 6 + [(0,)] * 4
    folds = draw_folds(cohort(labels), 5, seed=3)
    assert [fold.name for fold in folds] == [f"fold {number}" for number in range(1, 6)]
    assert [" ".join(fold.patients) for fold in folds] == EXPECTED
    assert [fold.patients for fold in draw_folds(cohort(labels), 5, seed=4)] != [
        fold.patients for fold in folds
    ]
    turned = Manifest(Path("/data"), cohort(labels).cases[::-1])
    assert [set(fold.patients) for fold in draw_folds(turned, 5, seed=3)] == [
        set(fold.patients) for fold in folds
    ]


EXPECTED = ["p001 p005", "p002 p008", "p004 p007", "p003 p009", "p000 p006"]


def test_sites_are_spread_over_folds_by_patient():
    """12 patients of site A and 6 of site B in 3 folds: 4 and 2 in each."""
    sites = (["A", "A", "B"]) * 6
    folds = draw_folds(cohort([(0, 1)] * 18, sites), 3, seed=1)
    for fold in folds:
        own = collections.Counter(sites[int(patient[1:])] for patient in fold.patients)
        assert own == {"A": 4, "B": 2}


@pytest.mark.parametrize("k", [2, 3, 4])
def test_whole_sites_are_put_into_folds_as_by_scikit_learn(k):
    sites = [site for site, count in zip("ABCDEF", (9, 7, 5, 4, 2, 1)) for _ in range(count)]
    labels = [(0, 1)] * len(sites)
    folds = draw_folds(cohort(labels, sites), k, seed=0, by_site=True)
    site_of = lambda patient: sites[int(patient[1:])]
    ours = [{site_of(patient) for patient in fold.patients} for fold in folds]
    assert sum(map(len, ours)) == 6  # no site is in two folds
    theirs = [{sites[index] for index in test} for _, test in GroupKFold(k).split(sites, groups=sites)]
    assert sorted(map(sorted, ours)) == sorted(map(sorted, theirs))


def test_of_two_folds_of_equal_size_a_site_goes_where_fewer_are_abnormal():
    """A (4 abnormal) and B (4 normal) fill a fold each; C then goes to B's."""
    sites, labels = ["A"] * 4 + ["B"] * 4 + ["C"] * 2, [(1,)] * 4 + [(0,)] * 4 + [(1,)] * 2
    folds = draw_folds(cohort(labels, sites), 2, seed=0, by_site=True)
    assert {fold.patients for fold in folds} == {
        ("p000", "p001", "p002", "p003"),
        ("p004", "p005", "p006", "p007", "p008", "p009"),
    }


def test_one_fold_per_site():
    sites = ["B", "A", "B", "C", "A"]
    folds = draw_folds(cohort([(0, 1)] * 5, sites), None, seed=0)
    assert [(fold.name, fold.patients) for fold in folds] == [
        ("fold 1, site A", ("p001", "p004")),
        ("fold 2, site B", ("p000", "p002")),
        ("fold 3, site C", ("p003",)),
    ]


def test_each_fold_tests_its_patients_and_draws_its_own_validation_side():
    """20 patients, 5 folds: 4 tested, the other 16 divided as train : val = 0.6 : 0.2, that is 12 and 4."""
    manifest = cohort([(0, 1)] * 20)
    folds = draw_folds(manifest, 5, seed=0)
    validation = []
    for fold in folds:
        split = fold_manifest(
            manifest, fold, SplitSection(train=0.6, val=0.2, test=0.2), seed=0, both_classes=True
        )
        sides = {case.patient: case.split for case in split.cases}
        assert collections.Counter(sides.values()) == {"train": 12, "val": 4, "test": 4}
        assert {patient for patient, side in sides.items() if side == "test"} == set(fold.patients)
        validation.append(frozenset(patient for patient, side in sides.items() if side == "val"))
    assert len(set(validation)) == 5


@pytest.mark.parametrize(
    ("labels", "sites", "options", "message"),
    [
        ([(0, 1)] * 3, None, {"k": 4}, "--k 4: expected 2 to 3, the number of patients"),
        ([(0, 1)] * 3, None, {"k": 1}, "--k 1: expected 2 to 3"),
        ([(0, 1), (None,), (1,)], None, {"k": 2}, "1 image\\(s\\) have none"),
        ([(0, 1)] * 3, ["A"] * 3, {"k": None}, "at least 2 sites; those of /data are all of 'A'"),
        ([(0, 1)] * 3, ["A", "B", None], {"k": None}, "1 have none and 0 have several:\n  patient 'p002'"),
        ([(0, 1)] * 3, list("ABB"), {"k": 3, "by_site": True}, r"--k 3 --by site: expected 2 to 2.*\(A, B\)"),
    ],
)
def test_folds_that_cannot_be_are_refused(labels, sites, options, message):
    with pytest.raises(DataError, match=message):
        draw_folds(cohort(labels, sites), seed=0, **options)


def test_a_patient_of_two_sites_is_refused():
    cases = (Case(Path("/a.png"), "p", 1, site="A"), Case(Path("/b.png"), "p", 0, site="B"))
    with pytest.raises(DataError, match="patient 'p': A, B"):
        draw_folds(Manifest(Path("/data"), cases), None, seed=0)


def test_a_fold_that_leaves_one_class_names_itself():
    """The only normal patients are the held-out site."""
    manifest = cohort([(1,)] * 4 + [(0,)] * 2, ["A"] * 4 + ["B"] * 2)
    fold = draw_folds(manifest, None, seed=0)[1]
    with pytest.raises(DataError, match="fold 2, site B: /data: train and val each need normal"):
        fold_manifest(manifest, fold, SplitSection(), seed=0, both_classes=True)
