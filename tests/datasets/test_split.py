"""Splits by patient: stratified, equal on every machine, and the leakage guard."""

import collections
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clamnet_tf.datasets.manifest import Case, Manifest
from clamnet_tf.datasets.split import check_leakage, split_manifest, write_split
from clamnet_tf.errors import DataError
from clamnet_tf.recipe.schema_data import SplitSection


def cohort(profiles, sites=("A", "B"), split=None):
    """Return a manifest with one patient per entry of `profiles`, a tuple of the labels of its images."""
    cases = [
        Case(
            Path(f"/data/p{number:03d}_{index}.png"),
            f"p{number:03d}",
            label,
            site=sites[number % len(sites)],
            split=split and split[number],
        )
        for number, labels in enumerate(profiles)
        for index, label in enumerate(labels)
    ]
    return Manifest(Path("/data"), tuple(cases))


def sides_of(manifest):
    return {case.patient: case.split for case in manifest.cases}


def test_the_draw_is_the_same_on_every_machine():
    sides = sides_of(split_manifest(cohort([(0, 1)] * 12), SplitSection(seed=3)))
    assert "".join(sides[patient][1] for patient in sorted(sides)) == EXPECTED_DRAW


EXPECTED_DRAW = "rreererrrraa"  # second letters: t[r]ain, v[a]l, t[e]st


def test_fractions_and_sites_are_kept():
    sides = sides_of(
        split_manifest(
            cohort([(0, 1)] * 100, sites=("A", "B", "B", "B")), SplitSection(train=0.6, val=0.15, test=0.25)
        )
    )
    counts = collections.Counter(sides.values())
    assert counts == {"train": 60, "val": 15, "test": 25}
    of_a = collections.Counter(side for patient, side in sides.items() if int(patient[1:]) % 4 == 0)
    assert abs(of_a["train"] - 15) <= 1 and abs(of_a["val"] - 3.75) <= 1 and abs(of_a["test"] - 6.25) <= 1


def test_label_profiles_are_stratified():
    sides = sides_of(
        split_manifest(cohort([(0,)] * 40 + [(1,)] * 20), SplitSection(train=0.5, val=0.25, test=0.25))
    )
    abnormal = collections.Counter(side for patient, side in sides.items() if int(patient[1:]) >= 40)
    assert abnormal == {"train": 10, "val": 5, "test": 5}


def test_another_seed_draws_another_split():
    drawn = {
        tuple(sorted(sides_of(split_manifest(cohort([(0, 1)] * 20), SplitSection(seed=seed))).items()))
        for seed in range(5)
    }
    assert len(drawn) == 5


@settings(max_examples=60, deadline=None)
@given(
    profiles=st.lists(st.sampled_from([(0,), (1,), (0, 1), (1, 2)]), min_size=1, max_size=30),
    seed=st.integers(0, 50),
    test=st.sampled_from([0.0, 0.25]),
)
def test_property_whole_patients_all_sided_both_classes(profiles, seed, test):
    manifest = cohort(profiles)
    try:
        result = split_manifest(manifest, SplitSection(train=0.6, val=0.15, test=test, seed=seed))
    except DataError:
        normal = sum(0 in profile for profile in profiles)
        abnormal = sum(1 in profile for profile in profiles)
        assert min(normal, abnormal, len(profiles)) < 3  # three of each are always enough
        return
    sides = sides_of(result)
    assert all(case.split == sides[case.patient] for case in result.cases) and None not in sides.values()
    for side in ("train", "val"):
        labels = {min(case.label, 1) for case in result.cases if case.split == side}
        assert labels == {0, 1}


def test_own_split_is_honoured():
    split = ["train", "train", "val", "test", "test"]
    manifest = cohort([(0, 1)] * 5, split=split)
    result = split_manifest(manifest, SplitSection())
    assert result.cases == manifest.cases
    assert "given by the data itself" in result.account[0]


def test_split_file_wins_over_the_own_split(tmp_path, write_csv):
    manifest = cohort([(0, 1)] * 4, split=["train", "val", "test", "test"])
    path = write_csv(
        tmp_path / "s.csv",
        ["patient", "split"],
        [["p000", "test"], ["p001", "train"], ["p002", "validation"], ["p003", "TRAIN"]],
    )
    sides = sides_of(split_manifest(manifest, SplitSection(), path))
    assert sides == {"p000": "test", "p001": "train", "p002": "val", "p003": "train"}


def test_written_split_is_a_split_file(tmp_path):
    manifest = split_manifest(cohort([(0, 1)] * 9), SplitSection())
    write_split(manifest, tmp_path / "split.csv")
    again = split_manifest(cohort([(0, 1)] * 9), SplitSection(seed=99), tmp_path / "split.csv")
    assert again.cases == manifest.cases


def test_val_is_drawn_from_train_when_the_split_has_none():
    split = ["train"] * 16 + ["test"] * 4
    result = split_manifest(cohort([(0, 1)] * 20, split=split), SplitSection(train=0.6, val=0.2, test=0.2))
    counts = collections.Counter(sides_of(result).values())
    assert counts == {"train": 12, "val": 4, "test": 4}
    assert [sides_of(result)[f"p{n:03d}"] for n in range(16, 20)] == ["test"] * 4
    assert "drawn from its train patients" in result.account[0]


FILES = {
    "unknown": (
        [["p000", "train"], ["p001", "val"], ["p00", "test"]],
        r"line 4: patient 'p00' is not in the data \(did you mean 'p000'\?\)",
    ),
    "missing": ([["p000", "train"]], r"patient 'p001' of the data has no line"),
    "side": (
        [["p000", "train"], ["p001", "vla"]],
        r"line 3: split: expected train, val or test, received 'vla' \(did you mean 'val'\?\)",
    ),
    "two sides": (
        [["p000", "train"], ["p001", "val"], ["p000", "test"]],
        r"line 4: patient 'p000' is on two sides: train in line 2, test here",
    ),
}


@pytest.mark.parametrize("rows, message", FILES.values(), ids=FILES.keys())
def test_wrong_split_files(tmp_path, write_csv, rows, message):
    path = write_csv(tmp_path / "s.csv", ["patient", "split"], rows)
    with pytest.raises(DataError, match=message):
        split_manifest(cohort([(0, 1)] * 2), SplitSection(), path)


def test_split_file_needs_its_columns(tmp_path, write_csv):
    path = write_csv(tmp_path / "s.csv", ["name", "split"], [["p000", "train"]])
    with pytest.raises(DataError, match="columns patient,split; received name, split"):
        split_manifest(cohort([(0, 1)] * 2), SplitSection(), path)


def test_a_patient_on_two_sides_is_refused():
    manifest = cohort([(0, 1)] * 4, split=["train", "val", "test", "test"])
    cases = list(manifest.cases)
    cases[1] = replace(cases[1], split="test")
    with pytest.raises(
        DataError, match=r"patient 'p000' is on two sides \(test: p000_1.png, train: p000_0.png\)"
    ):
        split_manifest(replace(manifest, cases=tuple(cases)), SplitSection())


def test_a_patient_without_side_is_refused():
    manifest = cohort([(0, 1)] * 4, split=["train", "val", "test", None])
    with pytest.raises(DataError, match="patient 'p003' has no side"):
        split_manifest(manifest, SplitSection())


def test_sides_need_both_classes():
    manifest = cohort([(0,), (1,), (0, 1)], split=["val", "val", "train"])
    assert split_manifest(manifest, SplitSection())
    manifest = cohort([(0,), (1,), (0, 1)], split=["val", "train", "train"])
    with pytest.raises(DataError, match="val has no abnormal image"):
        split_manifest(manifest, SplitSection())


def test_one_class_only():
    with pytest.raises(DataError, match="one class only.*every image is normal"):
        split_manifest(cohort([(0,)] * 9), SplitSection())


def test_too_few_patients():
    with pytest.raises(
        DataError, match=r"2 patient\(s\) cannot be split into train and val and test; at least 3"
    ):
        split_manifest(cohort([(0, 1)] * 2), SplitSection())


def test_unlabelled_images_cannot_be_split():
    with pytest.raises(DataError, match=r"a split needs labels, 1 image\(s\) have none"):
        split_manifest(cohort([(0, 1), (None,), (0, 1)]), SplitSection())


@pytest.mark.parametrize(
    "section",
    [SplitSection(train=0.0, val=0.5, test=0.5), SplitSection(train=0.5, val=0.0, test=0.5)],
    ids=["train", "val"],
)
def test_train_and_val_cannot_be_empty(section):
    with pytest.raises(DataError, match="train and val must be above 0"):
        split_manifest(cohort([(0, 1)] * 9), section)


def test_leakage_names_patients_and_files():
    manifest = cohort([(0, 1)] * 3, split=["train", "val", "test"])
    hashes = {0: ["a"], 1: ["b"], 2: ["c"], 3: ["d"], 4: ["e"], 5: ["b", "f"]}
    with pytest.raises(
        DataError, match=r"p000_1.png \(patient p000, train\) and /data/p002_1.png \(patient p002, test\)"
    ) as caught:
        check_leakage(manifest, hashes)
    assert "1 image(s) have the same pixels on two sides" in str(caught.value)


def test_copies_on_one_side_are_no_leakage():
    check_leakage(
        cohort([(0, 1)] * 3, split=["train", "val", "train"]), {0: ["a"], 1: ["a"], 4: ["a"], 2: ["b"]}
    )
