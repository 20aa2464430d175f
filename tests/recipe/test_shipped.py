"""Every shipped recipe, collected from the catalogue."""

import json
import re

import pytest
import yaml

from clamnet_tf.recipe.catalogue import load_recipe, recipe_folder, recipe_names
from clamnet_tf.recipe.json_schema import all_paths, json_schema
from clamnet_tf.recipe.reader import read_file
from clamnet_tf.recipe.writer import resolve

each_recipe = pytest.mark.parametrize("name", recipe_names())


WITHOUT_COHORT = ("ct_trauma", "xray_lungs", "xray_pneumonia")  # learn from real images alone


@each_recipe
def test_is_named_after_its_file_and_condition(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert name.startswith(f"{recipe.modality}_{recipe.condition.split()[0].lower()}")
    assert recipe.description


@each_recipe
def test_writes_every_key_out(name):
    root, problems = read_file(recipe_folder() / f"{name}.yaml")
    assert problems == []
    written = root.plain()
    missing = []
    for path in all_paths(json_schema()):
        here = written
        for key in path:
            if here is None:  # an optional section that is null
                break
            if key not in here:
                missing.append(".".join(path))
                break
            here = here[key]
    assert missing == []


@each_recipe
def test_head_says_purpose_data_command_and_where_the_figures_are(name):
    text = (recipe_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    head = text[: text.index("\nname:")]
    assert all(line.startswith("#") or not line for line in head.splitlines())
    assert f"clamnet-tf fit recipes/{name}.yaml" in head
    if name not in WITHOUT_COHORT:
        assert "built-in cohort" in "\n".join(head.splitlines()[:5]) and "SIMULATED" in head
    assert re.search(r"^# measured: ", head, re.MULTILINE)


@each_recipe
def test_keeps_the_json_schema(name):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    written = yaml.safe_load((recipe_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    assert list(validator.iter_errors(written)) == []
    assert list(validator.iter_errors(json.loads(resolve(load_recipe(name)).model_dump_json()))) == []
    written["network"]["dpth"] = 3
    written["loss"]["eta"] = 2
    assert len(list(validator.iter_errors(written))) == 2


def test_json_schema_is_valid():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
