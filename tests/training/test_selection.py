"""Threshold by prevalence and the choice of a checkpoint, against direct counting."""

import dataclasses

import numpy as np
import pytest

from clamnet_tf.inference.postprocessing.prevalence import AreaHistogram, prevalence_thresholds
from clamnet_tf.recipe.classes import UNNAMED, LesionClass
from clamnet_tf.recipe.schema import SelectionSection
from clamnet_tf.training.pseudo_labels import BACKGROUND, FOREGROUND, IGNORED, pseudo_labels
from clamnet_tf.training.selection import CheckpointScore, choose, score_checkpoint, thinned


def test_the_histogram_counts_like_a_loop(rng):
    probability = rng.random((4, 20, 20)).astype(np.float32)
    organ = rng.random((4, 20, 20)) < [[[0.3]], [[0.9]], [[0.5]], [[0.0]]]
    histogram = AreaHistogram()
    histogram.add(probability[:2], organ[:2])
    histogram.add(probability[2:], organ[2:])
    for threshold in (0.25, 0.5, 0.9):
        direct = np.mean(
            [(p[o] >= threshold).mean() for p, o in zip(probability[:3], organ[:3])]
        )  # the last has no organ
        assert histogram.area(threshold) == pytest.approx(direct, abs=1e-3)


@pytest.mark.parametrize("prevalence", [0.01, 0.09, 0.5])
def test_the_threshold_marks_the_prevalence(rng, prevalence):
    probability, organ = rng.beta(1, 5, (6, 30, 30)).astype(np.float32), np.ones((6, 30, 30), bool)
    threshold = prevalence_thresholds({"x": probability}, organ, prevalence)["x"]
    assert (probability >= threshold).mean() == pytest.approx(prevalence, abs=2e-3)
    assert (probability >= threshold).mean() <= prevalence


def look(step, auroc, normal_area):
    return CheckpointScore(
        step=step,
        threshold=0.5,
        auroc=auroc,
        normal_area=normal_area,
        abnormal_area=0.1,
        abnormal_area_half=0.1,
    )


@pytest.mark.parametrize(
    "looks, expected",
    [
        (
            [look(1, 0.90, 0.005), look(2, 0.95, 0.020), look(3, 0.949, 0.015)],
            3,
        ),  # 1: AUROC too low; 3 marks less than 2
        ([look(1, 0.94, 0.005), look(2, 0.95, 0.020)], 1),
        ([look(1, 0.94, 0.080), look(2, 0.95, 0.090)], 1),  # none within the limit
        ([look(1, None, 0.020), look(2, None, 0.010)], 2),  # one class only
    ],
)
def test_choice(looks, expected):
    section = SelectionSection(normal_area_limit=0.03, auroc_slack=0.02)
    chosen, reason = choose(looks, section)
    assert chosen.step == expected and "normal validation slices" in reason


def test_the_last_step_when_the_recipe_says_so():
    assert choose([look(1, 0.99, 0.0), look(2, 0.5, 0.5)], SelectionSection(checkpoint="last"))[0].step == 2


def test_a_look_measures_areas_and_auroc(rng):
    images = rng.random((8, 16, 16, 1)).astype(np.float32) * 0.4
    labels = np.array([0, 1] * 4)
    images[labels == 1, 4:8, 4:8] = 0.9
    organ = np.ones((8, 16, 16), np.uint8)
    shown, section, one = labels[:, None] > 0, SelectionSection(), LesionClass(UNNAMED, 1.0, 16 / 256)
    seen = score_checkpoint(
        lambda x: x,
        7,
        (images[labels == 1], organ[labels == 1], shown[labels == 1]),
        (images, organ, shown),
        section,
        (one,),
    )
    assert 0.39 < seen.threshold <= 0.9
    assert (seen.step, seen.auroc) == (7, 1.0) and seen.normal_area < 2e-3
    assert seen.abnormal_area == pytest.approx(
        16 / 256, abs=1e-3
    ) and seen.abnormal_area_half == pytest.approx(16 / 256)
    fixed = score_checkpoint(
        lambda x: x,
        7,
        (images, organ, shown),
        (images, organ, shown),
        SelectionSection(threshold=0.2),
        (one,),
    )
    assert fixed.threshold == 0.2 and fixed.normal_area > 0.3
    assert dataclasses.asdict(seen) == {**seen.row(), "markers": None}


def test_a_score_that_chooses_nothing_takes_evenly_spaced_slices_of_every_label():
    images, shown = np.arange(1000), np.zeros((1000, 2), bool)
    shown[600:, 0] = True
    shown[[3, 700], 1] = True  # a rare class, alone and beside the other
    ((few, same, labels), (all_of_few, _)) = thinned((images, -images, shown), (images[:7], shown[:7]))
    assert len(few) == 64 + 64 + 2 and {3, 700} <= set(few) and np.array_equal(few, np.sort(few))
    assert np.array_equal(same, -few) and np.array_equal(labels, shown[few])
    assert set(np.diff(few[(few < 600) & (few != 3)])) <= {9, 10}
    assert np.array_equal(all_of_few, images[:7])
    assert len(thinned((images[:0], shown[:0]))[0][0]) == 0


def test_pseudo_labels_keep_the_surest_and_leave_normals_empty(rng):
    images = rng.random((10, 20, 20, 1)).astype(np.float32)
    labels = np.array([0, 1] * 5)
    found = pseudo_labels(
        lambda rows: images[rows],
        images,
        np.ones((10, 20, 20), np.uint8),
        labels[:, None],
        np.repeat([0, 1], 5),
        marked=[0.1],
        background=0.7,
    )
    assert (found[labels == 0] == BACKGROUND).all()
    abnormal, values = found[labels == 1], images[labels == 1][..., 0]
    shares = [(abnormal == kind).mean() for kind in (FOREGROUND, BACKGROUND, IGNORED)]
    assert shares == pytest.approx([0.1, 0.7, 0.2], abs=0.005)
    assert (
        values[abnormal == FOREGROUND].min()
        > values[abnormal == IGNORED].max()
        > values[abnormal == IGNORED].min()
        > values[abnormal == BACKGROUND].max()
    )


def test_an_abnormal_slice_without_marks_teaches_nothing(rng):
    images = rng.random((6, 20, 20, 1)).astype(np.float32)
    images[3] *= 0.2  # the network sees nothing there, the label says there is something
    labels = np.array([0, 1, 1, 1, 1, 0])
    found = pseudo_labels(
        lambda rows: images[rows],
        images,
        np.ones((6, 20, 20), np.uint8),
        labels[:, None],
        np.zeros(6),
        marked=[0.1],
        background=0.7,
    )
    assert (found[3] == IGNORED).all() and (found[[0, 5]] == BACKGROUND).all()
    assert all(
        (found[place] == FOREGROUND).any() and (found[place] == BACKGROUND).any() for place in (1, 2, 4)
    )
