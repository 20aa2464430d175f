"""Every shipped recipe, collected from the catalogue."""

import json
import re

import pytest
import yaml

from clamnet_tf.errors import RecipeError
from clamnet_tf.recipe.catalogue import load_recipe, recipe_folder, recipe_names, recipe_of
from clamnet_tf.recipe.json_schema import json_schema
from clamnet_tf.recipe.reader import read_file
from clamnet_tf.recipe.writer import recipe_hash, resolve, yaml_text

ZOO = recipe_folder().parent / "zoo"
each_recipe = pytest.mark.parametrize("name", recipe_names())


WITHOUT_COHORT = (
    "ct_nodule",
    "ct_trauma",
    "xray_carcinoma",
    "xray_lungs",
    "xray_pneumonia",
    "xray_trauma",
)  # learn from real images alone
SAID_ANYWAY = {("name",), ("modality",), ("condition",), ("description",), ("data", "side")}

#: recipe_hash of every shipped recipe: the frozen copy of what it resolves to. Runs, studies and zoo entries
#: name a
#: recipe by its hash. A hash changes with a recipe's values on purpose, never with a new key or a new way to
#: write it.
RECIPES = {
    "ct_carcinoma": "8bc6c08ffdc7a40a81becf4bdc2321159e21bbbbfa73e5136f99ac817ba1567a",
    "ct_haemorrhage": "5981ddd94d3ab4667a362d7fbddf7629e68b65ecac179dea1b081a81f804fdbb",
    "ct_nodule": "22e7e56583784267de1c7ffceae7b1323372dbf50a95a8ee5e14be6333bd564c",
    "ct_pneumonia": "555896465b6afdd87df9c0b5b03f44e99de74200967684b30891b5fe1d07e30f",
    "ct_trauma": "e3093782ec8b8b9147420738588783824ff1f7b1ffcb9e604672c8cd4ac0bbca",
    "mri_carcinoma": "3c678a15f4940df0b39163c8556990e5c01d2eae629693d93776e10540d279c0",
    "mri_carcinoma_paper": "d7a2974a7fcec89c1fbaadd01ad41376d2581e9ce06f9e96f7ec83a26583f8ca",
    "xray_carcinoma": "d7108467287f5e16a60ddc94c5ed6dffe03eb60ff7ff0d623cfdb60240ec5dd5",
    "xray_lungs": "43cb80ad604007ec47aacef6c2f20c0226a8e4b45e03c1d702009bb2a9d780bf",
    "xray_pneumonia": "8223e5fe3b9730de5c664d84ea8784f2a0656cbb36962c932c3ebda65e39aca1",
    "xray_trauma": "e1776879b15d7b41940dcfb315c916e6d7feb7c697eb3b78fa1253c64afdb451",
}
#: The same of the recipes that the zoo's entries were trained with.
ENTRIES = {
    "ct_carcinoma": "8bc6c08ffdc7a40a81becf4bdc2321159e21bbbbfa73e5136f99ac817ba1567a",
    "ct_haemorrhage": "5981ddd94d3ab4667a362d7fbddf7629e68b65ecac179dea1b081a81f804fdbb",
    "ct_nodule": "22e7e56583784267de1c7ffceae7b1323372dbf50a95a8ee5e14be6333bd564c",
    "ct_pneumonia": "c031cb246500560f2460f8c7e67e9c51ed4e1903b94a41993f79c5999a9168c5",
    "ct_trauma": "3ed243507d04c14f4303458527464eda7e7bfadb1f0704f0d4281992eda786a8",
    "mri_carcinoma": "906f4b124fade8eba8b5ffac46f9277f551ac02b0617ec99d132991493b569c7",
    "xray_carcinoma": "d7108467287f5e16a60ddc94c5ed6dffe03eb60ff7ff0d623cfdb60240ec5dd5",
    "xray_lungs": "1b904057a068814ffea24fd097d0da2fef19d34ef5ee7950ebe5450f22404f10",
    "xray_pneumonia": "1802bebdcc8ac88ac7144451842c0ad59d063999463783ad1a488a4a254740a0",
    "xray_trauma": "a4a251d87b45d5cad0d0f71663149841eb9236c2ab7f23bffdec086bb014e004",
}


def test_the_frozen_copy_is_whole():
    assert sorted(RECIPES) == recipe_names()
    assert sorted(ENTRIES) == sorted(path.parent.name for path in ZOO.glob("*/recipe.yaml"))


@each_recipe
def test_resolves_to_the_frozen_copy(name):
    assert recipe_hash(load_recipe(name)) == RECIPES[name]


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entrys_recipe_resolves_to_the_frozen_copy(name):
    assert recipe_hash(load_recipe(str(ZOO / name / "recipe.yaml"))) == ENTRIES[name]


@each_recipe
def test_is_named_after_its_file_and_condition(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert name.startswith(f"{recipe.modality}_{recipe.condition.split()[0].lower()}")
    assert recipe.description


def leaves(section, path=()):
    """Path of every key below a section, those of sections left out."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def without(content, path):
    """A copy of `content` without the key at `path`, and without sections that are empty then."""
    key, *rest = path
    below = without(content[key], rest) if rest else None
    return {other: value for other, value in content.items() if other != key} | (
        {key: below} if below else {}
    )


@each_recipe
def test_writes_only_what_differs_from_the_defaults(name):
    """A key that could be left out without a change of the recipe is not written."""
    written = read_file(recipe_folder() / f"{name}.yaml")[0].plain()
    idle = []
    for path in set(leaves(written)) - SAID_ANYWAY:
        if path[:2] == ("data", "normal_atlas"):  # null by default: it is said whole
            continue
        try:
            less = recipe_of(yaml_text(without(written, path)))
        except RecipeError:
            continue
        if recipe_hash(less) == RECIPES[name]:
            idle.append(".".join(path))
    assert idle == []


@each_recipe
def test_head_says_purpose_data_command_and_where_the_figures_are(name):
    text = (recipe_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    head = text[: text.index("\nname:")]
    assert all(line.startswith("#") or not line for line in head.splitlines())
    assert f"clamnet-tf fit recipes/{name}.yaml" in head
    if name not in WITHOUT_COHORT:
        assert "built-in cohort" in "\n".join(head.splitlines()[:5]) and "SIMULATED" in head
    assert re.search(r"^# measured: ", head, re.MULTILINE)
    assert f"`clamnet-tf recipe show {name}` prints every key with its value" in head


@each_recipe
def test_keeps_the_json_schema(name):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    written = yaml.safe_load((recipe_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    assert list(validator.iter_errors(written)) == []
    assert list(validator.iter_errors(json.loads(resolve(load_recipe(name)).model_dump_json()))) == []
    written.setdefault("network", {})["dpth"] = 3
    written.setdefault("loss", {})["eta"] = 2
    assert len(list(validator.iter_errors(written))) == 2


def test_json_schema_is_valid():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
