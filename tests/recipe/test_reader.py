import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clamnet_tf.recipe.problems import Place
from clamnet_tf.recipe.reader import LARGEST_FILE, MOST_VALUES, Node, read_file, read_text


def problems_of(text):
    return [str(problem) for problem in read_text(text, "r.yaml")[1]]


def test_values_know_their_lines():
    node, problems = read_text("a: 1\nb:\n  c: [x,\n    y]\n", "r.yaml")
    assert problems == []
    assert str(node.value["a"].place) == "r.yaml:1"
    assert str(node.value["b"].value["c"].place) == "r.yaml:3"
    assert str(node.value["b"].value["c"].value[1].place) == "r.yaml:4"


text_keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | text_keys
documents = st.dictionaries(
    text_keys,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text_keys, inner, max_size=4)
    ),
)


@settings(database=None, deadline=None, max_examples=60)
@given(documents)
def test_reads_what_pyyaml_writes(document):
    node, problems = read_text(yaml.safe_dump(document, allow_unicode=False), "r.yaml")
    assert problems == []
    assert node.plain() == document


@settings(database=None, deadline=None, max_examples=200)
@given(st.text(st.sampled_from("ab01:-?&*!|>'\"[]{},#%@ \n\t\\<~.eU\x85\u2028\ufeff\x00"), max_size=40))
def test_any_text_is_a_tree_or_problems(text):
    node, problems = read_text(text, "r.yaml")
    assert node is not None or problems
    assert all(str(problem).startswith("r.yaml:") and "\n" not in str(problem) for problem in problems)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: 1\nb: 2\na: 3\n",
            "r.yaml:3: a: expected each key once, received it again (first on line 1); remove one of them",
        ),
        (
            "a:\n  b: !!python/object:os.system x\n",
            "r.yaml:2: a.b: expected a plain value, received the tag !!python/object:os.system",
        ),
        (
            "a: !!python/object/apply:os.system ['true']\n",
            "r.yaml:1: a: expected a plain value, received the tag !!python/object/apply:os.system",
        ),
        ("a: !mine 3\n", "r.yaml:1: a: expected a plain value, received the tag !mine"),
        ("a: !!binary aGk=\n", "received the tag !!binary"),
        ("a: !!int x\n", "received the tag !!int"),
        ("!mine a: 1\n", "r.yaml:1: expected a plain key, received the tag !mine"),
        ("a: &x [*x]\n", "r.yaml:1: a[0]: expected a value, received *x inside itself"),
        ("a: *x\n", "r.yaml:1: a: expected a value, received *x, which has no anchor before it"),
        (
            "a: &x {b: 1}\nc:\n  <<: *x\n",
            "r.yaml:3: c: expected a key, received the merge key <<; write the keys out",
        ),
        ("[1, 2]: 3\n", "r.yaml:1: expected a word as key, received a list, a mapping or an alias"),
        ("a: 1\n---\nb: 2\n", "r.yaml:2: expected one document, received a second one after ---"),
        (
            "- a\n- b\n",
            "r.yaml:1: expected keys and sections (name: ..., modality: ..., condition: ...), received a "
            "list",
        ),
        ("word\n", "received a single value"),
        (
            "",
            "r.yaml:1: expected keys and sections (name: ..., modality: ..., condition: ...), received "
            "nothing",
        ),
        ("# only a comment\n", "received nothing"),
        (
            "a: 1\nb: [1, 2\nc: 3\n",
            "r.yaml:3: expected valid YAML, received a fault (while parsing a flow sequence: expected ',' "
            "or ']', but got ':')",
        ),
        ("a: 1\n\tb: 2\n", "r.yaml:2: expected valid YAML"),
        ("a: 1\nb: \x07\n", "r.yaml:2: expected printable text, received the character U+0007"),
        ('a: "\\ud800"\n', "r.yaml:1: a: expected text, received an escape that is no character"),
        ('"\\udfff": 1\n', "r.yaml:1: expected a key, received an escape that is no character"),
        ('a: "\\U00110000"\n', "r.yaml:1: expected valid YAML, received an escape that is no character"),
        ("[" * 100, "expected at most 20 levels of nesting, received more"),
    ],
)
def test_refusals(text, message):
    assert any(message in problem for problem in problems_of(text)), problems_of(text)


def test_problems_at_one_value_do_not_hide_others():
    text = "a: !x 1\nb: 2\nb: 3\nc: *nowhere\nd: 4\n"
    node, problems = read_text(text, "r.yaml")
    assert [problem.place.line for problem in problems] == [1, 3, 4]
    assert node.plain() == {"b": 2, "d": 4}
    assert set(node.unreadable()) == {("a",), ("c",)}


def test_core_tags_that_fit_are_allowed():
    node, problems = read_text("a: !!str 3\nb: !!float 1.5\nc: !!map {d: !!seq [1]}\n", "r.yaml")
    assert problems == []
    assert node.plain() == {"a": "3", "b": 1.5, "c": {"d": [1]}}


def test_keys_are_text_as_written():
    assert read_text("on: 1\n2: x\nnull: y\n", "r.yaml")[0].plain() == {"on": 1, "2": "x", "null": "y"}


def test_a_few_aliases_are_copies():
    node, problems = read_text("a: &x {b: 1}\nc: *x\n", "r.yaml")
    assert problems == []
    node.value["c"].value["b"] = Node(Place("r.yaml", 9), 2)
    assert node.plain() == {"a": {"b": 1}, "c": {"b": 2}}


def test_anchors_that_explode_are_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)
    ]
    start = time.monotonic()
    [problem] = problems_of("\n".join(lines))
    assert time.monotonic() - start < 5
    assert (
        f"expected at most {MOST_VALUES} values in a recipe, received aliases that expand to more" in problem
    )


def test_many_values_are_refused():
    assert (
        f"expected at most {MOST_VALUES} values in a recipe, received more"
        in problems_of(f"a: [{'1, ' * 20_000}]")[0]
    )


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.yaml"
    with open(path, "wb") as stream:
        stream.truncate(10_000_000_000)  # sparse
    node, [problem] = read_file(path)
    assert node is None
    assert (
        str(problem) == f"{path}: expected a recipe of at most 1 MB, received 10000.0 MB; is this a recipe?"
    )


def test_a_device_without_size_is_not_read_for_ever():
    node, [problem] = read_file("/dev/zero")
    assert node is None and "it is a pipe or device, not a file" in str(problem)


def test_a_file_of_the_largest_size_is_read(tmp_path):
    path = tmp_path / "padded.yaml"
    path.write_bytes(b"a: 1\n" + b"#" * (LARGEST_FILE - 5))
    assert read_file(path)[0].plain() == {"a": 1}


def test_other_encodings_name_the_byte_and_its_line(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: 1\nb: Größe\n".encode("latin-1"))
    [problem] = read_file(path)[1]
    assert str(problem) == f"{path}:2: expected UTF-8 text, received the byte 0xf6; save the file as UTF-8"
    path.write_bytes("a: 1\n".encode("utf-16"))
    assert "expected UTF-8 text" in str(read_file(path)[1][0])


def test_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "bom.yaml"
    path.write_bytes("a: ä\n".encode("utf-8-sig"))
    assert read_file(path)[0].plain() == {"a": "ä"}


def test_a_folder_and_a_missing_file(tmp_path):
    assert (
        str(read_file(tmp_path)[1][0])
        == f"{tmp_path}: expected a recipe file, received a folder; name the .yaml file"
    )
    assert "No such file" in str(read_file(tmp_path / "none.yaml")[1][0])
