"""Recipes written before keys moved to the section runtime: read alike, hashed alike."""

import re
from pathlib import Path

import pytest

from clamnet_tf.recipe.catalogue import load_recipe, recipe_of
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
    assert set(MOVED.values()) <= paths and not set(MOVED) & paths


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
        r"r.yaml:\d+: training.strategy: expected runtime.strategy alone, where this key stands now, "
        r"received both; remove this one",
        said,
    )


def test_an_override_is_told_the_new_place(small_text, problems_of):
    assert problems_of(small_text, "training.strategy=mirrored") == [
        "--set training.strategy: expected runtime.strategy, where this key stands now, received its old "
        "place; write --set runtime.strategy=..."
    ]


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
