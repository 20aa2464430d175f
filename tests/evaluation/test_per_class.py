"""Several markers measured: each alone and all together, against counts made by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from clamnet_tf.evaluation.cases import SliceCase
from clamnet_tf.evaluation.figures import compute_metrics
from clamnet_tf.evaluation.gallery import Gallery
from clamnet_tf.evaluation.per_class import add_columns, class_headline, fit_sizes, split_by_class
from clamnet_tf.evaluation.report import write_report
from clamnet_tf.evaluation.walk import Walk
from clamnet_tf.inference.thresholding import ThresholdRule
from clamnet_tf.recipe.classes import UNNAMED, LesionClass
from clamnet_tf.reporting.overlays import CLASS_RGB, overlay, with_legend

NAMES = ("one", "two")
TRAINED = SimpleNamespace(classes=NAMES, marking=ThresholdRule(0.5, "by hand"))


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.fixture
def walked(rng):
    """(walks by name, gallery, [(patient, truth, mask)]) of three patients: both markers, the second alone,
    none.
    """
    gallery = Gallery()
    walks, seen = (
        {"": Walk(TRAINED.marking, gallery.add), **{name: Walk(TRAINED.marking) for name in NAMES}},
        [],
    )
    for patient, shown in (("a", (1, 2)), ("b", (2,)), ("c", ())):
        for number in range(4):
            truth, maps = np.zeros((24, 24), np.uint8), rng.uniform(0, 0.3, (24, 24, 2)).astype(np.float32)
            for value in shown if number else ():
                truth[3 + 9 * (value - 1) : 9 + 9 * (value - 1), 4:12] = value
                maps[4 + 9 * (value - 1) : 10 + 9 * (value - 1), 5:12, value - 1] = 0.9
            if patient == "b" and number == 2:
                maps[2:5, 15:20, 0] = 0.8  # the first marker, falsely
            whole = SliceCase(
                patient,
                f"{patient}.dcm",
                number,
                int(truth.any()),
                np.ones((24, 24), bool),
                None,
                truth,
                spacing_mm=(1, 1, 1),
                picture=rng.random((24, 24)),
            )
            cases = split_by_class(
                whole, maps, {}, TRAINED, "+".join(NAMES[value - 1] for value in shown if number)
            )
            seen.append((patient, truth, cases[""].mask))
            for name, case in cases.items():
                walks[name].add(case)
    return walks, gallery, seen


def test_dice_per_patient_and_marker(walked):
    walks, _, seen = walked
    volumes = {
        p: (np.stack([t for q, t, _ in seen if q == p]), np.stack([m for q, _, m in seen if q == p]))
        for p in "abc"
    }
    for name, walk in walks.items():
        result = compute_metrics(walk.evaluation(), samples=100)
        scores = []
        for truth, mask in volumes.values():
            truth, mask = ((x > 0) if not name else x == NAMES.index(name) + 1 for x in (truth, mask))
            if truth.any():  # who does not have the marker has no overlap, marked or not
                scores.append(dice(truth, mask))
        assert result["dice_volume"]["mean"] == pytest.approx(np.mean(scores)) and result["dice_volume"][
            "patients"
        ] == len(scores)
    assert result["auroc_slice"] == 1.0 and result["slices_normal"] == 6


def test_a_slice_that_shows_something_else_has_no_label_and_an_excluded_marker_has_an_empty_mask():
    maps, organ = np.zeros((8, 8, 2), np.float32), np.ones((8, 8), bool)
    other = split_by_class(SliceCase("p", "x", 0, 1, organ, None), maps, {"head_1": maps}, TRAINED, "")
    assert [case.label for case in other.values()] == [None] * 3
    shown = split_by_class(SliceCase("p", "x", 0, 1, organ, None), maps, {"head_1": maps}, TRAINED, "two")
    assert {name: case.label for name, case in shown.items()} == {"": 1, "one": 0, "two": 1}
    walk = Walk(TRAINED.marking)
    assert walk.add(shown["one"])["truth_px"] == 0  # its label excludes it: known to be empty without a mask
    assert Walk(TRAINED.marking).add(shown["two"])["truth_px"] is None


def test_rows_headline_and_page_say_the_markers_names(walked, tmp_path):
    walks, gallery, _ = walked
    of_classes = {name: walk.evaluation() for name, walk in walks.items()}
    evaluation = of_classes.pop("")
    result = compute_metrics(evaluation, samples=100) | {
        "markers": {name: compute_metrics(each, samples=100) for name, each in of_classes.items()}
    }
    add_columns(evaluation, of_classes)
    first = evaluation.patients[1]
    assert (
        first["patient"] == "b"
        and first["one_truth_px"] == 0 < first["one_marked_px"]
        and first["one_dice"] is None
        and first["two_dice"] > 0
    )
    assert (
        first["one_marked_share"] == first["one_marked_px"] / (4 * 24 * 24)
        and first["two_marked_share"] is None
    )
    assert {row["two_label"] for row in evaluation.slices} == {0, 1}
    lines = class_headline(result)
    assert (
        lines[0].startswith("  one: Dice ")
        and "on 1 patient with a lesion" in lines[0]
        and "on 2 patients with a lesion" in lines[1]
        and "slice AUROC" in lines[1]
    )
    write_report(
        tmp_path / "r.html",
        title="T",
        run={},
        metrics=result,
        patients=evaluation.patients,
        slices=evaluation.slices,
        curves=[],
        gallery=gallery.choose(evaluation.patients),
    )
    page = (tmp_path / "r.html").read_text()
    assert "Each lesion class by itself" in page and "rgb(0, 158, 115)" in page
    write_report(
        tmp_path / "s.html",
        title="T",
        run={},
        metrics=compute_metrics(evaluation, samples=100),
        patients=evaluation.patients,
        slices=evaluation.slices,
        curves=[],
        gallery=[],
    )
    assert "Each lesion class by itself" not in (tmp_path / "s.html").read_text()


def test_overlays_have_a_colour_per_marker_and_a_legend():
    gray, mask = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    mask[5:15, 5:15], mask[20:30, 30:50] = 1, 2
    picture = overlay(gray, mask, mask)
    for value in (1, 2):
        here = (picture == CLASS_RGB[value - 1]).all(-1)
        assert here.any() and not here[mask != value].any()
    np.testing.assert_array_equal(overlay(gray, mask == 1), overlay(gray, (mask == 1).astype(np.uint8)))
    legend = with_legend(picture, ("one", "a_rather_long_name", "x"))
    np.testing.assert_array_equal(legend[:40], picture)
    assert legend.shape[1] == 60 and all(
        (legend[40:] == CLASS_RGB[number]).all(-1).any() for number in range(3)
    )


def test_baselines_are_fitted_to_the_size_of_each_marker():
    column = np.array(["one", "two", "one+two", ""])
    found = fit_sizes((LesionClass("one", 1, 0.1), LesionClass("two", 1, 0.3)), np.ones(4), column)
    assert {name: (rows.tolist(), share) for name, (rows, share) in found.items()} == {
        "": ([True, True, True, False], pytest.approx((0.1 + 0.3 + 0.4) / 3)),
        "one": ([True, False, True, False], 0.1),
        "two": ([False, True, True, False], 0.3),
    }
    alone = fit_sizes((LesionClass(UNNAMED, 1, 0.2),), np.array([1, 2]), column[2:])
    assert {name: (rows.tolist(), share) for name, (rows, share) in alone.items()} == {
        "": ([True, True], 0.2)
    }


def test_a_class_without_a_name_is_both_itself_and_everything(rng):
    maps, organ = rng.random((8, 8, 1)).astype(np.float32), np.ones((8, 8), bool)
    trained = SimpleNamespace(classes=(UNNAMED,), marking=ThresholdRule(0.6, ""))
    whole = SliceCase("p", "x", 0, 2, organ, None, (maps[..., 0] > 0.5).astype(np.uint8))
    cases = split_by_class(whole, maps, {"head_1": maps}, trained, "")
    assert list(cases) == [""] and cases[""].label == 2 and list(cases[""].heads) == ["head_1"]
    np.testing.assert_array_equal(cases[""].mask, maps[..., 0] >= 0.6)
    np.testing.assert_array_equal(cases[""].truth, maps[..., 0] > 0.5)
    unknown = split_by_class(SliceCase("p", "x", 0, None, organ, None), maps, {}, trained, "")
    assert unknown[""].label is None and unknown[""].truth is None
