import pytest

from clamnet_tf.errors import RecipeError, UserInputError
from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.json_schema import all_paths, field_schema, json_schema

BAD = """\
name: Bad Name
modality: MRI
condition: !!python/object:os.system carcinoma
data:
  side: 130
  side: 128
  normalization: window
  channels: 3
netwrk:
  depth: 3
pairs:
  augmentation:
    blur: [1.0, 0.9]
    flip: yes
    stretch: [0.9]
loss:
  eta: 0
  consistency:
    weight: 0
training:
  batch_size: 15
  optimizer:
    learning_rate: 1e-3
    learning_rat: 0.1
batch_size: 3
inference:
  head: 9
"""


def test_everything_wrong_is_reported_in_one_go(problems_of):
    assert problems_of(BAD, "training.steps=0", "loss.k=3", "data.sid=3") == [
        "r.yaml:1: name: expected text of 0 to 60 characters of the form ^[a-z0-9][a-z0-9_]*$, received "
        "text 'Bad Name'",
        "r.yaml:2: modality: expected mri, ct or xray, received text 'MRI'; nearest valid value mri",
        "r.yaml:3: condition: expected a plain value, received the tag !!python/object:os.system; remove "
        "the tag; recipes hold data only",
        "r.yaml:6: data.side: expected each key once, received it again (first on line 5); remove one of "
        "them",
        "r.yaml:7: data.window: expected a window (center, width), which data.normalization window scales "
        "by, received nothing (null) (the default); "
        "give the window or choose another normalization",
        "r.yaml:8: data.channels: expected null or a list, each entry a whole number of at least 0, "
        "received 3; write a list in square brackets",
        "r.yaml:9: netwrk: expected a key (name, modality, condition, description, classes, data, organ, "
        "pairs, network, twin, loss, training, runtime, "
        "attribution, self_training, selection, inference), received 'netwrk'; nearest valid key network",
        "r.yaml:13: pairs.augmentation.blur: expected a range [low, high], received [1, 0.9]; write [0.9, 1]",
        "r.yaml:14: pairs.augmentation.flip: expected true or false, received text 'yes'; write true",
        "r.yaml:15: pairs.augmentation.stretch: expected a list of 2 entries, each entry a number above "
        "0 and at most 1, received [0.9]",
        "r.yaml:17: loss.eta: expected a number above 0 and at most 1, received 0",
        "r.yaml:19: loss.consistency.weight: expected a number above 0, since nothing else ties the twins of "
        "twin.kind shared, received 0; "
        "give it a weight or set twin.kind: none",
        "r.yaml:21: training.batch_size: expected an even number, half abnormal and half normal slices, "
        "received 15; nearest: 14 or 16",
        "r.yaml:23: training.optimizer.learning_rate: expected a number above 0, received text '1e-3'; YAML "
        "reads 1e-3 as text: write 1.0e-3",
        "r.yaml:24: training.optimizer.learning_rat: expected a key of training.optimizer (name, "
        "learning_rate, schedule, warmup_steps, weight_decay, "
        "clip_norm), received 'learning_rat'; nearest valid key training.optimizer.learning_rate",
        "r.yaml:25: batch_size: expected a key (name, modality, condition, description, classes, data, "
        "organ, pairs, network, twin, loss, training, runtime, "
        "attribution, self_training, selection, inference), received 'batch_size'; nearest valid key "
        "training.batch_size",
        "r.yaml:27: inference.head: expected mean or a whole number from 1 to 6, received 9",
        "--set training.steps: expected a whole number of at least 1, received 0",
        "--set loss.k: expected a whole number from 1 to 2, received 3",
        "--set data.sid: expected a key of data (labels, cohort, channels, sequences, registration, window, "
        "normalization, normal_atlas, side, minimum_organ_fraction, split, dicom_backend), "
        "received 'sid'; nearest valid key data.side",
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("network.depth=true", "expected a whole number from 1 to 7, received true"),
        ("network.depth=3.0", "expected a whole number from 1 to 7, received 3.0; write 3"),
        (
            "network.depth='3'",
            "expected a whole number from 1 to 7, received text '3'; write 3 without quotes",
        ),
        ("training.steps=1e3", "received text '1e3'; YAML reads 1e3 as text: write 1000"),
        ("loss.eta=true", "expected a number above 0 and at most 1, received true"),
        ("loss.eta=.nan", "received a number that is not finite"),
        ("loss.k=true", "expected a whole number from 1 to 2, received true"),
        ("loss.contrast.weight=.inf", "received a number that is not finite"),
        ("pairs.augmentation.flip=1", "expected true or false, received 1"),
        ("pairs.augmentation.flip=no", "expected true or false, received text 'no'; write false"),
        ("condition=3", "expected text of 1 to 60 characters, received 3; put it in quotes"),
        ("condition=''", "received text ''"),
        ("network=3", "expected a section with the keys depth, filters, kernels"),
        ("network=null", "received nothing (null); leave the line out, or give it keys"),
        (
            "network.norm=grup",
            "expected group, batch, instance or none, received text 'grup'; nearest valid value group",
        ),
        (
            "network.duplicate.levels=randm",
            "expected random or a list, each entry a whole number of at least 0, received text 'randm'; "
            "nearest valid value random",
        ),
        (
            "pairs.augmentation.zoom=[1, 2, 3]",
            "expected a list of 2 entries, each entry a number above 0, received [1, 2, 3]",
        ),
        ("selection.threshold=1", "expected prevalence or a number above 0 and below 1, received 1"),
        ("name=" + "a" * 200, "received text 'aaaa"),
    ],
)
def test_one_problem_is_one_readable_line(problems_of, small_text, override, message):
    [line] = problems_of(small_text, override)
    assert line.startswith(f"--set {override.partition('=')[0]}: expected ")
    assert message in line
    assert "pydantic" not in line and "constrained" not in line and "http" not in line and len(line) < 300


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "network.duplicate.levels=[0, x, true]",
            [
                "levels[1]: expected a whole number of at least 0, received text 'x'",
                "levels[2]: expected a whole",
            ],
        ),
        (
            "network.filters=[2, 2.5, 2]",
            [
                "--set network.filters: network.filters[1]: expected a whole number of at least 1, received "
                "2.5"
            ],
        ),
        (
            "pairs.augmentation.blur=[0.5, x]",
            ["pairs.augmentation.blur[1]: expected a number above 0 and at most 1, received text 'x'"],
        ),
        (
            "data.window.center=40",
            ["data.window.width: expected a number above 0, received nothing, and it has no default"],
        ),
    ],
)
def test_entries_are_named(problems_of, small_text, override, message):
    lines = problems_of(small_text, override)
    assert len(lines) == len(message)
    for line, part in zip(lines, message, strict=True):
        assert part in line


def test_whole_numbers_are_numbers_and_lists_are_ranges(write_recipe, small_text):
    recipe = load_recipe(write_recipe(small_text), ["loss.eta=1", "pairs.augmentation.zoom=[1, 2]"])
    assert recipe.loss.eta == 1.0 and type(recipe.loss.eta) is float
    assert recipe.pairs.augmentation.zoom == (1.0, 2.0)


def test_missing_keys_and_the_one_that_may_be_meant(problems_of):
    assert problems_of("modalty: mri\nname: a\n") == [
        "r.yaml:1: modalty: expected a key (name, modality, condition, description, classes, data, organ, "
        "pairs, network, twin, loss, training, runtime, "
        "attribution, self_training, selection, inference), received 'modalty'; nearest valid key modality",
        "r.yaml:1: condition: expected text of 1 to 60 characters, received nothing, and it has no default",
    ]


def test_a_misspelt_key_does_not_call_its_default_wrong(problems_of):
    text = (
        "name: a\nmodality: mri\ncondition: c\nnetwork:\n  dept: 3\n  filters: [1, 2, 3]\n  kernels: [3, "
        "4, 3]\n"
    )
    lines = problems_of(text)
    assert [line.split(": expected")[0] for line in lines] == [
        "r.yaml:5: network.dept",
        "r.yaml:7: network.kernels[1]",
    ]


def test_unknown_keys_point_to_the_key_of_that_name_elsewhere(problems_of, small_text):
    assert (
        "nearest valid key training.optimizer.learning_rate"
        in problems_of(small_text + "learning_rate: 1.0\n")[0]
    )
    assert (
        "nearest valid key training.optimizer.clip_norm"
        in problems_of(small_text + "training:\n  clip_nrm: 1.0\n")[0]
    )
    assert "nearest" not in problems_of(small_text + "zzzzzz: 1\n")[0]


def test_a_rule_about_a_default_stands_at_the_key_that_made_it_wrong(problems_of):
    lines = problems_of("name: a\nmodality: mri\ncondition: c\n", "network.depth=4")
    assert lines[0] == (
        "--set network.depth: network.filters: expected 4 entries, one per level of network.depth 4, "
        "received 5: [16, 32, 64, 128, 256] (the default); for example [16, 32, 64, 128]"
    )


def test_control_characters_of_a_file_do_not_reach_the_terminal(problems_of, small_text):
    [line] = problems_of(small_text + '"k\\e[31m\\u2028": 1\n')
    assert line.isprintable() and "\\x1b[31m\\u2028" in line


def test_recipe_error_is_a_user_error():
    assert issubclass(RecipeError, UserInputError) and RecipeError.exit_code == 2


def test_every_key_of_the_schema_is_described():
    schema = json_schema()
    bare = [path for path in all_paths(schema) if not described(schema, path)]
    assert bare == []


def described(schema, path):
    part = field_schema(schema, path)
    return "description" in part or "description" in schema["$defs"].get(
        part.get("$ref", "").rsplit("/", 1)[-1], {}
    )
