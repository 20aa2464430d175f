import pytest

from clamnet_tf.recipe.catalogue import load_recipe


def test_overrides_replace_add_and_reach_into_null(write_recipe, small_text):
    path = write_recipe(
        small_text.replace("side: 32", "side: 32\n  window: null") + "pairs: {augmentation: {flip: true}}\n"
    )
    recipe = load_recipe(
        path,
        [
            "network.filters=[4, 5, 6]",
            "pairs.augmentation.flip=false",
            "loss.consistency.ramp=0.5",
            "data.window.center=40",
            "data.window.width=80",
            "condition=a = b",
        ],
    )
    assert recipe.network.filters == [4, 5, 6]
    assert recipe.pairs.augmentation.flip is False
    assert recipe.loss.consistency.ramp == 0.5
    assert (recipe.data.window.center, recipe.data.window.width) == (40.0, 80.0)
    assert recipe.condition == "a = b"
    assert recipe.data.side == 32


def test_null_and_empty_text_can_be_set(write_recipe, small_text):
    recipe = load_recipe(
        write_recipe(small_text + "description: x\n"), ["data.channels=null", "description=''"]
    )
    assert recipe.data.channels is None and recipe.description == ""


def test_an_override_mends_the_file(problems_of, small_text):
    assert problems_of(small_text.replace("depth: 3", "depth: x")) != []
    assert problems_of(small_text.replace("depth: 3", "depth: x"), "network.depth=3") == []


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "network.depth",
            "--set network.depth: expected a key with dots, =, and a value, received 'network.depth'; for "
            "example --set network.depth=3",
        ),
        (
            "network..depth=3",
            "--set network..depth=3: expected a key with dots, =, and a value, received 'network..depth=3'; "
            "for example",
        ),
        ("=3", "--set =3: expected a key with dots"),
        (
            "network.depth=",
            "--set network.depth: expected a value after =, received none; write null for nothing",
        ),
        (
            "data.window={center: 1}",
            "--set data.window: expected a single value or a list, received a mapping; set its keys one by "
            "one: --set data.window.center=...",
        ),
        ("network.filters=[1, 2", "--set network.filters: expected valid YAML, received a fault"),
        (
            "network.depth=!!python/name:os.system 3",
            "--set network.depth: expected a plain value, received the tag !!python/name:os.system",
        ),
        (
            "network.depth=*a",
            "--set network.depth: expected a value, received *a, which has no anchor before it",
        ),
        ("network.filters[0]=3", "--set network.filters[0]: expected a key of network (depth, filters,"),
        (
            "network.filters.0=3",
            "--set network.filters.0: expected the path of a key, received a path into the value of "
            "network.filters; set it whole: --set network.filters=[...]",
        ),
        (
            "network.depth.x=3",
            "--set network.depth.x: expected the path of a key, received a path into the value of "
            "network.depth; set it whole: --set network.depth=...",
        ),
        ("netwrk.depth=3", "--set netwrk.depth: netwrk: expected a key (name, modality, "),
        ("network.dpth=3", "nearest valid key network.depth"),
        ("depth=3", "nearest valid key network.depth"),
        ("learning_rate=1.0", "nearest valid key training.optimizer.learning_rate"),
        (
            "training.optimizer.learning_rate=1e-3",
            "expected a number above 0, received text '1e-3'; YAML reads 1e-3 as text: write 1.0e-3",
        ),
    ],
)
def test_problems_name_the_override(problems_of, small_text, override, line):
    [found] = problems_of(small_text, override)
    assert found.startswith("--set ") and line in found, found


def test_the_same_key_twice(problems_of, small_text):
    assert problems_of(small_text, "loss.eta=0.5", "loss.eta=0.6") == [
        "--set loss.eta: expected each key once, received it again; remove one of the overrides"
    ]


def test_a_wrong_section_in_the_way_is_reported_once(problems_of, small_text):
    [line] = problems_of(small_text + "loss: 3\n", "loss.eta=0.5")
    assert line.startswith("r.yaml:10: loss: expected a section")


def test_overrides_of_a_broken_file_are_still_read(problems_of):
    lines = problems_of("a: [", "network.depth=", "loss.eta=0.5")
    assert (
        len(lines) == 2
        and lines[0].startswith("r.yaml:1: ")
        and lines[1].startswith("--set network.depth: expected a value")
    )


def test_an_alias_does_not_carry_an_override_along(write_recipe):
    text = (
        "name: a\nmodality: mri\ncondition: c\npairs:\n  augmentation:\n    blur: &range [0.9, 1.0]\n    "
        "stretch: *range\n"
    )
    views = load_recipe(write_recipe(text), ["pairs.augmentation.blur=[0.5, 1.0]"]).pairs.augmentation
    assert (views.blur, views.stretch) == ((0.5, 1.0), (0.9, 1.0))
