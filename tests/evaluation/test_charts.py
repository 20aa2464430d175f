"""Drawings: well-formed SVG with every point at its place."""

from xml.etree import ElementTree

import numpy as np
import pytest

from clamnet_tf.reporting import charts


def parsed(markup):
    return ElementTree.fromstring(str(markup))


def test_interval_bar_puts_the_dot_between_the_ends():
    bar = parsed(charts.interval_bar(0.5, 0.25, 1.0))
    (whisker,) = [line for line in bar.iter("line") if line.get("class") == "whisker"]
    (dot,) = bar.iter("circle")
    assert float(whisker.get("x1")) < float(dot.get("cx")) < float(whisker.get("x2"))
    assert float(dot.get("cx")) == 110
    assert not list(parsed(charts.interval_bar(None, None, None)).iter("circle"))
    assert len(list(parsed(charts.interval_bar(0.5, None, None)).iter("circle"))) == 1


def test_patient_strip_has_a_dot_per_patient_and_none_on_another(rng):
    scores = [(f'<p "{number}">', float(score)) for number, score in enumerate(rng.beta(5, 3, 60))]
    strip = parsed(charts.patient_strip(scores))
    dots = list(strip.iter("circle"))
    assert [dot.get("data-patient") for dot in dots] == [name for name, _ in scores]
    places = np.array([[float(dot.get("cx")), float(dot.get("cy"))] for dot in dots])
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)[~np.eye(60, dtype=bool)]
    assert distances.min() >= 12
    assert max(float(dot.get("cy")) for dot in dots) < float(strip.get("viewBox").split()[3]) - 30
    assert f"median {np.median([score for _, score in scores]):.2f}" in "".join(strip.itertext())


def test_scatter_grows_with_size_and_score():
    dots = list(
        parsed(charts.size_scatter([(1, 0.2, "a"), (10, 0.5, "b"), (100, 0.9, "c")], "pixels")).iter("circle")
    )
    x, y = ([float(dot.get(name)) for dot in dots] for name in ("cx", "cy"))
    assert x == sorted(x) and y == sorted(y, reverse=True)
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    parsed(charts.size_scatter([(5, 0.2, "one size")] * 3, "pixels"))


@pytest.mark.parametrize("share", [True, False])
def test_curves(share):
    series = [
        ("a", [(0, 0.5), (50, 0.25), (100, 0.125)]),
        ("b & c", [(step, step / 200) for step in range(101)]),
    ]
    chart = parsed(charts.lines(series, 50, share))
    assert len(list(chart.iter("path"))) == 2
    (chosen,) = [line for line in chart.iter("line") if line.get("class") == "chosen"]
    points = list(chart.iter("circle"))
    assert len(points) == 3 and points[1].get("cx") == chosen.get("x1")
    assert "b & c ends at 0.5" in chart.get("aria-label")


@pytest.mark.parametrize("values", [[0.0], [3.0], [-2.0, -1.0], [1e-9, 2e-9], [5e5, 7e6]], ids=str)
def test_curves_of_any_range(values):
    chart = parsed(charts.lines([("a", list(enumerate(values, 1)))], None, False))
    numbers = [float(circle.get("cy")) for circle in chart.iter("circle")]
    assert all(0 <= number <= 230 for number in numbers)
