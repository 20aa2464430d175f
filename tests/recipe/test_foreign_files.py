"""Unknown keys inside of lists, files that are no recipes, pipes: one named error, and nothing of a foreign
file in it.
"""

import os
import time

import pytest

from clamnet_tf.errors import RecipeError, ZooError
from clamnet_tf.recipe.catalogue import load_recipe, recipe_folder
from clamnet_tf.study.read import load_study
from clamnet_tf.zoo.catalogue import packaged_folder
from clamnet_tf.zoo.index import MOST_ENTRIES, read_index
from clamnet_tf.zoo.read import read_entry

SECRETS = ("hunter2", "s3cr3t", "DB_PASSWORD", "AKIA0123")


def test_an_unknown_key_in_an_item_of_a_recipe(tmp_path):
    path = tmp_path / "r.yaml"
    text = (recipe_folder() / "mri_carcinoma.yaml").read_text()
    several = "classes: [{name: a, eta: 0.5, prevalence: 0.1, etta: 1}, {name: b, zz: 2}]\n"
    path.write_text(text + several)
    told = (
        r"classes\[0\]\.etta: expected a key of classes\[0\] \(name, eta, prevalence\), received 'etta'; "
        r"nearest valid key"
    )
    with pytest.raises(RecipeError, match=told + r" classes\[0\]\.eta"):
        load_recipe(path)


def test_an_unknown_key_in_an_item_of_a_study(tmp_path):
    text = next(recipe_folder().glob("study_*.yaml")).read_text()
    path = tmp_path / "s.yaml"
    path.write_text(
        text.replace("- name:", "- nmae: x\n        name:", 1)
        if "- name:" in text
        else text + "\ngroups: [{arms: [{q: 1}]}]"
    )
    with pytest.raises(RecipeError, match=r"groups\[0\].*: expected a key of groups\[0\]"):
        load_study(path)


def test_an_unknown_key_in_an_item_of_an_entry(tmp_path):
    text = next(packaged_folder().glob("*/entry.yaml")).read_text()
    (tmp_path / "entry.yaml").write_text(text.replace("changelog:\n", "changelog:\n- {version: 1, q: 2}\n"))
    with pytest.raises(
        ZooError,
        match=r"changelog\[0\]\.q: expected a key of changelog\[0\] \(version, date, changes\), received 'q'",
    ):
        read_entry(tmp_path)


def test_an_unknown_key_in_an_item_of_an_index():
    with pytest.raises(
        ZooError, match=r"entries\[0\]\.files\[0\]\.q: expected a key of entries\[0\]\.files\[0\]"
    ):
        read_index(
            b'{"format": 1, "entries": [{"name": "a", "version": 1, "files": [{"q": 1}]}]}', "index.json"
        )


@pytest.mark.parametrize(
    "content",
    [
        "DB_PASSWORD: hunter2\nAKIA0123: s3cr3t\n",
        "DB_PASSWORD: [hunter2\ns3cr3t: :\n",
        "{hunter2: !s3cr3t x, AKIA0123: *DB_PASSWORD}\n",
        "root:x:hunter2\ns3cr3t\n",
        "'hunter2\n",
        "%TAG !s3cr3t! x\n---\nhunter2",
        "hunter2: 'a' s3cr3t\n",
        "&hunter2 a: 1\nb: &s3cr3t [\n",
    ],
)
@pytest.mark.parametrize("load", [load_recipe, load_study])
def test_a_file_of_secrets_is_not_quoted(tmp_path, content, load):
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    with pytest.raises(RecipeError) as caught:
        load(path)
    assert "wrong.yaml" in str(caught.value) and not any(word in str(caught.value) for word in SECRETS), (
        caught.value
    )


def test_an_entry_of_secrets_is_not_quoted(tmp_path):
    (tmp_path / "entry.yaml").write_text("DB_PASSWORD: hunter2\n")
    with pytest.raises(
        ZooError, match="expected a zoo entry .*, received a file with none of its keys"
    ) as caught:
        read_entry(tmp_path)
    assert not any(word in str(caught.value) for word in SECRETS)


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "r.yaml")
    began = time.monotonic()
    with pytest.raises(
        RecipeError, match="r.yaml: expected a readable file, received it is a pipe or device"
    ):
        load_recipe(tmp_path / "r.yaml")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("entries", ["{}," * 80_000 + "{}", '{"a":1},' * 50_000 + "1"])
def test_an_index_of_very_many_entries(entries):
    began = time.process_time()
    with pytest.raises(ZooError, match=f"expected an index of at most {MOST_ENTRIES:,} entries"):
        read_index(f'{{"format": 1, "entries": [{entries}]}}'.encode(), "index.json")
    assert time.process_time() - began < 5


def test_many_problems_are_counted_and_cost_little():
    began = time.process_time()
    with pytest.raises(ZooError, match=r"\.\.\. and \d+ more$") as caught:
        read_index(f'{{"format": 1, "entries": [{"{}," * 4000}1]}}'.encode(), "index.json")
    assert time.process_time() - began < 10 and len(str(caught.value)) < 100_000


@pytest.mark.parametrize(
    "text, told",
    [
        (
            b'{"format": 1, "entries": [{"name": "a", "version": 1' + b"0" * 300 + b', "files": []}]}',
            "it is none \\(a number of 301 signs\\)",
        ),
        (
            b'{"format": 1, "entries": [{"name": "a", "version": 10000000, "files": []}]}',
            "version: expected a whole number from 1 to 1000000",
        ),
        (b'{"format": ' + b"9" * 5000 + b"}", "a number of 5000 signs"),
        (b"[" * 100_000, "more than 40 levels of nesting"),
        (b'{"format": NaN}', "the number NaN"),
        (b"\xff", "it is none"),
        (b"[]", "received list"),
    ],
)
def test_odd_json_is_named(text, told):
    with pytest.raises(ZooError, match=told):
        read_index(text, "index.json")
