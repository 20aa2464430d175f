"""Figures in words."""

import pytest

from clamnet_tf.evaluation import words


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "not measured"), (0, "0 %"), (0.0004, "below 0.1 %"), (0.0072, "0.7 %"), (0.0994, "9.9 %"), (0.0996, "10 %"), (0.5, "50 %"), (1, "100 %")],
)
def test_percent(value, text):
    assert words.percent(value).replace("\u00a0", " ") == text


def test_interval():
    assert words.within({"low": 0.5, "high": 0.625}).replace("\u00a0", " ") == "95 % interval 0.50 to 0.62"
    assert words.within({"low": None, "high": None}) == words.within(None) == ""


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(0.1, 0.3, "better"), (-0.1, 0.3, "open"), (0.0, 0.3, "open"), (-0.3, -0.1, "worse"), (None, None, "open")]
)
def test_a_difference_whose_interval_includes_zero_is_no_difference(low, high, kind):
    assert words.against("otsu", {"mean": 0.1, "low": low, "high": high})[0] == kind


def test_the_verdict_names_what_was_not_beaten():
    better, open_ = ({"difference": {"mean": 0.2, "low": low, "high": 0.4}} for low in (0.1, -0.1))
    assert "better than every simple method" in words.verdict({"a": better})
    assert "NOT shown to be better than b:" in words.verdict({"a": better, "b": open_})
    assert "a, b, c and 2 more" in words.verdict(dict.fromkeys("abcde", open_))
    assert words.verdict({}) == ""


def test_summary_of_a_whole_evaluation(evaluated):
    said = " ".join(words.summary(evaluated[1]))
    for part in ("Dice score of 0.", "95\u00a0% interval", "lies inside the lesion", "of 100 such pairs", "falsely marks", "1 slice had no prediction"):
        assert part in said
