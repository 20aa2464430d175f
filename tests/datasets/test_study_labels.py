"""Labels of studies: whose label it is, what contradicts, and what is made of the built-in cohort."""

from dataclasses import replace
from pathlib import Path

import pytest

from clamnet_tf.datasets.manifest import Case, Manifest, read_manifest, write_manifest
from clamnet_tf.datasets.study_labels import with_label_level
from clamnet_tf.errors import DataError
from clamnet_tf.recipe.schema_data import CohortSection
from clamnet_tf.simulation.cohorts import COHORTS, cohort_key, is_healthy, write_cohort


def cases(patient, labels, **more):
    return [
        Case(Path(f"/data/{patient}_{more.get('series', '')}{index}.png"), patient, label, **more)
        for index, label in enumerate(labels)
    ]


def manifest(*groups, layout="manifest"):
    return Manifest(Path("/data"), tuple(case for group in groups for case in group), layout=layout)


def test_the_recipe_decides_where_the_manifest_is_silent():
    found = with_label_level(manifest(cases("a", [1, 1]), cases("b", [0, 0])), "study")
    assert {case.label_level for case in found.cases} == {"study"}
    assert found.account == (
        "Labels are those of studies: 1 abnormal, each of whose slices may hold the lesion, and 1 normal.",
    )
    of_slices = with_label_level(manifest(cases("a", [1, 0])), "slice")
    assert {case.label_level for case in of_slices.cases} == {"slice"} and of_slices.account == ()


def test_a_column_decides_row_by_row():
    some = manifest(cases("a", [1, 1], label_level="study"), cases("b", [0, 1, 0]))
    found = with_label_level(some, "slice")
    assert [case.label_level for case in found.cases] == ["study"] * 2 + ["slice"] * 3
    assert "1 abnormal" in found.account[0] and "3 images have labels of their own" in found.account[0]


@pytest.mark.parametrize(
    "group, said",
    [
        (cases("p", [0, 1, 1]), r"patient 'p': 1 slices with label 0, 2 slices with label 1"),
        (
            [*cases("p", [1], markers=("one",)), *cases("p", [1], markers=("two",), site="x")],
            r"patient 'p': slices with the lesion classes one and two",
        ),
        (
            [*cases("p", [1, 1], label_level="study"), *cases("p", [1], label_level="slice")],
            r"patient 'p': slices are labelled 1 by slice and 2 by study",
        ),
    ],
)
def test_labels_of_slices_in_one_study_are_refused(group, said):
    with pytest.raises(DataError, match=said) as error:
        with_label_level(manifest(group, cases("n", [0])), "study")
    assert "data.labels: slice" in str(error.value) and "1 of 2 studies" in str(error.value)


def test_two_studies_of_one_patient_need_a_series():
    two = cases("p", [1, 1], series="first"), cases("p", [0, 0], series="second")
    assert "1 abnormal" in with_label_level(manifest(*two), "study").account[0]
    nameless = [replace(case, series=None) for group in two for case in group]
    with pytest.raises(DataError, match="name the studies in a column series"):
        with_label_level(manifest(nameless), "study")


def test_without_a_normal_study_nothing_can_be_learned():
    with pytest.raises(DataError, match="expected normal studies .*received 2 studies, all of them abnormal"):
        with_label_level(manifest(cases("a", [1, 1]), cases("b", [1])), "study")


def test_an_evaluation_takes_labels_of_slices_where_they_are_better():
    found = with_label_level(manifest(cases("a", [1, 0]), cases("b", [1, 1])), "study", training=False)
    assert [case.label_level for case in found.cases] == ["slice", "slice", "study", "study"]


def test_the_column_is_read_and_written(tmp_path):
    (tmp_path / "x.png").touch()
    table = tmp_path / "m.csv"
    table.write_text("image,patient,label,label_level\nx.png,p,1,Study\n")
    read = read_manifest(table)
    assert read.cases[0].label_level == "study"
    write_manifest(read, tmp_path / "again.csv")
    assert read_manifest(tmp_path / "again.csv").cases == read.cases
    table.write_text("image,patient,label,label_level\nx.png,p,1,studdy\n")
    with pytest.raises(DataError, match=r"label_level: expected slice or study, received 'studdy' \(did you"):
        read_manifest(table)


def test_healthy_patients_are_spread_evenly_and_over_both_scanners():
    for share in (0.1, 0.25, 0.5, 0.8):
        flags = [is_healthy(index, share) for index in range(80)]
        assert sum(flags) == round(80 * share) and flags[::2] == flags[1::2]
        assert abs(sum(flags[:40]) - 40 * share) <= 2
    assert not any(is_healthy(index, 0.0) for index in range(40))


@pytest.mark.parametrize("kind", ["brain_mri", "chest_ct", "abdomen_ct", "head_ct"])
def test_a_healthy_patient_has_no_lesion_and_the_others_are_unchanged(kind, tmp_path):
    section = CohortSection(kind=kind, patients=4, slices=4, side=48, seed=3)
    half = section.model_copy(update={"healthy": 0.5})
    assert cohort_key(section) != cohort_key(half)
    assert "healthy" not in section.model_dump()
    plain, mixed = (write_cohort(one, tmp_path / name) for one, name in ((section, "plain"), (half, "mixed")))
    assert [case.label for case in mixed.cases[8:]] == [0] * 8
    for one, two in zip(plain.cases[:8], mixed.cases[:8]):
        assert one.label == two.label
        if one.image.is_file():
            assert one.image.read_bytes() == two.image.read_bytes()
    found = with_label_level(mixed, "study")
    assert COHORTS[kind].title and {case.label for case in found.cases[8:]} == {0}
    for case in found.cases:
        slices = [other.label for other in mixed.cases if other.patient == case.patient]
        assert case.label == max(slices) and case.label_level == "study"
