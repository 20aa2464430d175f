"""Lists of problems: at most so many lines, and one line for what is wrong in many places."""

from clamnet_tf.datasets.problems import listed


def test_a_message_of_many_places_is_one_line():
    problems = [
        "a.png: no image",
        "b.png: too small",
        *(f"{name}.png: no image" for name in "cdefg"),
        "no labels",
    ]
    assert listed(problems).splitlines() == [
        "  a.png: no image",
        "    The same holds for c.png, d.png, e.png and 2 more.",
        "  b.png: too small",
        "  no labels",
    ]


def test_two_places_stay_two_lines_and_repeated_problems_one():
    assert listed(["a: x", "b: x", "a: x"]) == "  a: x\n  b: x"


def test_what_is_not_shown_is_counted():
    problems = [*(f"place {n}: problem {n}" for n in range(5)), *(f"line {n}: the same" for n in range(7))]
    assert listed(problems, 3).splitlines()[-1] == "  ... and 9 more"
    assert listed(problems, 6).splitlines()[-1] == "    The same holds for line 1, line 2, line 3 and 3 more."
