"""Every shipped recipe, collected from the catalogue."""

import json
import re

import pytest
import yaml

from clamnet_tf.recipe.catalogue import load_recipe, recipe_folder, recipe_names
from clamnet_tf.recipe.json_schema import all_paths, json_schema
from clamnet_tf.recipe.reader import read_file
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.recipe.schema_attribution import AttributionSection
from clamnet_tf.recipe.writer import recipe_hash, resolve

each_recipe = pytest.mark.parametrize("name", recipe_names())


WITHOUT_COHORT = ("ct_nodule", "ct_trauma", "xray_lungs", "xray_pneumonia")  # learn from real images alone
DIFFERENCES = "Only what differs from the defaults is written"
EVERY_KEY = "Every key is written out"
NAMED_ANYWAY = {("name",), ("modality",), ("condition",), ("description",), ("data", "side")}
NEWER = (  # than the recipes that write every key
    "attribution", "loss.soft_dice", "organ.surroundings", "pairs.views.quarter_turns", "pairs.views.shift",
    *(f"data.normal_atlas.{key}" for key in ("opening", "level", "places")), "network.block", "self_training.network.block",
)


@each_recipe
def test_is_named_after_its_file_and_condition(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert name.startswith(f"{recipe.modality}_{recipe.condition.split()[0].lower()}")
    assert recipe.description


def text_of(name):
    return (recipe_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def test_recipes_say_whether_they_write_every_key():
    """One of the two sentences, in the head; the paper's says that all of it is written in a sentence of its own."""
    said = {name: (DIFFERENCES in text_of(name), EVERY_KEY in text_of(name)) for name in recipe_names()}
    assert [name for name, (one, other) in said.items() if one == other and name != "mri_carcinoma_paper"] == []


@pytest.mark.parametrize("name", [name for name in recipe_names() if DIFFERENCES not in text_of(name)])
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
    assert [key for key in missing if key not in NEWER and not key.startswith(("attribution.", "loss.soft_dice."))] == []


def leaves(section, defaults, path=()):
    """(path, value written, default) of every key of a written section; a section of null has the defaults of its own keys."""
    for key, value in section.items():
        default = defaults[key]
        if isinstance(value, dict) and isinstance(default, dict):
            yield from leaves(value, default, (*path, key))
        else:
            yield (*path, key), value, default


@pytest.mark.parametrize("name", [name for name in recipe_names() if DIFFERENCES in text_of(name)])
def test_writes_only_what_differs_from_the_defaults(name):
    written = read_file(recipe_folder() / f"{name}.yaml")[0].plain()
    least = {key: written[key] for key in ("name", "modality", "condition")}
    recipe = Recipe.model_validate(least)
    defaults = recipe.model_dump(mode="json")
    for key in ("data", "organ", "pairs", "network", "loss", "training", "self_training", "selection", "inference"):
        absent = getattr(recipe, key).__class__.model_fields  # a key that is left out of what is hashed while it has its default
        defaults[key] = {name: field.get_default(call_default_factory=True) for name, field in absent.items()} | defaults[key]
    defaults["attribution"] = AttributionSection().model_dump(mode="json")
    views = {"quarter_turns": False, "shift": 0.0}
    defaults["pairs"]["views"] |= views
    defaults["attribution"]["classifier"]["views"] |= views
    same = [path for path, value, default in leaves(written, defaults) if value == default and path not in NAMED_ANYWAY]
    assert same == []


#: recipe_hash at commit 17f1341, before the section attribution and the views' quarter turns and shifts.
HASHES = {
    "recipes/ct_carcinoma.yaml": "8bc6c08ffdc7a40a81becf4bdc2321159e21bbbbfa73e5136f99ac817ba1567a",
    "recipes/ct_haemorrhage.yaml": "5981ddd94d3ab4667a362d7fbddf7629e68b65ecac179dea1b081a81f804fdbb",
    "recipes/ct_trauma.yaml": "e3093782ec8b8b9147420738588783824ff1f7b1ffcb9e604672c8cd4ac0bbca",
    "recipes/mri_carcinoma.yaml": "80f2f9ae3d603d9ab28c4fef7b6021771270483df76e6c067e55621ffdcb7a02",
    "recipes/mri_carcinoma_paper.yaml": "d7a2974a7fcec89c1fbaadd01ad41376d2581e9ce06f9e96f7ec83a26583f8ca",
    "recipes/xray_lungs.yaml": "43cb80ad604007ec47aacef6c2f20c0226a8e4b45e03c1d702009bb2a9d780bf",
    "recipes/xray_pneumonia.yaml": "8223e5fe3b9730de5c664d84ea8784f2a0656cbb36962c932c3ebda65e39aca1",
    "recipes/xray_trauma.yaml": "50693630544538365b4c0dc7d43705aa2777a8859c7aa7458871bfdf57222bf6",
    "zoo/ct_carcinoma/recipe.yaml": "8bc6c08ffdc7a40a81becf4bdc2321159e21bbbbfa73e5136f99ac817ba1567a",
    "zoo/ct_haemorrhage/recipe.yaml": "5981ddd94d3ab4667a362d7fbddf7629e68b65ecac179dea1b081a81f804fdbb",
    "zoo/ct_trauma/recipe.yaml": "3ed243507d04c14f4303458527464eda7e7bfadb1f0704f0d4281992eda786a8",
    "zoo/mri_carcinoma/recipe.yaml": "ab4c33cce53e45d1485f4f863365cad391e895b7fede97b95fbead30b7ffae3d",
    "zoo/xray_lungs/recipe.yaml": "1b904057a068814ffea24fd097d0da2fef19d34ef5ee7950ebe5450f22404f10",
    "zoo/xray_pneumonia/recipe.yaml": "1802bebdcc8ac88ac7144451842c0ad59d063999463783ad1a488a4a254740a0",
    "zoo/xray_trauma/recipe.yaml": "cba63c4751d8e8643def94850bd1f563c74246cf9379a9c34a63cc0df678edec",
}


@pytest.mark.parametrize("path", HASHES)
def test_a_recipe_older_than_a_key_keeps_its_hash(path):
    """Runs, studies and zoo entries name a recipe by its hash: a new key with its default must not change it."""
    assert recipe_hash(load_recipe(str(recipe_folder().parent / path))) == HASHES[path]


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
    written.setdefault("network", {})["dpth"] = 3
    written.setdefault("loss", {})["eta"] = 2
    assert len(list(validator.iter_errors(written))) == 2


def test_json_schema_is_valid():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())
