import pytest
import yaml

from clamnet_tf.recipe.scalars import boolean_hint, number_hint, number_text, plain_value


@pytest.mark.parametrize(
    "word",
    [
        "3",
        "-4",
        "+5",
        "0",
        "0.7",
        "1.",
        ".5",
        "1.0e-3",
        "2.5E+10",
        "-1.0e-300",
        "true",
        "false",
        "null",
        "~",
        "",
        "word",
    ],
)
def test_words_that_every_yaml_reads_alike(word):
    value, oracle = plain_value(word), yaml.safe_load(word)
    assert value == oracle and type(value) is type(oracle)


@pytest.mark.parametrize(
    "word",
    [
        "no",
        "yes",
        "on",
        "Off",
        "y",
        "True",
        "FALSE",
        "010",
        "0x1f",
        "0b1",
        "1_000",
        "1:30",
        "1e-3",
        "1e3",
        "1.0e3",
        "2020-01-01",
        "NULL",
        "9" * 5000,
    ],
)
def test_words_that_yaml_versions_read_differently_stay_text(word):
    assert plain_value(word) == word


@pytest.mark.parametrize(("word", "value"), [(".inf", float("inf")), ("-.INF", float("-inf"))])
def test_infinity_is_a_number(word, value):
    assert plain_value(word) == value


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("1e-3", "YAML reads 1e-3 as text: write 1.0e-3"),
        ("-2E6", "YAML reads -2E6 as text: write -2.0e+6"),
        ("1.5e3", "YAML reads 1.5e3 as text: write 1.5e+3"),
        ("1.e3", "YAML reads 1.e3 as text: write 1.0e+3"),
        (".5e3", "YAML reads .5e3 as text: write 0.5e+3"),
        ("0.7", "write 0.7 without quotes"),
        ("010", "write 10"),
        ("1_000", "write 1000"),
        ("0x1f", "write 31"),
        ("-.5", "write -0.5"),
        ("nan", ""),
        ("abc", ""),
        (".e3", ""),
        ("9" * 5000, ""),
    ],
)
def test_number_hint(word, hint):
    assert number_hint(word) == hint


@pytest.mark.parametrize("word", ["1e-3", "-2E6", "1.5e3", ".5e3", "1.e5"])
def test_the_hint_is_a_number_to_every_yaml(word):
    suggestion = number_hint(word).rsplit(" ", 1)[1]
    assert yaml.safe_load(suggestion) == plain_value(suggestion) == float(word)


def test_number_hint_for_whole_numbers():
    assert number_hint("1e3", whole=True) == "YAML reads 1e3 as text: write 1000"
    assert number_hint("1e-3", whole=True) == "YAML reads 1e-3 as text: write a whole number"


@pytest.mark.parametrize(
    ("word", "hint"), [("Yes", "write true"), ("off", "write false"), ("TRUE", "write true"), ("maybe", "")]
)
def test_boolean_hint(word, hint):
    assert boolean_hint(word) == hint


@pytest.mark.parametrize("value", [1e-05, 1.5e-07, 1e16, 0.1, 3, -2e-9])
def test_number_text_reads_back(value):
    assert yaml.safe_load(number_text(value)) == plain_value(number_text(value)) == value
