"""Study files: what is accepted, and every problem with its line and what to do."""

import pytest

from clamnet_tf.errors import RecipeError
from clamnet_tf.recipe.catalogue import recipe_names, study_names
from clamnet_tf.study.read import find_study, load_study


def test_a_right_study(write_study):
    study = load_study(write_study())
    assert [arm.name for arm in study.arms()] == [
        "twins",
        "no_twin",
        "short",
        "whole_organ",
        "supervised",
        "head_1",
        "wrong",
        "shuffled",
    ]
    assert study.arm("no_twin").set == {"twin.kind": "none", "loss.consistency.weight": 0.0}
    assert study.seeds == [0, 1] and study.splits == ["test"]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (
            "seeds: [0, 1]",
            "seed: [0, 1]",
            5,
            "seed: expected a key .*received 'seed'; nearest valid key seeds",
        ),
        (
            "seeds: [0, 1]",
            "seeds: [0, x]",
            5,
            r"seeds\[1\]: expected a whole number from 0 to 2147483647, received text 'x'",
        ),
        (
            "kind: ceilings",
            "kind: ceiling",
            17,
            r"groups\[1\].kind: expected main, ceilings, ablations or controls, received text 'ceiling'; "
            r"nearest valid value ceilings",
        ),
        (
            "{name: no_twin, title: No twin,",
            "{name: no_twin,",
            14,
            r"groups\[0\].arms\[1\].title: expected text .*, received nothing, and it has no default",
        ),
        (
            "name: short",
            "name: twins",
            15,
            r"groups\[0\].arms\[2\].name: expected a name that no other arm has, received twins",
        ),
        (
            "reference: twins",
            "reference: twin",
            6,
            "reference: expected the name of an arm, received twin; nearest valid name twins",
        ),
        (
            "ceiling: supervised",
            "ceiling: short",
            7,
            "ceiling: expected an arm of the kind supervised, received short, which is weak",
        ),
        (
            "reference: twins",
            "reference: whole_organ",
            6,
            "reference: expected an arm of the kind weak or mixed or supervised or control",
        ),
        (
            ", kind: simple, baseline: whole_organ",
            ", kind: simple",
            16,
            r"arms\[3\].*expected the name of a baseline, since the arm is simple",
        ),
        (
            "title: Short,",
            "title: Short, baseline: whole_organ,",
            15,
            "expected no baseline, since the arm is trained",
        ),
        (
            ", baseline: whole_organ",
            ", baseline: whole_organ, seeds: [1]",
            16,
            "expected nothing that is trained, since the arm is simple, received seeds",
        ),
        ("set: {training.steps: 20}", "set: 20", 15, r"arms\[2\].set: expected a section, received 20"),
    ],
)
def test_problems_name_their_line(write_study, study_text, old, new, line, message):
    assert old in study_text
    with pytest.raises(RecipeError, match=message) as caught:
        load_study(write_study(study_text.replace(old, new, 1)))
    assert f"made_up.yaml:{line}: " in str(caught.value)


def test_all_problems_at_once(write_study, study_text):
    text = study_text.replace("reference: twins", "reference: 3").replace(
        "seeds: [0, 1]", "seeds: []\nseeds: [1]"
    )
    with pytest.raises(RecipeError) as caught:
        load_study(write_study(text))
    assert len(str(caught.value).splitlines()) == 3


def test_shipped_studies_are_no_recipes_and_are_found_by_name():
    assert "study_mri" in study_names() and not set(study_names()) & set(recipe_names())
    for name in study_names():
        study = load_study(find_study(name))
        assert study.name == name and study.reference
    with pytest.raises(
        RecipeError,
        match="study_mir: expected a shipped study .study_chest_ct, study_fractures, study_masks, "
        "study_masks_nodule, study_mri, study_nodule, study_xray. or a "
        "path, "
        "received neither; nearest valid name study_mri",
    ):
        find_study("study_mir")
