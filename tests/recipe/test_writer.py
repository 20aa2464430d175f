import hashlib
import json
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clamnet_tf.errors import RecipeError
from clamnet_tf.recipe.catalogue import load_recipe, recipe_folder, recipe_names
from clamnet_tf.recipe.duplicates import draw_levels
from clamnet_tf.recipe.json_schema import alternatives, json_schema
from clamnet_tf.recipe.problems import recipe_error
from clamnet_tf.recipe.reader import read_text
from clamnet_tf.recipe.rules_network import head_numbers
from clamnet_tf.recipe.schema import Recipe
from clamnet_tf.recipe.validate import validate
from clamnet_tf.recipe.writer import recipe_hash, resolve, to_yaml

SCHEMA = json_schema()


def read(text):
    root, problems = read_text(text, "r.yaml")
    if root is None:
        raise recipe_error(problems)
    return validate(root, problems)


def values(part):
    """A strategy of everything that a part of the JSON Schema allows."""
    return st.one_of([one_value(candidate) for candidate in alternatives(SCHEMA, part)])


def one_value(part):
    if "properties" in part:
        return st.fixed_dictionaries({key: values(field) for key, field in part["properties"].items()})
    if "enum" in part or "const" in part:
        return st.sampled_from(part.get("enum", [part.get("const")]))
    kind = part.get("type")
    if kind == "array":
        entries = part.get("prefixItems")
        return (
            st.tuples(*map(values, entries)).map(list)
            if entries
            else st.lists(values(part["items"]), min_size=part.get("minItems", 0), max_size=4)
        )
    if kind == "integer":
        return st.integers(part.get("minimum", -1000), part.get("maximum", 10**9))
    if kind == "number":
        low, high = (
            part.get("minimum", part.get("exclusiveMinimum")),
            part.get("maximum", part.get("exclusiveMaximum")),
        )
        open_ends = {"exclude_min": "exclusiveMinimum" in part, "exclude_max": "exclusiveMaximum" in part}
        return st.floats(low, high, allow_nan=False, allow_infinity=False, **open_ends)
    if kind == "string" and "pattern" in part:
        return st.from_regex(re.compile(part["pattern"].replace("$", r"\Z"), re.ASCII)).filter(
            lambda text: len(text) <= part["maxLength"]
        )
    if kind == "string":
        return st.text(
            st.characters(exclude_categories=["Cs"]),
            min_size=part.get("minLength", 0),
            max_size=part["maxLength"],
        )
    if kind == "object":
        return st.dictionaries(st.sampled_from(["SeriesDescription", "EchoTime"]), st.just("x"))
    return {"boolean": st.booleans(), "null": st.none()}[kind]


def sequences():
    """A strategy of sequences that keep the rules."""
    usual = ["(?i)^(?!.*map).*t1", "_0000$", r"\\+ ?c"]
    patterns = st.sampled_from([*usual, "a: [b] # c", "'é\"", " ", "null"])
    match = st.fixed_dictionaries(
        {"SeriesDescription": patterns},
        optional={
            "EchoTime": st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2).map(sorted),
            "contrast": st.booleans(),
        },
    )
    one = st.fixed_dictionaries(
        {
            "name": st.sampled_from(["FLAIR", "T2", "low", "high"]),
            "match": match,
            "files": st.none() | st.lists(patterns, max_size=3),
        }
    )
    return st.lists(one, min_size=2, max_size=4, unique_by=lambda section: section["name"])


@st.composite
def recipes(draw):
    """Any recipe that keeps the rules."""
    data = draw(values(SCHEMA))
    network = data["network"]
    depth = network["depth"]
    data["data"]["side"] = draw(
        st.integers(16, 1024)
        .map(lambda side: max(side >> (depth - 1), 1) << (depth - 1))
        .filter(lambda side: side >= 16)
    )
    data["data"]["split"].update(train=0.5, val=0.25, test=0.25)
    data["data"]["channels"] = draw(
        st.none() | st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)
    )
    data["data"]["sequences"] = draw(st.none() | sequences())
    if data["data"]["sequences"]:
        data["data"]["sequences"][0]["reference"] = draw(st.booleans())
    else:
        data["data"]["registration"] = "none"
    if data["data"]["cohort"]:
        data["data"]["cohort"]["slices"] = 2 if data["data"]["cohort"]["kind"] == "bone_xray" else 4
    if data["pairs"]["augmentation"]["rand_augment"]:
        data["runtime"]["data_service"] = None
    data["organ"]["network"] = "lungs" if data["organ"]["method"] == "network" else None
    if data["data"]["normalization"] == "window":
        data["data"]["window"] = {"center": 40, "width": 80.5}
    network["pretrained"] = None  # it leaves no key of the grid free
    network["filters"] = draw(st.lists(st.integers(1, 512), min_size=depth, max_size=depth))
    network["kernels"] = draw(st.lists(st.sampled_from([1, 3, 5, 7]), min_size=depth, max_size=depth))
    network["duplicate"]["levels"] = draw(
        st.just("random") | st.lists(st.integers(0, depth - 1), max_size=depth, unique=True)
    )
    network["duplicate"]["count"] = draw(st.integers(0, depth))
    if data["classes"] and len({one["name"] for one in data["classes"]}) < len(data["classes"]):
        data["classes"] = None
    network["classes"] = 1 + len(data["classes"] or [""])
    if data["classes"]:
        network["output"] = "softmax"
        (
            data["loss"]["objective"],
            data["self_training"]["foreground_fraction"],
            data["inference"]["fill_holes"],
        ) = (
            "hybrid",
            None,
            False,
        )
    for limits in (data["pairs"]["augmentation"][key] for key in ("blur", "stretch", "zoom")):
        limits.sort()
    if data["training"]["supervision"] != "labels":
        data["training"]["shuffle_labels"] = False
        data["loss"]["objective"] = "hybrid"
    else:
        data["training"]["masked_patients"] = None
    if data["training"]["patients"] is not None:
        data["training"]["masked_patients"] = None
    if data["training"]["supervision"] != "mixed":
        data["training"]["masked_share"] = 0.25
        data["loss"]["mixed"] = {"mask_weight": 1.0, "label_weight": 1.0}
    if data["loss"]["objective"] != "hybrid":
        data["twin"]["kind"] = "none"
        data["loss"]["contrast"]["weight"] = 0
    data["loss"]["consistency"]["weight"] = (
        0 if data["twin"]["kind"] == "none" else draw(st.floats(1e-9, 1e9))
    )
    heads = head_numbers(depth, network["skips"])
    data["loss"]["head_weights"] = draw(
        st.none() | st.lists(st.floats(1e-9, 10), min_size=len(heads), max_size=len(heads))
    )
    if data["loss"]["objective"] == "classification":
        data["loss"]["head_weights"], heads = None, []
        data["inference"]["activation_map"]["level"] = draw(st.none() | st.integers(0, depth - 1))
    data["inference"]["head"] = draw(st.sampled_from(["mean", *heads]))
    data["training"]["batch_size"] = draw(st.integers(2, 500)) * 2
    data["training"]["optimizer"]["warmup_steps"] = draw(st.integers(0, data["training"]["steps"] - 1))
    if data["training"]["optimizer"]["name"] == "adam":
        data["training"]["optimizer"]["weight_decay"] = 0
    data["self_training"]["rounds"] = 0  # its network then needs not fit
    data["self_training"]["teacher"], data["attribution"] = "first_network", None
    if data["training"]["supervision"] == "mixed" or data["loss"]["objective"] != "hybrid":
        data["data"]["labels"] = "slice"
    if data["data"]["cohort"] and data["data"]["cohort"]["kind"] == "bone_xray":
        data["data"]["cohort"]["healthy"] = 0.0
    return Recipe.model_validate(data)


@settings(database=None, deadline=None, max_examples=40)
@given(recipes())
def test_a_resolved_recipe_read_back_is_the_same_object(recipe):
    back = read(to_yaml(recipe))
    assert back == resolve(recipe)
    assert back.model_dump() == resolve(recipe).model_dump()
    assert recipe_hash(back) == recipe_hash(recipe)
    assert to_yaml(back) == to_yaml(recipe)


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "1e-3",
        "1.0e3",
        "null",
        "3",
        "a: b",
        "# no comment",
        " x ",
        "Größe\nzweite Zeile\n",
        "\x85",
        "a\u2028b",
        "\ufeff",
        "a\r\nb",
        "\x00\x07",
        "'\"",
        "🧠",
    ],
)
def test_any_description_comes_back(small_text, text):
    recipe = read(small_text).model_copy(update={"description": text})
    assert read(to_yaml(recipe)).description == text
    assert yaml.safe_load(to_yaml(recipe))["description"] == text


@pytest.mark.parametrize("text", ["1e-3", "1e3", "1.0e3", "-2E6"])
def test_text_that_yaml_1_2_takes_for_a_number_is_quoted(small_text, text):
    assert f"description: '{text}'\n" in to_yaml(read(small_text).model_copy(update={"description": text}))


def test_every_yaml_reads_the_written_values_alike(small_text):
    recipe = read(small_text)
    assert yaml.safe_load(to_yaml(recipe)) == recipe.model_dump(mode="json")


def test_small_numbers_are_written_as_numbers(small_text):
    recipe = read(small_text.replace("side: 32", "side: 32\n  minimum_organ_fraction: 0.00001"))
    assert "minimum_organ_fraction: 1.0e-05\n" in to_yaml(recipe)


def test_drawn_levels_are_written_and_belong_to_the_seed(small_text):
    text = small_text + "  duplicate: {levels: random, count: 2, seed: 5}\n"
    drawn = resolve(read(text)).network.duplicate.levels
    assert len(set(drawn)) == 2 and set(drawn) <= {0, 1, 2} and drawn == sorted(drawn)
    assert f"levels: {drawn}" in to_yaml(read(text))
    assert resolve(read(text)).network.duplicate.levels == drawn
    assert resolve(resolve(read(text))) == resolve(read(text))
    assert read(text).network.duplicate.levels == "random"


def test_every_level_is_drawn_about_as_often():
    counts = [0] * 5
    for seed in range(500):
        for level in draw_levels(5, 2, seed):
            counts[level] += 1
    assert sum(counts) == 1000 and all(150 < count < 250 for count in counts)


def test_a_draw_stays_what_it_was():
    assert [draw_levels(5, 2, seed) for seed in range(4)] == [[2, 3], [0, 3], [2, 3], [0, 2]]


def test_drawing_more_levels_than_there_are():
    with pytest.raises(RecipeError, match="network.duplicate.count: expected 0..3, .*received 4"):
        draw_levels(3, 4, 0)


def test_hash_is_the_sha256_of_canonical_json(small_text):
    recipe = read(small_text)
    content = json.loads(recipe.model_dump_json())
    machine = content.pop("runtime")  # hashed under the keys of 0.1.0; who makes the batches does not count
    content["training"] |= {key: machine[key] for key in ("strategy", "mixed_precision", "xla")}
    content["pairs"]["views"] = content["pairs"].pop("augmentation")
    content["loss"]["agreement"] = content["loss"].pop("consistency")
    for section, renamed in {
        "self_training": {"marker": "foreground_fraction", "background": "background_fraction"},
        "inference": {
            "through_plane": "axial_smoothing",
            "main_component": "keep_largest_component",
            "appearance": "intensity_refinement",
        },
    }.items():
        for old, new in renamed.items():
            content[section][old] = content[section].pop(new)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert recipe_hash(recipe) == hashlib.sha256(text.encode()).hexdigest()


def test_hash_sees_values_and_not_their_spelling(small_text):
    base = recipe_hash(read(small_text))
    assert recipe_hash(read("# comment\n" + small_text)) == base
    assert recipe_hash(read(small_text + "loss: {eta: 0.7}\n")) == base
    assert recipe_hash(read(small_text + "loss: {eta: 0.71}\n")) != base
    window = "data: {side: 32, window: {center: %s, width: 80}}"
    whole, point = (
        recipe_hash(read(small_text.replace("data:\n  side: 32", window % center)))
        for center in ("40", "40.0")
    )
    assert whole == point


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_come_back(name):
    recipe = load_recipe(name)
    assert read(to_yaml(recipe)) == resolve(recipe)


@settings(database=None, deadline=None, max_examples=25)
@given(st.data())
def test_a_damaged_recipe_is_right_or_refused_with_lines(data):
    text = (recipe_folder() / "mri_carcinoma.yaml").read_text(encoding="utf-8")
    start = text.index("name:")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(start, len(text)))
        text = (
            text[:at]
            + data.draw(
                st.sampled_from(
                    [":", "-", " ", "\n", "\t", "[", "}", "&a ", "*a ", "!x ", "x", "0", "'", "#", ""]
                )
            )
            + text[at + 1 :]
        )
    try:
        read(text)
    except RecipeError as error:
        assert all(re.match(r"r\.yaml:\d+: ", line) for line in str(error).splitlines())


def test_a_recipe_of_one_marker_keeps_the_hash_that_it_had_before_there_were_several(small_text):
    recipe = read(small_text)
    assert "classes" not in recipe.model_dump(mode="json") and "classes" not in yaml.safe_load(
        to_yaml(recipe)
    )
    assert (
        recipe_hash(
            load_recipe(
                str(recipe_folder().parent / "zoo" / "mri_carcinoma" / "recipe.yaml"),
                ["inference.suppress_bilateral=false", "inference.volume_threshold=common"],
            )
        )
        == "b7d7cc909417888cd0df4d0c5e766e999efcb4a3eada26cecb4cf83075c46be8"
    )


def test_markers_are_written_and_read_back(small_text):
    markers = [
        {"name": "one", "eta": 0.5, "prevalence": None},
        {"name": "two", "eta": None, "prevalence": 0.02},
    ]
    recipe = read(small_text + f"  classes: 3\nclasses: {json.dumps(markers)}\n")
    assert read(to_yaml(recipe)) == recipe and recipe.model_dump(mode="json")["classes"] == markers
