"""Choosing the teacher without masks: what is erased, where else, and which candidate wins."""

from types import SimpleNamespace

import numpy as np
import pytest

from clamnet_tf.recipe.catalogue import load_recipe
from clamnet_tf.recipe.writer import resolve, to_yaml
from clamnet_tf.training import teacher_search
from clamnet_tf.training.teacher_search import candidates_of, choose_teacher, judged, log_odds, with_teacher

SIDE = 24


class BrightestSquare:
    """A judge whose score is known: the brightest mean of a 5 x 5 square, as a logit."""

    def probability(self, images):
        from scipy import ndimage

        means = np.stack(
            [ndimage.uniform_filter(image[..., 0], 5) for image in np.asarray(images, np.float64)]
        )
        return 1 / (1 + np.exp(-means.max(axis=(1, 2))))


@pytest.fixture
def slices(rng):
    """Six abnormal slices with a bright square, four normal ones."""
    images = rng.normal(0, 0.1, (10, SIDE, SIDE, 1)).astype(np.float32)
    lesion = np.zeros((10, SIDE, SIDE), bool)
    lesion[:6, 6:11, 6:11] = True
    images[..., 0] += 4.0 * lesion
    labels, organ = np.array([1] * 6 + [0] * 4), np.ones((10, SIDE, SIDE), np.uint8)
    table = SimpleNamespace(volume=np.arange(10))
    found = SimpleNamespace(
        validation=lambda: (images, organ, np.asarray(labels)[:, None] > 0),
        validation_rows=np.arange(10),
        table=table,
    )
    return found, lesion


def fall_of(slices, marks, monkeypatch):
    monkeypatch.setattr(teacher_search, "_marks", lambda run, images, organ, volumes: marks)
    return judged(BrightestSquare(), None, slices)


def test_marking_the_lesion_beats_marking_elsewhere_and_everything(slices, monkeypatch):
    found, lesion = slices
    right = fall_of(found, lesion, monkeypatch)
    wrong = fall_of(found, np.roll(lesion, (9, 9), axis=(1, 2)), monkeypatch)
    everything = fall_of(found, np.ones_like(lesion), monkeypatch)
    assert (
        right["specific_fall"] > 2.0
    )  # the square falls from 4 to about its surroundings, elsewhere nothing falls
    assert abs(wrong["fall"]) < 0.2 and wrong["specific_fall"] < 0.2
    assert everything["specific_fall"] == 0  # marks as large as the organ have no other place
    assert everything["normal_area"] == 1 and right["normal_area"] == 0
    assert right["marked_area"] == pytest.approx(25 / SIDE**2, abs=1e-4)
    assert right["specific_fall"] == pytest.approx(right["fall"] - right["fall_elsewhere"], abs=2e-4)


def test_the_teacher_with_the_largest_specific_fall_wins_unless_it_marks_normal_slices():
    rows = [
        {"teacher": "attribution", "specific_fall": 1.0, "normal_area": 0.004},
        {"teacher": "first_network", "specific_fall": 2.0, "normal_area": 0.2},
    ]
    chosen, reason = choose_teacher(rows, normal_area_limit=0.01)
    assert (
        chosen == "attribution" and "left out for marking too much of normal slices: first_network" in reason
    )
    assert choose_teacher(rows, normal_area_limit=0.5)[0] == "first_network"
    assert (
        choose_teacher(rows, normal_area_limit=0.001)[0] == "first_network"
    )  # both are loud: the fall decides


def test_where_nothing_is_shown_the_first_network_teaches_and_the_reason_says_so():
    rows = [
        {"teacher": "attribution", "specific_fall": -0.2, "normal_area": 0.8},
        {"teacher": "first_network", "specific_fall": -0.5, "normal_area": 0.6},
    ]
    chosen, reason = choose_teacher(rows, normal_area_limit=0.01)
    assert (
        chosen == "first_network"
        and reason.startswith("ATTENTION")
        and "none is shown to mark the lesion" in reason
    )


def test_candidates_are_the_teachers_that_the_recipe_has_sections_for():
    recipe = load_recipe("ct_nodule", ["self_training.teacher=auto"])
    assert candidates_of(recipe) == ["attribution", "first_network"]
    with_atlas = load_recipe("ct_nodule", ["self_training.teacher=auto", "data.normal_atlas.channel=0"])
    assert candidates_of(with_atlas) == ["attribution", "first_network", "normal_atlas"]


def test_a_chosen_recipe_is_valid_and_a_short_one_has_half_of_the_steps(tmp_path):
    recipe = resolve(load_recipe("ct_nodule", ["self_training.teacher=auto"]))
    for teacher in candidates_of(recipe):
        for short in (False, True):
            own = with_teacher(recipe, teacher, short)
            path = tmp_path / f"{teacher}_{short}.yaml"
            path.write_text(to_yaml(own), encoding="utf-8")
            assert resolve(load_recipe(str(path))) == own
    whole, short = with_teacher(recipe, "attribution"), with_teacher(recipe, "attribution", short=True)
    assert short.optimizer_steps * 2 == whole.optimizer_steps
    assert with_teacher(recipe, "first_network").attribution is None


def test_log_odds_undo_the_sigmoid_within_bounds():
    values = np.array([-3.0, 0.0, 2.5])
    np.testing.assert_allclose(log_odds(1 / (1 + np.exp(-values))), values, rtol=1e-6)
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
