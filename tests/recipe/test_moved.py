"""Recipes, run folders, zoo entries and overrides with the keys of 0.1.0 mean and hash the same today."""

import re
from pathlib import Path

import pytest

from clamnet_tf.inference.postprocessing.one_class import PostprocessingConfig
from clamnet_tf.inference.trained_model import load_trained_model
from clamnet_tf.recipe.catalogue import load_recipe, recipe_folder, recipe_of
from clamnet_tf.recipe.json_schema import all_paths, json_schema
from clamnet_tf.recipe.moved import MOVED
from clamnet_tf.recipe.writer import recipe_hash, to_yaml
from clamnet_tf.runs import RunFolder

BEFORE = Path(__file__).with_name(
    "written_before_runtime.yaml"
)  # kept as it was: entries of the zoo are written anew
SAID_THEN = (
    "b7d7cc909417888cd0df4d0c5e766e999efcb4a3eada26cecb4cf83075c46be8"  # by `clamnet-tf recipe validate`
)


def test_the_table_names_keys_of_today_alone():
    paths = set(all_paths(json_schema()))
    known = paths | {path[:length] for path in paths for length in range(1, len(path))}
    assert set(MOVED.values()) <= known and not set(MOVED) & known


def test_a_recipe_written_before_keeps_values_and_hash():
    assert "runtime:" not in BEFORE.read_text()
    recipe = load_recipe(BEFORE)
    assert recipe.runtime.strategy == "auto" and recipe_hash(recipe) == SAID_THEN
    again = recipe_of(to_yaml(recipe))
    assert "runtime:\n  strategy: auto" in to_yaml(recipe) and again == recipe


def test_values_come_along_and_keep_their_line(write_recipe, small_text, problems_of):
    old = small_text + "training:\n  strategy: mirrored\n  xla: true\n  mixed_precision: true\n"
    found = load_recipe(write_recipe(old)).runtime
    assert (found.strategy, found.xla, found.mixed_precision) == ("mirrored", True, True)
    line = len(small_text.splitlines()) + 2
    [said] = problems_of(old.replace("mirrored", "two"))
    assert said.startswith(
        f"r.yaml:{line}: runtime.strategy: expected auto, one_device, mirrored or multi_worker, received "
    )


def test_a_key_in_both_places_is_refused(small_text, problems_of):
    both = small_text + "training: {strategy: auto}\nruntime: {strategy: auto, xla: false}\n"
    [said] = problems_of(both)
    assert re.search(
        r"r.yaml:\d+: training.strategy: expected runtime.strategy alone, as this key is called now, "
        r"received both; remove this one",
        said,
    )


OLD_OVERRIDES = {
    "training.strategy=mirrored": lambda recipe: recipe.runtime.strategy == "mirrored",
    "pairs.views.zoom=[0.9, 1.1]": lambda recipe: recipe.pairs.augmentation.zoom == (0.9, 1.1),
    "loss.agreement.weight=0.25": lambda recipe: recipe.loss.consistency.weight == 0.25,
    "self_training.marker=0.1": lambda recipe: recipe.self_training.foreground_fraction == 0.1,
    "self_training.background=0.8": lambda recipe: recipe.self_training.background_fraction == 0.8,
    "inference.through_plane=0.7": lambda recipe: recipe.inference.axial_smoothing == 0.7,
    "inference.main_component=0.2": lambda recipe: recipe.inference.keep_largest_component == 0.2,
    "inference.one_sided=true": lambda recipe: recipe.inference.suppress_bilateral is True,
    "inference.appearance=0.4": lambda recipe: recipe.inference.intensity_refinement == 0.4,
}


@pytest.mark.parametrize("override", OLD_OVERRIDES)
def test_an_override_with_the_old_key_sets_the_new_one(write_recipe, small_text, override):
    assert OLD_OVERRIDES[override](load_recipe(write_recipe(small_text), [override]))


def test_the_old_list_of_markers_is_the_list_of_classes(write_recipe, small_text):
    text = small_text + "  classes: 3\nmarkers: [{name: one}, {name: two}]\n"
    assert [one.name for one in load_recipe(write_recipe(text)).classes] == ["one", "two"]


def test_the_old_and_the_new_key_are_one_key(small_text, problems_of):
    twice = problems_of(small_text, "inference.one_sided=true", "inference.suppress_bilateral=false")
    assert twice == [
        "--set inference.suppress_bilateral: expected each key once, received it again; "
        "remove one of the overrides"
    ]
    old = small_text + "inference: {through_plane: 0.5}\n"
    assert problems_of(old, "inference.axial_smoothing=0.7") == []


def test_a_zoo_entry_and_a_run_folder_of_0_1_0_are_read(tmp_path):
    """Entry of the repository as 0.1.0 published it: recipe and selection.json have the old keys."""
    entry = recipe_folder().parent / "zoo" / "mri_carcinoma"
    text = (entry / "recipe.yaml").read_text()
    assert "views:" in text and "one_sided: true" in text
    run = RunFolder(entry)
    [steps] = [part.steps for part in load_trained_model(run, load_recipe(run.recipe)).volume.parts]
    assert steps == PostprocessingConfig.of(load_recipe(entry / "recipe.yaml").inference)
    assert (steps.suppress_bilateral, steps.axial_smoothing) == (True, 1.1)


@pytest.mark.parametrize(
    "text",
    ["training: 3\n", "training: {strategy: auto}\nruntime: 5\n", "runtime: null\ntraining: {xla: 1}\n"],
)
def test_what_is_wrong_besides_is_said_once(small_text, problems_of, text):
    assert len(problems_of(small_text + text)) == 1


def test_a_run_begun_before_is_resumed(tmp_path):
    """Its folder holds the recipe with the keys in their old place."""
    old = BEFORE.read_text()
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(old)
    run = RunFolder.open_for_training(folder, to_yaml(recipe_of(old)), resume=True)
    assert run.has_recipe(to_yaml(recipe_of(old)))
    assert not run.has_recipe(to_yaml(load_recipe(folder / "recipe.yaml", ["runtime.strategy=mirrored"])))
