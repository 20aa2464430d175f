import json
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from clamnet_tf.cli.recipe import recipe, table
from clamnet_tf.errors import RecipeError
from clamnet_tf.recipe.catalogue import load_recipe, recipe_names
from clamnet_tf.recipe.json_schema import all_paths, json_schema
from clamnet_tf.recipe.reader import read_text
from clamnet_tf.recipe.validate import validate
from clamnet_tf.recipe.writer import recipe_hash, resolve


@pytest.fixture
def run():
    def invoke(*arguments):
        return CliRunner().invoke(recipe, arguments)

    return invoke


def test_list(run):
    result = run("list")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].split() == ["NAME", "MODALITY", "CONDITION"]
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == recipe_names()
    text = " ".join(result.output.split())
    for name in recipe_names():
        assert " ".join(load_recipe(name).description.split()) in text, name
    assert all(len(line) <= 80 for line in lines)


def test_table_keeps_80_columns_and_names_in_full():
    rows = [
        ("NAME", "MODALITY", "CONDITION", ""),
        ("a" * 60, "xray", "c " * 30, "word " * 99),
        ("b", "mri", "carcinoma", ""),
    ]
    lines = list(table(rows))
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].startswith("a" * 60 + "  xray")
    assert " ".join(lines).count("word") == 99  # nothing of a description is cut


def test_show_prints_the_resolved_recipe(run):
    result = run(
        "show",
        "mri_carcinoma",
        "--set",
        "network.duplicate.levels=random",
        "--set",
        "network.duplicate.count=2",
    )
    assert result.exit_code == 0
    expected = resolve(
        load_recipe("mri_carcinoma", ["network.duplicate.levels=random", "network.duplicate.count=2"])
    )
    assert validate(read_text(result.output, "shown")[0]) == expected
    assert (
        f"levels: {expected.network.duplicate.levels}" in result.output
        and "random\n" not in result.output.split("duplicate:")[1].split("classes:")[0]
    )


@pytest.mark.parametrize("name", recipe_names())
def test_show_prints_every_key(run, name):
    shown = yaml.safe_load(run("show", name).output)
    missing = []
    for path in all_paths(json_schema()):
        here = shown
        for key in path:
            if here is None or isinstance(here, list):  # an optional section that is null
                break
            if key not in here:
                missing.append(".".join(path))
                break
            here = here[key]
    assert missing == []


def test_validate(run, write_recipe):
    path = write_recipe()
    result = run("validate", path)
    assert (result.exit_code, result.output) == (
        0,
        f"OK r.yaml: recipe small, sha256 {recipe_hash(load_recipe(path))}\n",
    )


def test_validate_reports_every_problem(run, write_recipe):
    path = write_recipe("name: a\nmodality: mr\ncondition: c\nlos: {eta: 1}\n")
    result = run("validate", path, "--set", "training.steps=x")
    assert isinstance(result.exception, RecipeError) and result.exception.exit_code == 2
    assert [line.split(": expected")[0] for line in str(result.exception).splitlines()] == [
        "r.yaml:2: modality",
        "r.yaml:4: los",
        "--set training.steps",
    ]


def test_schema(run):
    result = run("schema")
    assert result.exit_code == 0
    assert json.loads(result.output) == json_schema()
    assert json.loads(result.output)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("arguments", [["validate"], ["show"], ["show", "mri_carcinoma", "--sets", "x"]])
def test_usage_errors(run, arguments):
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("name", ["list", "show", "validate", "schema"])
def test_help(run, name):
    result = run(name, "--help")
    assert result.exit_code == 0 and name in result.output


def test_recipes_need_neither_tensorflow_nor_numpy():
    code = (
        "import sys; from click.testing import CliRunner; from clamnet_tf.cli.recipe import recipe; "
        "assert 'pydantic' not in sys.modules; "
    )
    code += "assert CliRunner().invoke(recipe, ['show', 'mri_carcinoma']).exit_code == 0; "
    code += "print([name for name in ('tensorflow', 'keras', 'numpy') if name in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
